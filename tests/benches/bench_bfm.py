# SPDX-License-Identifier: Apache-2.0
"""The bus models themselves: nothing lost, repeated or reordered; broken stream rules are noticed."""

import random

import cocotb
from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from sim.bfm import StreamMonitor, StreamSink, StreamSource, burst_stalls, never, random_stalls, start


class Slice(wiring.Component):
    """One register between two streams. While `fault_stb` is high it offers a counter instead, in every other cycle."""

    i_data: In(stream.Signature(16))
    o_data: Out(stream.Signature(16))
    fault_stb: In(1)

    def elaborate(self, platform):
        m = Module()
        full = Signal()
        word = Signal(16)
        toggle = Signal(16)
        m.d.sync += toggle.eq(toggle + 1)
        m.d.comb += [
            self.i_data.ready.eq(~full | self.o_data.ready),
            self.o_data.valid.eq(Mux(self.fault_stb, toggle[0], full)),
            self.o_data.payload.eq(Mux(self.fault_stb, toggle, word)),
        ]
        with m.If(self.i_data.ready):
            m.d.sync += [full.eq(self.i_data.valid), word.eq(self.i_data.payload)]
        return m


TOPLEVELS = {"slice": Slice}

PATTERNS = {
    "none": never,
    "sparse": lambda: random_stalls(0.1, seed=1),
    "dense": lambda: random_stalls(0.8, seed=2),
    "bursts": lambda: burst_stalls(2, 7),
}


async def setup(dut, source_stalls, sink_stalls):
    """Reset and attach the models."""
    dut.fault_stb.value = 0
    source = StreamSource(dut, "i_data", stalls=source_stalls)
    sink = StreamSink(dut, "o_data", stalls=sink_stalls)
    await start(dut)
    return source, sink


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(source=list(PATTERNS), sink=list(PATTERNS))
async def all_payloads_in_order(dut, source, sink):
    """Every pair of stall patterns gives the same payloads; a monitor sees what the sink takes."""
    data = [random.getrandbits(16) for _ in range(200)]
    driver, taker = await setup(dut, PATTERNS[source](), PATTERNS[sink]())
    monitor = StreamMonitor(dut, "o_data")
    driver.put(data)
    found = await taker.read(150)
    found += await taker.read(50)
    assert found == data, "payloads differ"
    assert await monitor.read(200) == data, "the monitor saw other payloads"
    assert (driver.transfers, taker.transfers, monitor.transfers) == (200, 200, 200), "transfers differ"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def no_stall_is_one_payload_per_cycle(dut):
    """200 payloads in 200 cycles, and two to fill and drain."""
    driver, taker = await setup(dut, never(), never())
    taker.want(200)
    first = driver.cycle
    await driver.send(range(200))
    await taker.read(200)
    assert driver.cycle - first <= 204, f"{driver.cycle - first} cycles"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def stalls_are_stalls(dut):
    """Bursts of 2 cycles in 9 let at most 2 payloads in 9 cycles through."""
    driver, taker = await setup(dut, never(), burst_stalls(2, 7))
    driver.put(range(100))
    first = taker.cycle
    await taker.read(90)
    assert taker.cycle - first >= 9 * 44, f"{taker.cycle - first} cycles"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def dropped_payloads_are_not_offered(dut):
    """After a reset and `drop` only new payloads come."""
    driver, taker = await setup(dut, never(), never())
    driver.put(range(10))
    await taker.read(3)
    dut.rst.value = 1
    driver.drop()
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    driver.put([77, 78])
    assert await taker.read(2) == [77, 78], "an old payload came out"


@cocotb.test(timeout_time=1, timeout_unit="ms", expect_fail=True)
async def a_withdrawn_offer_is_noticed(dut):
    """The faulty mode withdraws an offer that was not taken."""
    _, taker = await setup(dut, never(), never())
    dut.fault_stb.value = 1
    for _ in range(10):
        await RisingEdge(dut.clk)
    taker.stop()


@cocotb.test(timeout_time=1, timeout_unit="ms", expect_fail=True)
async def a_missing_payload_is_noticed(dut):
    """A read is bounded."""
    _, taker = await setup(dut, never(), never())
    await taker.read(1, bound=50)


@cocotb.test(timeout_time=1, timeout_unit="ms", expect_fail=True)
async def a_refused_payload_is_noticed(dut):
    """A send is bounded."""
    driver, _ = await setup(dut, never(), never())
    await driver.send([1, 2, 3], bound=50)
