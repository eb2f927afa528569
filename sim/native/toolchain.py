# SPDX-License-Identifier: Apache-2.0
"""Where the C++ compiler and other programs of the system are."""

import os
import shutil
from functools import cache
from pathlib import Path

CXX_CANDIDATES = ("c++", "g++", "clang++")
"""C++ compilers in the order they are looked for, after the environment variable CXX."""


class ToolMissing(RuntimeError):  # noqa: N818  # says what happened: `except ToolMissing`
    """A tool is not installed; the one-line message says what to install."""


def find_program(name: str, *, package: str) -> Path:
    """Path of a system program, or `ToolMissing` naming the system package that has it."""
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(f"{name} is not on PATH: install the system package {package}")
    return Path(found)


@cache
def find_cxx() -> Path:
    """The C++ compiler: CXX of the environment, else the first of `CXX_CANDIDATES` on PATH.

    Raises
    ------
    ToolMissing
        There is none.
    """
    wanted = os.environ.get("CXX")
    for name in (wanted,) if wanted else CXX_CANDIDATES:
        found = shutil.which(name)
        if found is not None:
            return Path(found)
    if wanted:
        raise ToolMissing(f"CXX = {wanted!r} is not an executable: unset it, or name a C++ compiler")
    raise ToolMissing("no C++ compiler on PATH: install the system package g++ (or clang)")
