# SPDX-License-Identifier: Apache-2.0
"""AXI4-Lite slave on the RTL, driven by cocotbext-axi: orders, pauses, strobes, bad addresses, resets."""

import random
from itertools import pairwise
from pathlib import Path

import cocotb
from amaranth import Array, Cat, Module, Signal
from amaranth.lib import wiring

from hw.axi.axi_lite import AxiLite, axi_lite_ports
from hw.axi.axi_stream import connect_flat
from sim.bench_file import load_module
from sim.bfm import cycles, start

_DRIVER = load_module(Path(__file__).with_name("axi_driver.py"))
OKAY, SLVERR, DECERR = _DRIVER.OKAY, _DRIVER.SLVERR, _DRIVER.DECERR
WORDS = 16
COUNTER = WORDS - 1
APERTURE = 1 << 12


class Scratch(wiring.Component):
    """15 registers with byte strobes behind the slave, and one, read-only, that counts the writes executed."""

    def __init__(self, bus: type = AxiLite) -> None:
        self._bus = bus
        super().__init__(axi_lite_ports("s_axil"))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bus = bus = self._bus()
        connect_flat(m, self, bus, "s_axil")
        words = Array([Signal(32, name=f"word_{index}") for index in range(WORDS)])
        mask = Cat(bus.write_strobe[index // 8] for index in range(32))
        read = Signal(32)
        m.d.sync += read.eq(words[bus.read_address[:4]])
        m.d.comb += bus.read_data.eq(read)
        for address, response in ((bus.write_address, bus.write_response), (bus.read_address, bus.read_response)):
            with m.If(address >= WORDS):
                m.d.comb += response.eq(DECERR)
        with m.If(bus.write_address == COUNTER):
            m.d.comb += bus.write_response.eq(SLVERR)
        with m.If(bus.write_stb):
            m.d.sync += words[COUNTER].eq(words[COUNTER] + 1)
            with m.If(bus.write_address < COUNTER):
                word = words[bus.write_address[:4]]
                m.d.sync += word.eq((word & ~mask) | (bus.write_data & mask))
        return m


TOPLEVELS = {"scratch": Scratch}

CHANNELS = tuple(_DRIVER.CHANNELS)
PAUSED = {"none": (), **{name: (name,) for name in CHANNELS}, "all": CHANNELS}


async def started(dut, *, paused=()):
    master = _DRIVER.axi_lite_master(dut, dut.clk, dut.rst, low_active=False, paused=paused)
    _DRIVER.watch_lite(dut, dut.clk, lambda: bool(dut.rst.value == 1))
    await start(dut)
    return master


async def counted(master) -> int:
    return int.from_bytes((await master.read(4 * COUNTER, 4)).data, "little")


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def bytes_of_any_length_and_alignment(dut, paused):
    """Writes and reads of 1 to 24 bytes at any byte address equal a byte array, whatever channel pauses."""
    master = await started(dut, paused=PAUSED[paused])
    rng, memory, words = random.Random(7), bytearray(4 * COUNTER), 0
    for _ in range(150):
        address = rng.randrange(len(memory))
        length = rng.randint(1, min(24, len(memory) - address))
        # What the interconnect's base adds above the aperture makes no difference.
        base = APERTURE * rng.choice([0, 1, 0x43C00, 0xFFFFF])
        if rng.randrange(2):
            data = rng.randbytes(length)
            response = await master.write(base + address, data)
            memory[address : address + length] = data
            words += (address + length - 1) // 4 - address // 4 + 1
        else:
            response = await master.read(base + address, length)
            assert bytes(response.data) == bytes(memory[address : address + length]), f"{length} bytes at {address}"
        assert response.resp == OKAY
    assert await counted(master) == words, "a write was lost or executed twice"


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def every_strobe_with_address_and_data_in_any_order(dut, paused):
    """All 16 strobes; the address comes long before the data, long after it, or at once."""
    master = await started(dut, paused=PAUSED[paused])
    channel = _DRIVER.lite_channels(master)
    rng, words = random.Random(8), [0] * COUNTER
    for number in range(96):
        strobe, order = number % 16, number % 3
        address, data = rng.randrange(COUNTER), rng.getrandbits(32)
        # Channels send in the background: the one that waits is sent later.
        aw = channel["aw"]._transaction_obj(awaddr=4 * address + rng.randrange(4), awprot=rng.randrange(8))
        w = channel["w"]._transaction_obj(wdata=data, wstrb=strobe)
        first, second = (("w", w), ("aw", aw)) if order == 1 else (("aw", aw), ("w", w))
        await channel[first[0]].send(first[1])
        if order:
            await cycles(dut, rng.randint(4, 12))
            assert dut.s_axil_bvalid.value == 0, "a response before the write was complete"
        await channel[second[0]].send(second[1])
        assert (await channel["b"].recv()).bresp == OKAY
        for byte in range(4):
            if strobe >> byte & 1:
                words[address] = words[address] & ~(0xFF << 8 * byte) | data & 0xFF << 8 * byte
    found = (await master.read(0, 4 * COUNTER)).data
    assert bytes(found) == _DRIVER.words_to_bytes(words)
    assert await counted(master) == 96


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def many_transfers_in_flight(dut, paused):
    """Writes and reads are queued at once; each gets its own answer, in order."""
    master = await started(dut, paused=PAUSED[paused])
    await master.write(0, bytes(range(4 * COUNTER)))
    writes = [cocotb.start_soon(master.write(4 * (i % COUNTER), bytes([i] * 4))) for i in range(40)]
    reads = [cocotb.start_soon(master.read(4 * (i % (COUNTER + 2)), 4)) for i in range(40)]
    for number, task in enumerate(writes):
        assert (await task).resp == OKAY, f"write {number}"
    for number, task in enumerate(reads):
        index, response = number % (COUNTER + 2), await task
        assert response.resp == (DECERR if index == WORDS else OKAY), f"read {number}"
        if index < COUNTER:
            assert response.data[0] in {4 * index, *range(index, 40, COUNTER)}, f"read {number}: {response.data}"
    assert await counted(master) == 40 + COUNTER
    last = [max(i for i in range(40) if i % COUNTER == word) for word in range(COUNTER)]
    assert bytes((await master.read(0, 4 * COUNTER)).data) == b"".join(bytes([i] * 4) for i in last)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def responses_are_those_of_the_registers(dut, paused):
    """Bad addresses and read-only registers are answered as such, and the good transfer behind them is not."""
    master = await started(dut, paused=PAUSED[paused])
    for address in (4 * WORDS, 0x800, APERTURE - 4, APERTURE + 4 * WORDS):
        assert (await master.read(address, 4)).resp == DECERR
        assert (await master.write(address, b"\xff" * 4)).resp == DECERR
        assert (await master.read(0, 4)).resp == OKAY
        assert (await master.write(4, b"\x01\x02\x03\x04")).resp == OKAY
    assert (await master.write(4 * COUNTER, b"\xff" * 4)).resp == SLVERR
    assert bytes((await master.read(0, 8)).data) == b"\x00\x00\x00\x00\x01\x02\x03\x04"
    assert await counted(master) == 9


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def reset_in_mid_transfer(dut, paused):
    """A reset at any moment of a write and a read: nothing of them is left."""
    master = await started(dut, paused=PAUSED[paused])
    for delay in range(12):
        cocotb.start_soon(master.write(4, b"\xaa" * 4))
        cocotb.start_soon(master.read(0, 4))
        if delay % 3 == 0:  # an address without its data
            channel = _DRIVER.lite_channels(master)["aw"]
            await channel.send(channel._transaction_obj(awaddr=8))
        await cycles(dut, delay)
        dut.rst.value = 1
        await cycles(dut, 2)
        dut.rst.value = 0
        await cycles(dut, 1)
        assert (await master.write(12, b"\x55" * 4)).resp == OKAY
        found = await master.read(0, 16)
        assert bytes(found.data) == bytes(12) + b"\x55" * 4, f"after {delay} cycles: {found.data}"
        assert await counted(master) == 1


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def latency_and_rate_are_the_published_ones(dut):
    """Cycles from the first VALID to the response, and between the responses of transfers in a row."""
    master = await started(dut)
    offers = {"aw": [], "b": [], "ar": [], "r": []}

    async def watch() -> None:
        for cycle in range(400):
            await cycles(dut, 1)
            for name, seen in offers.items():
                if getattr(dut, f"s_axil_{name}valid").value == 1:
                    seen.append(cycle)

    watching = cocotb.start_soon(watch())
    await master.write(0, bytes(4 * COUNTER))
    await master.read(0, 4 * COUNTER)
    await watching
    for name, answer, latency, rate in (
        ("aw", "b", AxiLite.WRITE_CYCLES, AxiLite.WRITE_CYCLES),
        ("ar", "r", AxiLite.READ_CYCLES + 2, AxiLite.READ_CYCLES + 3),
    ):
        answers = offers[answer]
        assert answers[0] - offers[name][0] == latency, f"{answers[0] - offers[name][0]} cycles to {answer}"
        gaps = {later - sooner for sooner, later in pairwise(answers)}
        assert gaps == {rate}, f"{gaps} cycles between answers on {answer}"
