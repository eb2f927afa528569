# SPDX-License-Identifier: Apache-2.0
"""Command words of a frame that is known to be good."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.frames import FRAME_HEADER, FrameType
from hw.tsu.layouts import command_layout

_TYPE, _LENGTH = FRAME_HEADER["type"].offset, FRAME_HEADER["length"].offset
_WORD_END = _LENGTH + 4  # last byte of the first word; the others end where it does, modulo 4


class CommandFeeder(wiring.Component):
    """Reads a decoded command frame out of a page of memory and offers its words.

    Two cycles a byte: a word in 8 cycles, faster than any line brings it.

    Members
    -------
    page_ready : In(1)       a page holds a frame; high until `page_done_stb`
    page_done_stb : Out(1)   its last word is being taken
    address : Out(8)         of the page
    data : In(8)             what the memory holds there, one cycle later
    o_command : Out(stream(data, last))     `last` only with the last word of a COMMAND, not of a COMMAND_PART
    """

    page_ready: In(1)
    page_done_stb: Out(1)
    address: Out(8)
    data: In(8)
    o_command: Out(stream.Signature(command_layout()))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        came, in_payload, ends, words_left, low = Signal(), Signal(), Signal(), Signal(6), Signal(24)
        word_full, step, last_word = Signal(), Signal(), Signal()
        m.d.comb += [
            word_full.eq(self.address[:2] == _WORD_END % 4),
            last_word.eq(words_left == 1),
            self.o_command.valid.eq(came & in_payload & word_full),
            self.o_command.payload.data.eq(Cat(low, self.data)),
            self.o_command.payload.last.eq(ends & last_word),
            step.eq(came & (~self.o_command.valid | self.o_command.ready)),
            self.page_done_stb.eq(self.o_command.valid & self.o_command.ready & last_word),
        ]
        m.d.sync += came.eq(self.page_ready & ~step)
        with m.If(step):
            m.d.sync += [self.address.eq(self.address + 1), low.eq(Cat(low[8:], self.data))]
            with m.If(~in_payload & (self.address[:3] == _TYPE)):
                m.d.sync += ends.eq(self.data[:2] == FrameType.COMMAND)
            with m.If(~in_payload & (self.address[:3] == _LENGTH)):
                m.d.sync += [in_payload.eq(1), words_left.eq(self.data[2:])]
            with m.If(self.o_command.valid):
                m.d.sync += words_left.eq(words_left - 1)
        with m.If(self.page_done_stb):
            m.d.sync += [self.address.eq(0), in_payload.eq(0), came.eq(0)]
        return m
