# SPDX-License-Identifier: Apache-2.0
"""Skid buffer on the RTL: order under stalls on both sides, full rate, no way from the output's stall to the input."""

import random
from pathlib import Path

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from hw.tsu.skid_buffer import SkidBuffer
from sim.bench_file import load_module
from sim.bfm import StreamSink, StreamSource, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

FIELDS = {"tail": 1, "index": 11}
TOPLEVELS = {"default": lambda: _SUPPORT.Streamed(SkidBuffer(fields=FIELDS))}


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(into=list(_SUPPORT.STALLS), out=list(_SUPPORT.STALLS))
async def entries_come_in_order(dut, into, out):
    """1000 entries; the bus models check that a stalled entry stays."""
    words = [random.Random(5).getrandbits(sum(FIELDS.values())) for _ in range(1000)]
    source = StreamSource(dut, "i", stalls=_SUPPORT.stalls(into, 1))
    sink = StreamSink(dut, "o", stalls=_SUPPORT.stalls(out, 2))
    await start(dut)
    source.put(words)
    _SUPPORT.check(await sink.read(1000, bound=20_000), words, "entries")
    assert source.transfers == 1000


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def an_entry_a_cycle_passes_without_delay(dut):
    """Without stalls 300 entries take 300 cycles, the first one none."""
    source, sink = StreamSource(dut, "i"), StreamSink(dut, "o")
    await start(dut)
    sink.want(300)
    source.put(list(range(300)))
    while sink.transfers == 0:
        await RisingEdge(dut.clk)
    assert source.transfers == sink.transfers
    await cycles(dut, 299)
    assert sink.transfers == 300


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def ready_in_does_not_follow_ready_out(dut):
    """One entry is taken in the cycle in which the output stalls, and none in the next."""
    dut.i__valid.value, dut.o__ready.value, dut.i__payload.value = 0, 0, 0
    await start(dut)
    dut.i__valid.value = 1
    for _ in range(20):
        dut.o__ready.value = 1
        await cycles(dut, 2)
        dut.o__ready.value = 0
        await ReadOnly()
        assert dut.i__ready.value == 1, "the stall came through"
        await RisingEdge(dut.clk)
        await ReadOnly()
        assert dut.i__ready.value == 0, "an entry was taken that has no place"
        await RisingEdge(dut.clk)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_empties_it(dut):
    """After reset nothing that was kept comes out."""
    source, sink = StreamSource(dut, "i"), StreamSink(dut, "o")
    await start(dut)
    source.put([1, 2])
    await cycles(dut, 3)
    dut.rst.value = 1
    await cycles(dut, 1)
    source.drop()
    await cycles(dut, 1)
    dut.rst.value = 0
    sink.want(3)
    await cycles(dut, 5)
    assert not sink.taken
    source.put([7])
    await cycles(dut, 4)
    assert list(sink.taken) == [7]
