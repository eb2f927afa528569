# SPDX-License-Identifier: Apache-2.0
"""The files of ours that a library is made of, as this process has imported them."""

from collections.abc import Sequence
from pathlib import Path

from sim.native.build import NativeBuildError

ROOT = Path(__file__).resolve().parents[2]
"""Folder that holds hw and sim."""

COMMON = ("hw/**/*.py", "sim/inprocess/*.py", "sim/inprocess/*.hpp", "sim/native/tsd_abi.h")
"""Patterns of the files behind the TSU in every simulator: gateware, its flat ports, the C interface and its driver."""


class Sources:
    """Texts of all files that match some patterns, read when the object is made.

    Keys are made of these: files may change under a process that goes on as it is.

    Parameters
    ----------
    patterns : sequence of str
        Relative to `root`.
    root : Path

    Attributes
    ----------
    texts : dict of str to str
        By path relative to `root`.
    """

    def __init__(self, patterns: Sequence[str], root: Path = ROOT) -> None:
        self._patterns, self._root = tuple(patterns), root
        self.texts = self._read()

    def _read(self) -> dict[str, str]:
        paths = [path for pattern in self._patterns for path in sorted(self._root.glob(pattern))]
        return {str(path.relative_to(self._root)): path.read_text(encoding="utf-8") for path in paths}

    def check_unchanged(self) -> None:
        """Raise NativeBuildError where a file is no longer what was read: a key would name another text."""
        then, now = self.texts, self._read()
        changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
        if changed:
            raise NativeBuildError(f"{changed[0]} was changed after this program had been started: start it again")
