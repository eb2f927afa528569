# SPDX-License-Identifier: Apache-2.0
"""Legal ranges that the modules of planning share."""

import math
from numbers import Real

from hw.spec.errors import SpecError

CHILDREN_MAX = 16
"""Most drafts of one position that are planned."""

NODES_MAX = 256
"""Largest node budget of a tree."""


def check_number(field: str, value: object, low: float, high: float) -> float:
    """Return `value` as a float, or raise `SpecError` unless it is a finite number in [low, high]."""
    number = _float(value)
    if not (low <= number <= high and math.isfinite(number)):
        legal = f"a finite number in [{low:g}, {high:g}]" if math.isfinite(high) else f"a finite number >= {low:g}"
        raise SpecError(field, value, legal)
    return number


def check_positive(field: str, value: object) -> float:
    """Return `value` as a float, or raise `SpecError` unless it is finite and above 0."""
    number = _float(value)
    if not (number > 0 and math.isfinite(number)):
        raise SpecError(field, value, "a finite number > 0")
    return number


def _float(value: object) -> float:
    """A real number as a float, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return math.nan
    return float(value)
