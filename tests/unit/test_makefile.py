# SPDX-License-Identifier: Apache-2.0
"""The Makefile's help, and the check of what it needs from the system."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECK = ROOT / ".ci" / "check-system"
TOOLS = ("python3", "g++", "make", "perl")


def make(*arguments: str) -> str:
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # the suite runs in make
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_is_the_default_and_lists_every_target() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert re.findall(r"^  make ([a-z0-9-]+) ", make(), re.MULTILINE) == phony.group(1).split()
    assert make() == make("help")


@pytest.mark.parametrize(
    ("arguments", "tail"),
    [
        (["sim"], "-m sim.benches"),
        (["sim", "WAVES=1"], "-m sim.benches --waves"),
        (["sim", "WAVES=0", "BENCH=tail"], "-m sim.benches tail"),
        (["synth", "BOARD=up5k"], "-m hw.build --board up5k"),
    ],
)
def test_options_reach_the_command(arguments: list[str], tail: str) -> None:
    lines = [" ".join(line.split()) for line in make("-n", *arguments).splitlines()]
    assert [line for line in lines if line.endswith(tail)], lines


def path_without(folder: Path, missing: str) -> Path:
    """A PATH folder that has the system requirements but one, and the shell's own helpers."""
    for tool in (*TOOLS, "sh"):
        found = sys.executable if tool == "python3" else shutil.which(tool)
        if tool != missing and found is not None:
            (folder / tool).symlink_to(found)
    return folder


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        ("python3", "missing: Python 3.11 or newer"),
        ("g++", "missing: a C++ compiler"),
        ("make", "missing: make"),
        ("perl", "missing: perl"),
    ],
)
def test_missing_requirement_is_named_in_one_line(tmp_path: Path, missing: str, line: str) -> None:
    env = {**os.environ, "PATH": str(path_without(tmp_path, missing))}
    done = subprocess.run(
        ["sh", str(CHECK), "python3", "g++"], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(line)


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ('case "$*" in *version_info*) exit 1;; esac; echo Python 3.9.2', "is Python 3.9.2"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "missing: the venv module"),
    ],
)
def test_unfit_python_is_named(tmp_path: Path, script: str, line: str) -> None:
    python = tmp_path / "old-python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    done = subprocess.run(
        ["sh", str(CHECK), str(python), "sh"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert line in done.stderr


def test_fit_system_passes_in_silence() -> None:
    done = subprocess.run(
        ["sh", str(CHECK), sys.executable, "sh"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
