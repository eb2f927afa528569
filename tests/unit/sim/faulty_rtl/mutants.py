# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs: a component of hw.tsu in which one line of one source file reads differently."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from sim.bench_file import BenchError

PACKAGE = "hw.tsu"


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
            raise BenchError(f"{fullname} has no source")
        source = Path(spec.origin).read_text()
        if source.count(self._old) != 1:
            raise BenchError(f"{fullname} holds {self._old!r} {source.count(self._old)} times, expected once")
        return importlib.util.spec_from_loader(fullname, _Text(source.replace(self._old, self._new)))


def _own_modules() -> dict[str, ModuleType]:
    """The modules of hw.tsu that are imported now."""
    return {name: module for name, module in sys.modules.items() if f"{name}.".startswith(f"{PACKAGE}.")}


def mutant(component: str, *, where: str, old: str, new: str, **arguments: Any) -> Callable[[], Any]:
    """A function that makes `component` ("<module>.<class>" of hw.tsu) with `old` replaced by `new` in module `where`.

    All of hw.tsu is imported anew for it, and the modules that were there are put back: nobody else sees the bug.
    """

    def make() -> Any:
        kept, finder = _own_modules(), _Replacing(f"{PACKAGE}.{where}", old, new)
        parent = importlib.import_module(PACKAGE.partition(".")[0])
        package = kept[PACKAGE]
        for name in kept:
            del sys.modules[name]
        sys.meta_path.insert(0, finder)
        try:
            module, _, name = component.rpartition(".")
            return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)(**arguments)
        finally:
            sys.meta_path.remove(finder)
            for name in _own_modules():
                del sys.modules[name]
            sys.modules.update(kept)
            setattr(parent, PACKAGE.rpartition(".")[2], package)

    return make
