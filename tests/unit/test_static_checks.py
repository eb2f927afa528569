# SPDX-License-Identifier: Apache-2.0
"""What `make lint` runs besides import-linter (see test_imports.py)."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["ruff", "check", "."], id="ruff-check"),
        pytest.param(["ruff", "format", "--check", "."], id="ruff-format"),
        pytest.param(
            ["mypy", "--strict", "-p", "hw.spec", "-p", "sim", "-p", "host"], id="mypy", marks=pytest.mark.slow
        ),
    ],
)
def test_static_check(arguments: list[str]) -> None:
    command = [str(Path(sys.executable).parent / arguments[0]), *arguments[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
