# SPDX-License-Identifier: Apache-2.0
"""The other process of sim/mutants/runner.py: a library and a script as arguments, indices on the standard input."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from .library import MutantLibrary


def main(library: Path, script: Path) -> None:
    """Print the run of each mutant as a line of JSON."""
    opened, words = MutantLibrary(library), np.load(script)
    for index in map(int, sys.stdin.read().split()):
        print(json.dumps(asdict(opened.run(index, words))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
