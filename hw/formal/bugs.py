# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs: gateware in which one line of one source file reads differently while a bench is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .replaced import replaced

DESIGN = "hw.tsu"
"""The package that bugs are in, where they do not name another one."""

PROPERTIES = "hw.formal.properties"


@dataclass(frozen=True, kw_only=True)
class Bug:
    """A text `old` of the module `where` of `package` that reads `new`; found in at most `depth` cycles from reset.

    `narrowed`: its bench may narrow the inputs.
    """

    name: str
    where: str
    old: str
    new: str
    depth: int
    narrowed: bool = False
    package: str = DESIGN

    @property
    def module(self) -> str:
        """The module it is in."""
        return f"{self.package}.{self.where}"


@contextmanager
def seeded(bug: Bug | None) -> Iterator[None]:
    """Design and properties that are imported inside have the bug; those imported before do not.

    Raises SpecError where the text to replace is not there exactly once. Not for several threads at once.
    """
    if bug is None:
        yield
        return
    with replaced(bug.module, old=bug.old, new=bug.new, packages=(bug.package, PROPERTIES)):
        yield
