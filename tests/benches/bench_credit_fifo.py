# SPDX-License-Identifier: Apache-2.0
"""Credit FIFO on the RTL against a queue: order, fullness, latency, stalls."""

import random
from collections import deque
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.tsu.credit_fifo import CreditFifo
from sim.bench_file import load_module
from sim.bfm import StreamSink, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

FIELDS = {"tail": 1, "index": 11}
OPTIONS = {
    "2": {"depth": 2},
    "16": {"depth": 16},
    "8+block": {"depth": 8, "block_ram": True},
    "16+pipelined": {"depth": 16, "pipelined": True},
}


def toplevel(**options):
    return lambda: _SUPPORT.Streamed(CreditFifo(fields=FIELDS, **options))


TOPLEVELS = {name: toplevel(**options) for name, options in OPTIONS.items()}


def depth() -> int:
    return int(_SUPPORT.base_variant())


def latency() -> int:
    return 3 if _SUPPORT.variant().endswith("+pipelined") else 2


def offer(dut, word: int, *, write: bool) -> None:
    """Put a word on the input; its fields lie in the order of `FIELDS`, lowest first."""
    dut.i__tail.value, dut.i__index.value, dut.write_stb.value = word & 1, word >> 1, int(write)


async def started(dut, kind: str) -> StreamSink:
    offer(dut, 0, write=False)
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
        writes = sent < 1000 and inside < depth() and (eager or rng.random() < 0.5)
        word = rng.getrandbits(sum(FIELDS.values()))
        offer(dut, word, write=writes)
        if writes:
            expected.append(word)
            sent += 1
        await RisingEdge(dut.clk)
        if sink.transfers == 1000:
            break
    dut.write_stb.value = 0
    _SUPPORT.check(list(sink.taken), expected, "entries")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def latency_is_published_and_an_entry_a_cycle_passes(dut):
    """The first entry is offered as many cycles after its strobe as published; then one a cycle."""
    sink = await started(dut, "none")
    sink.want(300)
    await cycles(dut, 3)
    first, seen = sink.cycle, None
    for number in range(300):
        offer(dut, number, write=depth() >= 16 or number % 2 == 0)
        await RisingEdge(dut.clk)
        if seen is None and dut.o__valid.value == 1:
            seen = sink.cycle - first - 1
    dut.write_stb.value = 0
    await cycles(dut, 4)
    assert seen == latency(), f"latency {seen}"
    step = 1 if depth() >= 16 else 2
    assert list(sink.taken) == list(range(0, 300, step))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_empties_it(dut):
    """After reset nothing old comes out."""
    sink = await started(dut, "none")
    for round_number in range(3):
        for number in range(depth()):
            offer(dut, 100 * round_number + number, write=True)
            await RisingEdge(dut.clk)
        dut.write_stb.value = 0
        await cycles(dut, 3)
        dut.rst.value = 1
        await cycles(dut, 2)
        dut.rst.value = 0
        sink.want(5)
        await cycles(dut, 10)
        assert not sink.taken
        offer(dut, 7, write=True)
        await RisingEdge(dut.clk)
        dut.write_stb.value = 0
        await cycles(dut, 5)
        assert list(sink.taken) == [7]
        sink.taken.clear()
        sink.refuse()
        await cycles(dut, 2)
