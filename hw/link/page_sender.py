# SPDX-License-Identifier: Apache-2.0
"""Keeps the frames that the host has not acknowledged, and sends them."""

from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec.errors import check_power_of_two
from hw.spec.frames import DELIMITER
from hw.tsu.memories import exclusive_memory

from .frame_receiver import PAGE_BYTES


class PageSender(wiring.Component):
    """A window of encoded frames: each is sent once, and again when the host asks for it, until it is acknowledged.

    The number of a frame says which page holds it. After reset a delimiter goes first, to end what was cut off.

    Parameters
    ----------
    pages : int
        Frames of the window: a power of two in [2, 64].

    Members
    -------
    address : In(8), data : In(8), write_stb : In(1)      write into the page of frame `sequence`
    frame_stb : In(1)       that page is complete; only while `free`
    sequence : Out(8)       number of the frame that is being written
    free : Out(1)           the window has room for it
    credit_stb : In(1), resend : In(1), expected : In(8)
        The host has every frame before `expected`; with `resend`, send those from there on again. An
        acknowledgement of a frame outside the window, or of one that is still to be sent, is ignored.
    o_byte : Out(stream(8))
    Latency      from frame_stb to o_byte.valid: 3 cycles
    Throughput   one byte in two cycles
    Raises       SpecError: pages
    """

    def __init__(self, *, pages: int = 4) -> None:
        self._pages = check_power_of_two("send_pages", pages, 2, 64)
        super().__init__(
            {
                "address": In(8),
                "data": In(8),
                "write_stb": In(1),
                "frame_stb": In(1),
                "sequence": Out(8),
                "free": Out(1),
                "credit_stb": In(1),
                "resend": In(1),
                "expected": In(8),
                "o_byte": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        memory: Memory = exclusive_memory(shape=unsigned(8), depth=self._pages * PAGE_BYTES)
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port()
        page_bits = (self._pages - 1).bit_length()
        # Frames in the window, and those of them that wait to be sent.
        held, unsent = Signal(page_bits + 1), Signal(page_bits + 1)
        position, came, lead, again, taken = Signal(8), Signal(), Signal(init=1), Signal(), Signal()
        m.d.comb += [
            write.en.eq(self.write_stb),
            write.addr.eq(Cat(self.address, self.sequence[:page_bits])),
            write.data.eq(self.data),
            read.addr.eq(Cat(position, (self.sequence - unsent)[:page_bits])),
            self.free.eq(~held[-1]),
            self.o_byte.valid.eq(came | lead),
            self.o_byte.payload.eq(read.data & (~lead).replicate(8)),
            taken.eq(self.o_byte.ready & came & ~lead),
        ]
        with m.If(self.o_byte.ready):
            m.d.sync += lead.eq(0)
        # Whatever changes the window does so between frames, or adds to its far end.
        between, sent_stb, repeat_stb = Signal(), Signal(), Signal()
        m.d.comb += [
            between.eq((position == 0) & ~came),
            sent_stb.eq(taken & (read.data == DELIMITER)),
            repeat_stb.eq(again & between & ~self.frame_stb & ~self.credit_stb),
        ]
        m.d.sync += came.eq((unsent != 0) & ~taken & ~repeat_stb & ~lead)
        with m.If(taken):
            m.d.sync += position.eq(position + 1)
            with m.If(sent_stb):
                m.d.sync += position.eq(0)
        with m.If(self.frame_stb):
            m.d.sync += self.sequence.eq(self.sequence + 1)
        ahead, acknowledged = Signal(8), Signal()
        m.d.comb += [
            ahead.eq(self.sequence - self.expected),
            acknowledged.eq(self.credit_stb & (ahead <= held) & (ahead >= unsent)),
        ]
        with m.If(repeat_stb):
            m.d.sync += [unsent.eq(held), again.eq(0)]
        with m.Else():
            m.d.sync += unsent.eq(unsent + self.frame_stb - sent_stb)
        with m.If(self.credit_stb & self.resend):
            m.d.sync += again.eq(1)
        with m.If(acknowledged):
            m.d.sync += held.eq(ahead + self.frame_stb)
        with m.Else():
            m.d.sync += held.eq(held + self.frame_stb)
        return m
