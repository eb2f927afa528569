# SPDX-License-Identifier: Apache-2.0
"""Compilers of native code, found on this machine."""

import os
import shlex
import shutil


class ToolMissing(RuntimeError):
    """A program that the system must provide is not there; the message is one line that names it."""


def find_cxx() -> list[str]:
    """The C++ compiler's command: $CXX when set (it may carry options), else c++, g++ or clang++.

    Raises
    ------
    ToolMissing
        None of them is on PATH.
    """
    chosen = shlex.split(os.environ.get("CXX", ""))
    candidates = [chosen] if chosen else [["c++"], ["g++"], ["clang++"]]
    for command in candidates:
        path = shutil.which(command[0])
        if path:
            return [path, *command[1:]]
    names = ", ".join(command[0] for command in candidates)
    raise ToolMissing(f"no C++ compiler found (tried {names}): install one, or set CXX to its path")
