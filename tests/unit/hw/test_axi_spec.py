# SPDX-License-Identifier: Apache-2.0
"""Register space and stream layouts of the AXI wrapper."""

import struct
from itertools import pairwise

import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.sim import Simulator

from hw.axi.packing import packed
from hw.spec import axi
from hw.spec.commands import Field, get_field, put_field
from hw.spec.config import K_LIMIT, UNIFORM_LIMIT_BITS, VOCAB_LIMIT
from hw.spec.registers import REGISTERS


def test_offsets_are_words_of_the_aperture_in_ascending_order() -> None:
    offsets = [register.offset for register in axi.AXI_REGISTERS.values()]
    assert all(offset % 4 == 0 and offset < 4096 for offset in offsets)
    assert all(sooner < later for sooner, later in pairwise(offsets))


def test_registers_of_the_tsu_come_first_at_four_bytes_each() -> None:
    for name, register in REGISTERS.items():
        assert axi.AXI_REGISTERS[name].offset == 4 * register.address
    own = [register.offset for name, register in axi.AXI_REGISTERS.items() if name not in REGISTERS]
    assert min(own) == axi.WRAPPER_OFFSET >= axi.CORE_SPACE_BYTES


@pytest.mark.parametrize("name", axi.AXI_REGISTERS)
def test_fields_fit_their_register_and_do_not_overlap(name: str) -> None:
    bits = [
        bit for field in axi.AXI_REGISTERS[name].fields.values() for bit in range(field.low, field.low + field.width)
    ]
    assert len(set(bits)) == len(bits)
    assert all(field.word == 0 for field in axi.AXI_REGISTERS[name].fields.values())
    assert max(bits, default=0) < 32


def test_command_room_fits_its_field() -> None:
    assert axi.COMMAND_FIFO_WORDS < 1 << axi.STATE_FIELDS["room"].width


def test_wrapper_id_spells_its_name() -> None:
    assert axi.WRAPPER_ID.to_bytes(4, "big")[:3] == b"TSD"


@pytest.mark.parametrize(
    ("layout", "values", "text"),
    [
        (
            axi.DRAW_SLOT_FIELDS,
            {"token": 0x000F_A5A5, "tail": 1, "spread": 0x0012_3456, "weight": 0x0FED_CBA9_8765_4321},
            struct.pack("<IIQ", 0x800F_A5A5, 0x0012_3456, 0x0FED_CBA9_8765_4321),
        ),
        (
            axi.STATUS_STREAM_FIELDS,
            {"tag": 0xBEEF, "opcode": 1, "code": 13, "total": 0x0123_4567_89AB_CDEF},
            struct.pack("<HBBIQ", 0xBEEF, 1, 13, 0, 0x0123_4567_89AB_CDEF),
        ),
    ],
)
def test_streams_are_the_c_structs_of_the_docs(layout: dict[str, Field], values: dict[str, int], text: bytes) -> None:
    words = [0] * 4
    for name, value in values.items():
        put_field(words, layout, name, value)
    assert struct.pack("<4I", *words) == text
    assert {name: get_field(words, layout, name) for name in layout} == values
    assert len(text) == axi.DRAW_SLOT_BYTES == axi.STATUS_STREAM_BYTES


def test_slots_hold_the_widest_draw() -> None:
    assert VOCAB_LIMIT <= 1 << axi.DRAW_SLOT_FIELDS["token"].width
    assert VOCAB_LIMIT - 1 < 1 << axi.DRAW_SLOT_FIELDS["spread"].width
    assert axi.DRAW_SLOT_FIELDS["weight"].width >= UNIFORM_LIMIT_BITS
    assert axi.STATUS_STREAM_FIELDS["total"].width >= UNIFORM_LIMIT_BITS
    assert K_LIMIT < VOCAB_LIMIT


def bits_of(fields: dict[str, Field], values: dict[str, Const]) -> int:
    m, out = Module(), Signal(128)
    m.d.comb += out.eq(packed(fields, values))
    found = []

    async def bench(ctx) -> None:
        found.append(ctx.get(out))

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()
    return found[0]


def test_packed_puts_each_value_where_put_field_does() -> None:
    values = {"token": (0x5A5, 11), "tail": (1, 1), "spread": (77, 7), "weight": (0x1234_5678_9A, 40)}
    words = [0] * 4
    for name, (value, _) in values.items():
        put_field(words, axi.DRAW_SLOT_FIELDS, name, value)
    found = bits_of(axi.DRAW_SLOT_FIELDS, {name: Const(value, width) for name, (value, width) in values.items()})
    assert found == sum(word << 32 * index for index, word in enumerate(words))


@pytest.mark.parametrize(
    ("fields", "width"),
    [({"a": Field(0, 0, 4, "")}, 5), ({"a": Field(0, 0, 4, ""), "b": Field(0, 3, 4, "")}, 4)],
)
def test_packed_refuses_wide_values_and_overlaps(fields: dict[str, Field], width: int) -> None:
    with pytest.raises(ValueError, match="does not fit bits"):
        packed(fields, dict.fromkeys(fields, Const(0, width)))
