# SPDX-License-Identifier: Apache-2.0
"""An adapter of one's own, by the name of its class."""

import importlib
from collections.abc import Callable
from functools import reduce

from host.tsu.base import Tsu
from hw.spec.errors import SpecError

_LEGAL = "MODULE:NAME, a class or function that opens a TSU when called with seed and mode"


def find_adapter(name: str) -> Callable[..., Tsu]:
    """The class or function that `name` stands for, MODULE:NAME as in `my_package.my_module:MyTsu`.

    Raises
    ------
    SpecError
        The name has another form, the module cannot be imported, or it holds no such callable.
    """
    module_name, colon, path = name.partition(":")
    if not (module_name and colon and path):
        raise SpecError("adapter", name, _LEGAL)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # a module may fail in any way
        raise SpecError("adapter", name, f"a module that can be imported ({type(error).__name__}: {error})") from error
    try:
        found: object = reduce(getattr, path.split("."), module)
    except AttributeError as error:
        raise SpecError("adapter", name, f"a name that the module holds ({error})") from error
    if not callable(found):
        raise SpecError("adapter", name, _LEGAL)
    return found
