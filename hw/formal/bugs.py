# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs: code of hw.tsu in which one line of one source file reads differently while a bench is made."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType

from hw.spec.errors import SpecError

DESIGN = "hw.tsu"
PROPERTIES = "hw.formal.properties"


@dataclass(frozen=True, kw_only=True)
class Bug:
    """A text `old` of the module `where` of hw.tsu that reads `new`; found in at most `depth` cycles from reset.

    `narrowed`: its bench may narrow the inputs.
    """

    name: str
    where: str
    old: str
    new: str
    depth: int
    narrowed: bool = False


class _Text(InspectLoader):
    """Loads a module from a text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def get_source(self, fullname: str) -> str:
        return self._text

    def is_package(self, fullname: str) -> bool:
        return False

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._text, f"<faulty {fullname}>", "exec")


class _Replacing(MetaPathFinder):
    """Finds one module with one text replaced."""

    def __init__(self, bug: Bug) -> None:
        self._bug = bug

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != f"{DESIGN}.{self._bug.where}":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            raise SpecError("where", self._bug.where, f"a module of {DESIGN}")
        text, old = Path(spec.origin).read_text(encoding="utf-8"), self._bug.old
        if text.count(old) != 1:
            raise SpecError(
                f"bug {self._bug.name}", old, f"a text that {fullname} holds once, not {text.count(old)} times"
            )
        return importlib.util.spec_from_loader(fullname, _Text(text.replace(old, self._bug.new)))


def _own_modules() -> dict[str, ModuleType]:
    """The modules of design and properties that are imported now."""
    return {
        name: module for name, module in sys.modules.items() if f"{name}.".startswith((f"{DESIGN}.", f"{PROPERTIES}."))
    }


def _bind(name: str, module: ModuleType) -> None:
    """Make a package an attribute of the package above it."""
    parent, _, child = name.rpartition(".")
    setattr(importlib.import_module(parent), child, module)


@contextmanager
def seeded(bug: Bug | None) -> Iterator[None]:
    """Design and properties that are imported inside have the bug; those imported before do not.

    Raises SpecError where the text to replace is not there exactly once. Not for several threads at once.
    """
    if bug is None:
        yield
        return
    importlib.import_module(DESIGN)
    importlib.import_module(PROPERTIES)
    kept, finder = _own_modules(), _Replacing(bug)
    for name in kept:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in _own_modules():
            del sys.modules[name]
        sys.modules.update(kept)
        for name in (DESIGN, PROPERTIES):
            _bind(name, kept[name])
