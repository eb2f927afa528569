# SPDX-License-Identifier: Apache-2.0
"""Bytes of the line to commands and control events, once the whole frame is known to be good."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec.errors import check_power_of_two
from hw.spec.frames import CRC_BYTES, FRAME_HEADER, FRAME_MAX_BYTES, FRAME_VERSION, FrameType, LinkError
from hw.tsu.layouts import command_layout
from hw.tsu.memories import exclusive_memory

from .cobs_decoder import CobsDecoder
from .command_feeder import CommandFeeder
from .crc32 import Crc32

PAGE_BYTES = 256
"""Memory of one frame."""

_AT = {name: field.offset for name, field in FRAME_HEADER.items()}

_LEFT_AT_END = 0x100 - CRC_BYTES
"""Where a byte counter is that was set to `length` and counts every byte behind it down."""

_LENGTH_WRAPS = _LEFT_AT_END
"""From this length on a frame that is too short would bring the counter there."""


class _Facts:
    """Registers that a verdict is formed from."""

    def __init__(self) -> None:
        self.left = Signal(8, init=0x80)  # bytes to come, from the length byte on; far from the end before it
        self.begun = Signal()  # something came since the last delimiter
        self.broken = Signal()  # no byte of the frame can be trusted
        self.version_good, self.type_good, self.is_command = Signal(), Signal(), Signal()
        self.due, self.taken = Signal(), Signal()  # its number is the expected one; it was taken already
        self.empty, self.whole_words = Signal(), Signal()
        self.verdict_stb = Signal()
        self.again = Signal()  # not a register: a good command frame that was taken already


class FrameReceiver(wiring.Component):
    """Keeps a frame in a page of memory until its end, judges it, and lets only good ones have an effect.

    A control frame takes effect at once and its page is used again; the page of a command frame belongs to
    `CommandFeeder` until its words are taken. One page always stays free, so that control frames get through
    while commands wait. A refused frame changes nothing but `error`; an empty one not even that.

    Parameters
    ----------
    pages : int
        A power of two in [2, 64]; `pages` - 1 command frames wait at most.

    Members
    -------
    byte : In(8), byte_stb : In(1), framing_stb : In(1)     of `UartReceiver`
    o_command : Out(stream(data, last))
    control_stb : Out(1), control_type : Out(3), argument : Out(8)     a control frame: type, low byte of its tag
    granted_stb : Out(1)        a page came free, or a command frame came for the second time
    error_stb : Out(1), error : Out(3)          a frame was refused: `LinkError`
    expected : Out(8)           number of the next command frame
    room : Out(range(pages))    command frames that may come
    Latency      from the byte of the delimiter to the event: 2 cycles
    Raises       SpecError: pages
    """

    def __init__(self, *, pages: int = 2) -> None:
        self._pages = check_power_of_two("receive_pages", pages, 2, 64)
        super().__init__(
            {
                "byte": In(8),
                "byte_stb": In(1),
                "framing_stb": In(1),
                "o_command": Out(stream.Signature(command_layout())),
                "control_stb": Out(1),
                "control_type": Out(3),
                "argument": Out(8),
                "granted_stb": Out(1),
                "error_stb": Out(1),
                "error": Out(3),
                "expected": Out(8),
                "room": Out(range(pages), init=pages - 1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.cobs = cobs = CobsDecoder()
        m.submodules.crc = crc = Crc32(bits_per_cycle=2)
        m.submodules.feeder = feeder = CommandFeeder()
        memory: Memory = exclusive_memory(shape=unsigned(8), depth=self._pages * PAGE_BYTES)
        m.submodules.memory = memory
        write, read = memory.write_port(), memory.read_port()

        index, page_written, page_read = Signal(8), Signal(range(self._pages)), Signal(range(self._pages))
        m.d.comb += [
            cobs.byte.eq(self.byte),
            cobs.byte_stb.eq(self.byte_stb),
            crc.byte.eq(cobs.data),
            crc.byte_stb.eq(cobs.data_stb),
            write.en.eq(cobs.data_stb),
            write.addr.eq(Cat(index, page_written)),
            write.data.eq(cobs.data),
            read.addr.eq(Cat(feeder.address, page_read)),
            feeder.data.eq(read.data),
            feeder.page_ready.eq(self.room != self._pages - 1),
        ]
        wiring.connect(m, feeder.o_command, wiring.flipped(self.o_command))
        facts = self._collect(m, cobs, crc, index)
        accept_stb = self._judge(m, facts, crc.good)
        with m.If(accept_stb):
            m.d.sync += [page_written.eq(page_written + 1), self.expected.eq(self.expected + 1)]
        with m.If(feeder.page_done_stb):
            m.d.sync += page_read.eq(page_read + 1)
        with m.If(accept_stb != feeder.page_done_stb):
            m.d.sync += self.room.eq(Mux(accept_stb, self.room - 1, self.room + 1))
        m.d.sync += self.granted_stb.eq(feeder.page_done_stb | (facts.verdict_stb & facts.again))
        return m

    def _collect(self, m: Module, cobs: CobsDecoder, crc: Crc32, index: Signal) -> "_Facts":
        """What has to be known of the frame, noted while its bytes pass; a verdict is due when its end has come."""
        facts = _Facts()
        left, byte, behind = facts.left, cobs.data, Signal(8)
        m.d.comb += [crc.clear_stb.eq(facts.verdict_stb), behind.eq(self.expected + ~byte)]
        m.d.sync += facts.verdict_stb.eq(cobs.end_stb & facts.begun)
        with m.If(self.framing_stb | (cobs.end_stb & cobs.cut)):
            m.d.sync += facts.broken.eq(1)
        with m.If(self.framing_stb | (self.byte_stb & ~cobs.end_stb)):
            m.d.sync += facts.begun.eq(1)
        with m.If(cobs.data_stb):
            m.d.sync += [index.eq(index + 1), left.eq(left - 1)]
            with m.If(index >= FRAME_MAX_BYTES):
                m.d.sync += facts.broken.eq(1)
            with m.Switch(index):
                with m.Case(_AT["version"]):
                    m.d.sync += facts.version_good.eq(byte == FRAME_VERSION)
                with m.Case(_AT["type"]):
                    m.d.sync += [
                        self.control_type.eq(byte),
                        facts.type_good.eq((byte != 0) & (byte[3:] == 0)),
                        facts.is_command.eq((byte == FrameType.COMMAND) | (byte == FrameType.COMMAND_PART)),
                    ]
                with m.Case(_AT["sequence"]):
                    # Less one: all ones for the frame that is due, 0..127 for one that was taken already.
                    m.d.sync += [facts.due.eq(behind.all()), facts.taken.eq(~behind[7])]
                with m.Case(_AT["tag"]):
                    m.d.sync += self.argument.eq(byte)
                with m.Case(_AT["length"]):
                    m.d.sync += [left.eq(byte), facts.empty.eq(byte == 0), facts.whole_words.eq(byte[:2] == 0)]
                    with m.If(byte >= _LENGTH_WRAPS):
                        m.d.sync += facts.broken.eq(1)
        with m.If(facts.verdict_stb):
            m.d.sync += [index.eq(0), left.eq(left.init), facts.broken.eq(0), facts.begun.eq(0)]
        return facts

    def _judge(self, m: Module, facts: "_Facts", crc_good: Signal) -> Signal:
        """One verdict for each frame; returns the strobe of an accepted command frame."""
        accept_stb, refused = Signal(), Signal(LinkError)
        # Registers, although the verdict is due a cycle after the frame's end: the last byte came before that.
        crc_was_good, at_end = Signal(), Signal()
        m.d.sync += [crc_was_good.eq(crc_good), at_end.eq(facts.left == _LEFT_AT_END)]
        rules = (
            (facts.broken | ~at_end, LinkError.MALFORMED),
            (~crc_was_good, LinkError.BAD_CRC),
            (~facts.version_good, LinkError.BAD_VERSION),
            (~facts.type_good, LinkError.BAD_TYPE),
            (Mux(facts.is_command, facts.empty | ~facts.whole_words, ~facts.empty), LinkError.BAD_LENGTH),
            (facts.is_command & ~facts.due & ~facts.taken, LinkError.GAP),
            (facts.is_command & facts.due & (self.room == 0), LinkError.NO_ROOM),
        )
        good = Signal()
        m.d.comb += good.eq(1)
        for broken, reason in reversed(rules):
            with m.If(broken):
                m.d.comb += [good.eq(0), refused.eq(reason)]
        m.d.comb += [
            accept_stb.eq(facts.verdict_stb & good & facts.is_command & facts.due),
            facts.again.eq(good & facts.is_command & facts.taken),
        ]
        m.d.sync += [
            self.error_stb.eq(facts.verdict_stb & ~good),
            self.control_stb.eq(facts.verdict_stb & good & ~facts.is_command),
        ]
        with m.If(facts.verdict_stb & ~good):
            m.d.sync += self.error.eq(refused)
        return accept_stb
