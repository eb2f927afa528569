# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs: a component in which one line of one source file reads differently."""

import importlib
from collections.abc import Callable
from typing import Any

from hw.formal.replaced import replaced


def mutant(
    component: str, *, where: str, old: str, new: str, package: str = "hw.tsu", **arguments: Any
) -> Callable[[], Any]:
    """A function that makes `component` ("<module>.<class>" of `package`) with `old` replaced by `new` in `where`.

    `where` is a module of `package`, or the full name of one of hw.tsu.
    """
    name = where if where.startswith("hw.") else f"{package}.{where}"
    packages = {package, name.rpartition(".")[0]}

    def make() -> Any:
        with replaced(name, old=old, new=new, packages=sorted(packages)):
            module, _, class_name = component.rpartition(".")
            return getattr(importlib.import_module(f"{package}.{module}"), class_name)(**arguments)

    return make
