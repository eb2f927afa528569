# SPDX-License-Identifier: Apache-2.0
"""One line instead of an ImportError where the packages of the extra `train` are missing."""

import importlib.util

from hw.spec.errors import SpecError

PACKAGES = ("torch", "safetensors")
"""Packages of the extra."""


def check_train_extra(field: str, value: object) -> None:
    """Raise `SpecError` unless torch and safetensors are installed; `field` and `value` name what needs them."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise SpecError(
            field,
            value,
            f"{' and '.join(missing)} to be installed: pip install 'thermo-speculative-decoding[train]'",
        )
