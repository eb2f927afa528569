# SPDX-License-Identifier: Apache-2.0
"""Bytes to COBS, into a page of a memory."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.frames import DELIMITER


class CobsEncoder(wiring.Component):
    """Writes a packet of up to 254 bytes into 256 bytes of memory as COBS, delimiter included.

    The code of a block is written over the place of the zero that it stands for, when the block ends.

    Members
    -------
    data : In(8), data_stb : In(1)      of the packet
    end_stb : In(1)                     the packet is complete; not together with `data_stb`
    done_stb : Out(1)                   the delimiter is being written; data may come again in the next cycle
    address : Out(8), byte : Out(8), write_stb : Out(1)     of the memory
    Throughput   one byte per cycle, 2 cycles for the end
    Golden       hw.spec.frames.cobs_encode
    """

    data: In(8)
    data_stb: In(1)
    end_stb: In(1)
    done_stb: Out(1)
    address: Out(8)
    byte: Out(8)
    write_stb: Out(1)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        place, code_place, code = Signal(8, init=1), Signal(8), Signal(8, init=1)
        zero, closing = Signal(), Signal()  # a block ends; its code has been written and the delimiter is due
        m.d.comb += [
            zero.eq(self.end_stb | (self.data == 0)),
            self.done_stb.eq(closing),
            self.write_stb.eq(self.data_stb | self.end_stb | closing),
            self.address.eq(Mux(zero & ~closing, code_place, place)),
            self.byte.eq(Mux(closing, DELIMITER, Mux(zero, code, self.data))),
        ]
        m.d.sync += closing.eq(self.end_stb)
        with m.If(closing):
            m.d.sync += [place.eq(1), code_place.eq(0), code.eq(1)]
        with m.Elif(self.data_stb):
            m.d.sync += [place.eq(place + 1), code.eq(code + 1)]
            with m.If(zero):
                m.d.sync += [code_place.eq(place), code.eq(1)]
        return m
