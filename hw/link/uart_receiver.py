# SPDX-License-Identifier: Apache-2.0
"""Bits of a UART line to bytes."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

from .baud import BitTime, BitTimer


class UartReceiver(wiring.Component):
    """Bytes of a line with one start bit, eight data bits (lowest first), one stop bit, no parity.

    A start bit that is over by its middle is none. Where the stop bit is missing, `framing_stb` comes in place
    of the byte, and the next falling edge (or a line that stays low) is a start bit again.

    Parameters
    ----------
    bit_time : BitTime

    Members
    -------
    pin : In(1)            the line, from another clock
    byte : Out(8)          valid with `byte_stb`, and `STABLE_CYCLES` in all
    byte_stb : Out(1)
    framing_stb : Out(1)
    Latency      from the middle of the stop bit: 3 cycles
    """

    STABLE_CYCLES = 4

    pin: In(1)
    byte: Out(8)
    byte_stb: Out(1)
    framing_stb: Out(1)

    def __init__(self, *, bit_time: BitTime) -> None:
        super().__init__()
        self._bit_time = bit_time

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.pin = FFSynchronizer(self.pin, line, init=1)
        m.submodules.timer = timer = BitTimer(bit_time=self._bit_time, first_cycles=self._bit_time.cycles // 2)
        active, starting, stopping, count = Signal(), Signal(), Signal(), Signal(3)
        m.d.comb += timer.run.eq(active)
        m.d.sync += [self.byte_stb.eq(0), self.framing_stb.eq(0)]
        with m.If(~active):
            m.d.sync += [active.eq(~line), starting.eq(1), stopping.eq(0)]
        with m.Elif(timer.tick):
            with m.If(starting):
                m.d.sync += [starting.eq(0), active.eq(~line)]
            with m.Elif(stopping):
                m.d.sync += [active.eq(0), self.byte_stb.eq(line), self.framing_stb.eq(~line)]
            with m.Else():
                m.d.sync += [self.byte.eq(Cat(self.byte[1:], line)), count.eq(count + 1), stopping.eq(count.all())]
        return m
