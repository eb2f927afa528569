# SPDX-License-Identifier: Apache-2.0
"""docs/how-to/transformers.md: its example runs as it stands there, and what it says of other calls is so."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "how-to" / "transformers.md").read_text()

HIDDEN = """
import sys
sys.modules["transformers"] = None
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "transformers" else find(name, package)
import host.hf.candidates
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )


def example() -> str:
    found = re.search(r"^<!-- test: use -->\n```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("backend", ["model", pytest.param("rtl", marks=pytest.mark.slow)])
def test_the_example_runs(backend: str) -> None:
    code = example()
    assert code.count('backend="model"') == 1
    done = run(code.replace('backend="model"', f'backend="{backend}"'))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    values = dict(line.split("=") for line in lines[1:])
    assert lines[0] == "103"
    assert int(values["num_accepted_tokens"]) > 0
    assert 1 < float(values["mean_acceptance_length"]) <= 5


def test_a_missing_package_is_one_line() -> None:
    done = run(HIDDEN)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "host.hf needs the package transformers: pip install 'thermo-speculative-decoding[lm]'" in last
