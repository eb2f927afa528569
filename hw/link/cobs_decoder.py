# SPDX-License-Identifier: Apache-2.0
"""COBS to bytes."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.frames import DELIMITER


class CobsDecoder(wiring.Component):
    """Undoes COBS byte by byte; every byte that comes in gives at most one that goes out, in the same cycle.

    Members
    -------
    byte : In(8), byte_stb : In(1)      from the wire, delimiters included
    data : Out(8), data_stb : Out(1)    of the packet; `data` stays while `byte` does
    end_stb : Out(1)                    a delimiter has come
    cut : Out(1)                        with `end_stb`: the last block is incomplete
    Golden       hw.spec.frames.cobs_decode
    """

    byte: In(8)
    byte_stb: In(1)
    data: Out(8)
    data_stb: Out(1)
    end_stb: Out(1)
    cut: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Bytes to come of a block; whether the zero behind the block before is left out.
        left, no_zero, is_code, was_code = Signal(8), Signal(init=1), Signal(), Signal()
        m.d.comb += [
            is_code.eq(left == 0),
            self.end_stb.eq(self.byte_stb & (self.byte == DELIMITER)),
            self.cut.eq(~is_code),
            self.data.eq(Mux(Mux(self.byte_stb, is_code, was_code), 0, self.byte)),
            self.data_stb.eq(self.byte_stb & ~self.end_stb & ~(is_code & no_zero)),
        ]
        with m.If(self.byte_stb):
            m.d.sync += was_code.eq(is_code)
            with m.If(self.end_stb):
                m.d.sync += [left.eq(0), no_zero.eq(1)]
            with m.Else():
                m.d.sync += left.eq(Mux(is_code, self.byte, left) - 1)
                with m.If(is_code):
                    m.d.sync += no_zero.eq(self.byte == 0xFF)
        return m
