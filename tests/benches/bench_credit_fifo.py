# SPDX-License-Identifier: Apache-2.0
"""Credit FIFO on the RTL against a queue: order, fullness, latency, stalls."""

import random
from collections import deque
from functools import partial
from pathlib import Path

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from hw.tsu.credit_fifo import CreditFifo
from sim.bench_file import load_module
from sim.bfm import StreamSink, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

SHAPE = data.StructLayout({"tail": 1, "index": 11})
TOPLEVELS = {str(depth): partial(CreditFifo, shape=SHAPE, depth=depth) for depth in (2, 16)} | {
    "8+block": partial(CreditFifo, shape=SHAPE, depth=8, block_ram=True)
}


def depth() -> int:
    return int(_SUPPORT.base_variant())


async def started(dut, kind: str) -> StreamSink:
    dut.write_stb.value, dut.i.value = 0, 0
    sink = StreamSink(dut, "o", stalls=_SUPPORT.stalls(kind, 4))
    await start(dut)
    return sink


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS), eager=[True, False])
async def entries_come_in_order(dut, kind, eager):
    """1000 entries, never more than `depth` inside; between strobes the input is random."""
    sink, rng = await started(dut, kind), random.Random(3)
    sink.want(1000)
    sent = 0
    expected = deque()
    for _ in range(20_000):
        inside = sent - sink.transfers
        offer = sent < 1000 and inside < depth() and (eager or rng.random() < 0.5)
        word = rng.getrandbits(SHAPE.size)
        dut.i.value, dut.write_stb.value = word, int(offer)
        if offer:
            expected.append(word)
            sent += 1
        await RisingEdge(dut.clk)
        if sink.transfers == 1000:
            break
    dut.write_stb.value = 0
    _SUPPORT.check(list(sink.taken), expected, "entries")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def latency_is_published_and_an_entry_a_cycle_passes(dut):
    """The first entry is offered LATENCY_CYCLES after its strobe; then one a cycle."""
    sink = await started(dut, "none")
    sink.want(300)
    await cycles(dut, 3)
    first, seen = sink.cycle, None
    for number in range(300):
        dut.i.value, dut.write_stb.value = number, int(depth() >= 16 or number % 2 == 0)
        await RisingEdge(dut.clk)
        if seen is None and dut.o__valid.value == 1:
            seen = sink.cycle - first - 1
    dut.write_stb.value = 0
    await cycles(dut, 4)
    assert seen == CreditFifo.LATENCY_CYCLES, f"latency {seen}"
    step = 1 if depth() >= 16 else 2
    assert list(sink.taken) == list(range(0, 300, step))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_empties_it(dut):
    """After reset nothing old comes out."""
    sink = await started(dut, "none")
    for round_number in range(3):
        for number in range(depth()):
            dut.i.value, dut.write_stb.value = 100 * round_number + number, 1
            await RisingEdge(dut.clk)
        dut.write_stb.value = 0
        await cycles(dut, 3)
        dut.rst.value = 1
        await cycles(dut, 2)
        dut.rst.value = 0
        sink.want(5)
        await cycles(dut, 10)
        assert not sink.taken
        dut.i.value, dut.write_stb.value = 7, 1
        await RisingEdge(dut.clk)
        dut.write_stb.value = 0
        await cycles(dut, 5)
        assert list(sink.taken) == [7]
        sink.taken.clear()
        sink.refuse()
        await cycles(dut, 2)
