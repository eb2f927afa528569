# SPDX-License-Identifier: Apache-2.0
"""Values to the bits that hw.spec.axi gives them."""

from collections.abc import Mapping

from amaranth.hdl import Cat, Const, Value, ValueLike

from hw.spec.commands import Field


def packed(fields: Mapping[str, Field], values: Mapping[str, ValueLike]) -> Value:
    """The bits of `values`, each at the place of its field; bits between fields are 0.

    Raises ValueError where a value is wider than its field or fields overlap.
    """
    parts: list[Value] = []
    end = 0
    for name, field in sorted(fields.items(), key=lambda item: (item[1].word, item[1].low)):
        value, low = Value.cast(values[name]), 32 * field.word + field.low
        if low < end or len(value) > field.width:
            raise ValueError(f"{name} of {len(value)} bits does not fit bits {low} to {low + field.width - 1}")
        parts += [Const(0, low - end), value]
        end = low + len(value)
    return Cat(*parts)
