# SPDX-License-Identifier: Apache-2.0
"""Memories of the TSU."""

from collections.abc import Sequence

from amaranth.hdl import ShapeCastable, ShapeLike
from amaranth.lib.memory import Memory

LUT_RAM_WORDS = 16
"""Words of one LUT RAM of an ECP5."""


def exclusive_memory(
    *, shape: ShapeLike | ShapeCastable, depth: int, init: Sequence[int] = (), block_ram: bool = False
) -> Memory:
    """A memory whose word nobody uses in the cycle after it was read and written at once.

    Synthesis then adds no logic for that case, which block RAM leaves undefined (Yosys attribute `no_rw_check`). Every
    user says why it holds: tables and banks are written while no valid candidate reads them, and a FIFO's output
    is not valid in the cycle in which its word is written.

    With `block_ram`, synthesis takes block RAM however small the memory is; left to itself it makes flip-flops of a few
    wide words, 4 x 40 bits for instance.
    """
    style: dict[str, int | str] = {"ram_style": "block"} if block_ram else {}
    return Memory(shape=shape, depth=depth, init=init, attrs={"no_rw_check": 1, **style})
