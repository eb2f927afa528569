# SPDX-License-Identifier: Apache-2.0
"""Bytes to bits of a UART line."""

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .baud import BitTime, BitTimer


class UartTransmitter(wiring.Component):
    """Sends bytes with one start bit, eight data bits (lowest first) and one stop bit.

    Parameters
    ----------
    bit_time : BitTime

    Members
    -------
    i_byte : In(stream(8))
    pin : Out(1)           the line, from a register; high while idle
    Throughput   one byte in ten bit times and a cycle
    """

    i_byte: In(stream.Signature(8))
    pin: Out(1, init=1)

    def __init__(self, *, bit_time: BitTime) -> None:
        super().__init__()
        self._bit_time = bit_time

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.timer = timer = BitTimer(bit_time=self._bit_time, first_cycles=self._bit_time.cycles)
        active, rest = Signal(), Signal(9)  # what follows the bit on the line, ended by a one
        m.d.comb += [self.i_byte.ready.eq(~active), timer.run.eq(active)]
        with m.If(~active):
            with m.If(self.i_byte.valid):
                m.d.sync += [active.eq(1), self.pin.eq(0), rest.eq(Cat(self.i_byte.payload, Const(1, 1)))]
        with m.Elif(timer.tick):
            with m.If(rest == 0):
                m.d.sync += active.eq(0)
            with m.Else():
                m.d.sync += Cat(self.pin, rest).eq(rest)
        return m
