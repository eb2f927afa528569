# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs: a component in which one line of one source file reads differently."""

import importlib
from collections.abc import Callable
from typing import Any

from hw.formal.replaced import replaced


def mutant(
    component: str, *, where: str, old: str, new: str, package: str = "hw.tsu", **arguments: Any
) -> Callable[[], Any]:
    """A function that makes `component` ("<module>.<class>" of `package`) with `old` replaced by `new` in `where`."""

    def make() -> Any:
        with replaced(f"{package}.{where}", old=old, new=new, packages=(package,)):
            module, _, name = component.rpartition(".")
            return getattr(importlib.import_module(f"{package}.{module}"), name)(**arguments)

    return make
