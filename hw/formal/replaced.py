# SPDX-License-Identifier: Apache-2.0
"""Packages imported anew with one text of one module replaced: how a seeded bug gets into a proof or a bench."""

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType

from hw.spec.errors import SpecError


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

    def __init__(self, module: str, old: str, new: str) -> None:
        self._module, self._old, self._new = module, old, new

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.origin is None:
            raise SpecError("module", fullname, "one that has a source")
        text = Path(spec.origin).read_text(encoding="utf-8")
        if text.count(self._old) != 1:
            raise SpecError("old", self._old, f"a text that {fullname} holds once, not {text.count(self._old)} times")
        return importlib.util.spec_from_loader(fullname, _Text(text.replace(self._old, self._new)))


def _modules_of(packages: Sequence[str]) -> dict[str, ModuleType]:
    """The modules of some packages that are imported now."""
    starts = tuple(f"{package}." for package in packages)
    return {name: module for name, module in sys.modules.items() if f"{name}.".startswith(starts)}


def _bind(name: str, module: ModuleType) -> None:
    """Make a package an attribute of the package above it."""
    parent, _, child = name.rpartition(".")
    setattr(importlib.import_module(parent), child, module)


@contextmanager
def replaced(module: str, *, old: str, new: str, packages: Sequence[str]) -> Iterator[None]:
    """What is imported of `packages` inside is new, and `module` of them reads `new` where its source has `old`.

    Afterwards the modules that were there before are back: nobody else sees the change. Not for several threads at
    once. Importing `module` raises SpecError where its source does not hold `old` exactly once.
    """
    for package in packages:
        importlib.import_module(package)
    kept, finder = _modules_of(packages), _Replacing(module, old, new)
    for name in kept:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in _modules_of(packages):
            del sys.modules[name]
        sys.modules.update(kept)
        for package in packages:
            _bind(package, kept[package])
