# SPDX-License-Identifier: Apache-2.0
"""UART receiver and transmitter on the RTL, their pins driven and sampled in nanoseconds, not in clock cycles.

Rates up to 2 % beside the nominal one, false starts, missing stop bits; with cocotbext-uart where it is installed.
"""

import random
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from cocotb.triggers import FallingEdge, RisingEdge, Timer, with_timeout
from cocotb.utils import get_sim_time

from hw.link.baud import BitTime
from hw.link.uart_receiver import UartReceiver
from hw.link.uart_transmitter import UartTransmitter
from sim.bench_file import load_module
from sim.bfm import CLOCK_NS, StreamSource, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

CLK_HZ = 1_000_000_000 // CLOCK_NS
BAUDS = {"12M": 12_000_000, "10M": 10_000_000, "3M": 3_000_000, "1M": 1_000_000}


class UartPair(wiring.Component):
    """A receiver and a transmitter that share nothing."""

    rx: In(1)
    tx: Out(1, init=1)
    byte: Out(8)
    byte_stb: Out(1)
    framing_stb: Out(1)
    i_byte: In(stream.Signature(8))

    def __init__(self, *, baud):
        super().__init__()
        self._bit_time = BitTime(clk_hz=CLK_HZ, baud=baud)

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartReceiver(bit_time=self._bit_time)
        m.submodules.transmitter = transmitter = UartTransmitter(bit_time=self._bit_time)
        connect(m, flipped(self.i_byte), transmitter.i_byte)
        m.d.comb += [receiver.pin.eq(self.rx), self.tx.eq(transmitter.pin)]
        m.d.comb += [getattr(self, name).eq(getattr(receiver, name)) for name in ("byte", "byte_stb", "framing_stb")]
        return m


TOPLEVELS = {name: partial(UartPair, baud=baud) for name, baud in BAUDS.items()}


class PinWriter:
    """Drives a line; edges are at multiples of the bit time, in picoseconds, whatever the clock does."""

    def __init__(self, pin, *, baud: float) -> None:
        self._pin, self.bit_ps = pin, 1e12 / baud
        pin.value = 1

    async def level(self, value: int, *, bits: float = 1.0) -> None:
        self._pin.value = value
        await Timer(round(self.bit_ps * bits), "ps")

    async def send(self, data: bytes, *, stop: int = 1, stop_bits: float = 1.0) -> None:
        """Bytes one behind the other, with a stop bit of this level."""
        for byte in data:
            for bit in (0, *(byte >> index & 1 for index in range(8))):
                await self.level(bit)
            await self.level(stop, bits=stop_bits)
        self._pin.value = 1


class PinReader:
    """Samples a line in the middle of its bits, from the falling edge of the start bit on.

    Attributes
    ----------
    taken : bytearray
    """

    def __init__(self, pin, *, baud: float) -> None:
        self._pin, self._bit_ps, self.taken = pin, 1e12 / baud, bytearray()
        self._task = cocotb.start_soon(self._run())

    async def _run(self) -> None:
        while True:
            await FallingEdge(self._pin)
            value = 0
            for index in range(10):
                await Timer(round(self._bit_ps * (1 if index else 0.5)), "ps")
                level = int(self._pin.value)
                if index == 0:
                    assert level == 0, "a start bit is shorter than half a bit"
                elif index == 9:
                    assert level == 1, "the stop bit is missing"
                else:
                    value |= level << (index - 1)
            self.taken.append(value)


async def collect(dut, found: list) -> None:
    """Bytes that the receiver hands over; None for a framing error."""
    while True:
        await RisingEdge(dut.clk)
        if dut.byte_stb.value == 1:
            found.append(int(dut.byte.value))
        if dut.framing_stb.value == 1:
            found.append(None)


def baud() -> int:
    return BAUDS[_SUPPORT.base_variant()]


async def started(dut, *, rate: float = 1.0):
    source = StreamSource(dut, "i_byte")
    writer, found = PinWriter(dut.rx, baud=baud() * rate), []
    await start(dut)
    cocotb.start_soon(collect(dut, found))
    await writer.level(1, bits=2)
    return source, writer, found


@cocotb.test(timeout_time=40, timeout_unit="ms")
@cocotb.parametrize(rate=[0.98, 1.0, 1.02])
async def every_byte_is_received(dut, rate):
    """All 256 bytes without pause, then 50 with pauses of any length, from a sender that is 2 % off."""
    _, writer, found = await started(dut, rate=rate)
    rng = random.Random(1)
    sent = list(range(256)) + [rng.randrange(256) for _ in range(50)]
    await writer.send(bytes(sent[:256]))
    for byte in sent[256:]:
        await writer.send(bytes([byte]), stop_bits=1 + rng.random())
    await writer.level(1, bits=2)
    _SUPPORT.check(found, sent, "bytes")


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def a_short_low_is_no_start_bit(dut):
    """Lows of up to a quarter of a bit are ignored, and the byte behind comes through."""
    _, writer, found = await started(dut)
    for part in (0.1, 0.2, 0.25):
        await writer.level(0, bits=part)
        await writer.level(1, bits=1)
        assert not found, f"a low of {part} bits gave {found}"
    await writer.send(b"\x5a")
    await writer.level(1, bits=2)
    assert found == [0x5A]


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def a_missing_stop_bit_is_flagged(dut):
    """No byte comes for it, and the next one is good."""
    _, writer, found = await started(dut)
    for byte in (0x00, 0xFF, 0x35):
        found.clear()
        await writer.send(bytes([byte]), stop=0, stop_bits=0.75)
        await writer.level(1, bits=12)
        await writer.send(bytes([byte]))
        await writer.level(1, bits=2)
        assert found[0] is None, f"{byte:#x} without stop bit gave {found}"
        assert found[-1] == byte


@cocotb.test(timeout_time=10, timeout_unit="ms")
async def every_byte_is_sent(dut):
    """All 256 bytes, read by a sampler with a clock of its own; they follow each other without a gap of a bit."""
    source, _, _ = await started(dut)
    reader = PinReader(dut.tx, baud=baud())
    first = get_sim_time("ns")
    await source.send(range(256), bound=400_000)
    await cycles(dut, round(12 * CLK_HZ / baud()))
    elapsed_ns = get_sim_time("ns") - first
    _SUPPORT.check(list(reader.taken), range(256), "bytes")
    assert elapsed_ns < (2560 * 1.005 + 14) * 1e9 / baud() + 256 * CLOCK_NS + 100, f"{elapsed_ns} ns"


@cocotb.test(timeout_time=40, timeout_unit="ms", skip=find_spec("cocotbext") is None)
async def cocotbext_uart_agrees(dut):
    """A UART model that others wrote sends and receives 64 random bytes; its bit time is whole nanoseconds."""
    from cocotbext.uart import UartSink, UartSource

    source, _, found = await started(dut)
    other, sink = UartSource(dut.rx, baud=baud(), bits=8), UartSink(dut.tx, baud=baud(), bits=8)
    data = random.Random(2).randbytes(64)
    await other.write(data)
    source.put(data)
    received = bytearray()
    while len(received) < len(data):
        received += await with_timeout(sink.read(1), 1, "ms")
    await other.wait()
    await cycles(dut, round(4 * CLK_HZ / baud()))
    _SUPPORT.check(found, data, "bytes to the device")
    _SUPPORT.check(list(received), data, "bytes from the device")
