# SPDX-License-Identifier: Apache-2.0
"""Statuses, draws and answers to frames."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig, check_no_contexts
from hw.spec.frames import (
    CRC_BYTES,
    DEVICE_BIT,
    DRAW_ALARM_BIT,
    DRAW_LAST_BIT,
    DRAW_TRAILER_BYTES,
    FLOW_BYTES,
    FRAME_HEADER,
    FRAME_VERSION,
    HEADER_BYTES,
    STATUS_BYTES,
    WORD_BYTES,
    DrawRecord,
    FrameType,
)
from hw.spec.registers import ADDRESS_BITS
from hw.tsu.layouts import beat_layout, status_layout
from hw.tsu.memories import exclusive_memory

from .cobs_encoder import CobsEncoder
from .crc32 import Crc32
from .page_sender import PageSender

KIND_BITS = 3
"""A device frame is known by the low bits of its type."""


def kind_of(frame_type: FrameType) -> int:
    """Low bits of the type of a device frame."""
    return frame_type & (DEVICE_BIT - 1)


class FrameSender(wiring.Component):
    """Collects payloads, makes frames of them, and keeps them until the host has them.

    Draws are collected one by one until the run is full or the command ends, those of each group in a run of their
    own, and any other frame may come between two of them: a core that delivers nothing stops nothing else. Where
    several frames are due, errors, grants, answers and statuses go before draws. A request that comes while an answer
    is due is dropped: the host asks again. A register is sampled byte by byte within four cycles.

    Parameters
    ----------
    config : TsuConfig
    pages : int
        Frames that the host need not have acknowledged: a power of two in [2, 64].
    room_bits : int
        Width of `room`.

    Members
    -------
    i_status, i_draw : In(stream)        of `TsuCore`
    register_address : Out(4), register_data : In(32)
    alarm : In(1)                        of the health tests; goes into each DRAWS frame as it is made
    control_stb : In(1), control_type : In(3), argument : In(8)      of `FrameReceiver`, as are the next ones
    granted_stb : In(1), error_stb : In(1), error : In(3), expected : In(8), room : In
    o_byte : Out(stream(8))              to the line
    Reset        a delimiter and PONG 0 are sent
    Throughput   a byte of a frame in at most 8 cycles
    Raises       SpecError: pages, contexts
    """

    def __init__(self, *, config: TsuConfig, pages: int = 4, room_bits: int = 1) -> None:
        check_no_contexts(config, who="the serial link")
        self._config = config
        self._record = DrawRecord(config=config)
        self._pages = PageSender(pages=pages)
        self._draw_done, self._skip_done = Signal(), Signal()  # a draw has been taken care of; a lane holds none
        self._leaving = Signal()  # the beat has been
        super().__init__(
            {
                "i_status": In(stream.Signature(status_layout())),
                "i_draw": In(stream.Signature(beat_layout(config))),
                "register_address": Out(ADDRESS_BITS),
                "register_data": In(32),
                "alarm": In(1),
                "control_stb": In(1),
                "control_type": In(3),
                "argument": In(8),
                "granted_stb": In(1),
                "error_stb": In(1),
                "error": In(3),
                "expected": In(8),
                "room": In(room_bits),
                "o_byte": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.pages = pages = self._pages
        m.submodules.cobs = cobs = CobsEncoder()
        m.submodules.crc = crc = Crc32(bits_per_cycle=2)
        # A page for the draws of each group, and behind them one for the payload of any other frame.
        draft: Memory = exclusive_memory(shape=unsigned(8), depth=256 * (self._config.groups + 1))
        m.submodules.draft = draft
        write, read = draft.write_port(), draft.read_port()
        wiring.connect(m, pages.o_byte, wiring.flipped(self.o_byte))
        is_credit, is_resend = self._control(FrameType.CREDIT), self._control(FrameType.RESEND)
        m.d.comb += [
            pages.address.eq(cobs.address),
            pages.data.eq(cobs.byte),
            pages.write_stb.eq(cobs.write_stb),
            pages.frame_stb.eq(cobs.done_stb),
            pages.credit_stb.eq(self.control_stb & (is_credit | is_resend)),
            pages.resend.eq(is_resend),
            pages.expected.eq(self.argument),
            crc.clear_stb.eq(cobs.done_stb),
        ]
        kind, chosen, start_stb = Signal(KIND_BITS), Signal(KIND_BITS), Signal()
        position, trailer = Signal(8), Signal()
        filled, page = self._run()
        is_draws, done = Signal(), cobs.done_stb
        answers = (kind == kind_of(FrameType.PONG)) | (kind == kind_of(FrameType.REGISTER))
        m.d.comb += is_draws.eq(kind == kind_of(FrameType.DRAWS))
        answer, due = self._due(m, start_stb, chosen, done & answers)
        draw_byte, draw_ends, run_ends, skip = self._draws(m, filled, position, trailer)
        length = Signal(8)
        other_page = Const(self._config.groups, len(page))
        m.d.comb += [
            length.eq(Mux(is_draws, filled, self._length(kind))),
            self.register_address.eq(answer),
            self.i_status.ready.eq(done & (kind == kind_of(FrameType.STATUS))),
            write.addr.eq(Mux(is_draws, Cat(filled, page), Cat(position, other_page))),
            write.data.eq(self._payload(m, kind, position, draw_byte)),
            read.addr.eq(Cat(position, Mux(is_draws, page, other_page))),
        ]
        header = self._header(m, kind, position, answer, length)
        in_header, started, advance, complete = Signal(), Signal(), Signal(), Signal()
        # Byte `position` of the frame: registered, and there two cycles after its position.
        byte, coming, came = Signal(8), Signal(), Signal()
        m.d.sync += byte.eq(Mux(in_header, header, read.data))
        m.d.comb += [
            crc.byte.eq(cobs.data),
            advance.eq(started & ~crc.busy),
            crc.byte_stb.eq(cobs.data_stb),
        ]
        with m.If(cobs.data_stb):
            m.d.sync += started.eq(1)
        with m.Elif(advance):
            m.d.sync += [started.eq(0), position.eq(position + 1)]
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [position.eq(0), trailer.eq(0), in_header.eq(1)]
                for is_due, frame_type in reversed(due):
                    with m.If(is_due):
                        m.d.comb += [chosen.eq(kind_of(frame_type)), start_stb.eq(pages.free)]
                m.d.sync += kind.eq(chosen)
                with m.If(start_stb):
                    m.next = "FILL"
            with m.State("FILL"):
                m.d.comb += write.en.eq(1)
                m.d.sync += [position.eq(position + 1), coming.eq(0), came.eq(0), complete.eq(0)]
                with m.If(~is_draws):
                    with m.If(position[:4] == self._length(kind, less=1)):
                        m.d.sync += position.eq(0)
                        m.next = "BODY"
                with m.Elif(skip):
                    m.d.comb += self._skip_done.eq(1)
                    m.next = "IDLE"
                with m.Else():
                    m.d.sync += filled.eq(filled + 1)
                    with m.If(draw_ends):
                        m.d.sync += position.eq(0)
                        with m.If(trailer):
                            m.next = "BODY"
                        with m.Elif(run_ends):
                            m.d.sync += trailer.eq(1)
                        with m.Else():
                            m.d.comb += self._draw_done.eq(1)
                            m.next = "IDLE"
            with m.State("BODY"):
                m.d.sync += complete.eq(~in_header & (position == length))  # late, but before the byte has come
                m.d.comb += [cobs.data_stb.eq(came & ~started & ~complete), cobs.data.eq(byte)]
                m.d.sync += [coming.eq(~advance), came.eq(coming & ~advance)]
                with m.If(advance & in_header & (position[:3] == HEADER_BYTES - 1)):
                    m.d.sync += [in_header.eq(0), position.eq(0)]
                with m.If(complete):
                    m.d.sync += position.eq(0)
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.comb += [crc.drain.eq(1), cobs.data_stb.eq(~started), cobs.data.eq(crc.crc_byte)]
                with m.If(advance & (position[:2] == CRC_BYTES - 1)):
                    m.d.sync += position.eq(0)
                    m.next = "END"
            with m.State("END"):
                m.d.comb += cobs.end_stb.eq(~done)
                with m.If(done):
                    with m.If(is_draws):
                        m.d.comb += self._draw_done.eq(1)
                        m.d.sync += filled.eq(0)
                    m.next = "IDLE"
        return m

    def _run(self) -> tuple[Any, Value]:
        """Bytes in the draft of the run that the beat offered belongs to, and the page of the draft."""
        groups, width = self._config.groups, self._config.groups.bit_length()
        runs = [Signal(8, name=f"filled_{group}" if groups > 1 else "filled") for group in range(groups)]
        if groups == 1:
            return runs[0], Const(0, width)
        group = self.i_draw.payload.group
        return Array(runs)[group], Cat(group, Const(0, width - len(group)))

    def _control(self, frame_type: FrameType) -> Value:
        """Whether the control frame is of this type."""
        return self.control_type == frame_type

    @staticmethod
    def _length(kind: Value, *, less: int = 0) -> Value:
        """Payload bytes of a frame that is none of draws, less a constant."""
        short = Mux(kind == kind_of(FrameType.REGISTER), WORD_BYTES - less, FLOW_BYTES - less)
        return Mux(kind == kind_of(FrameType.STATUS), STATUS_BYTES - less, short)

    def _due(self, m: Module, start_stb: Value, chosen: Value, answered: Value) -> tuple[Signal, list[Any]]:
        """Argument of the answer, and what may be due, first one first.

        An event that comes while a frame of its kind is being made asks for another one.
        """
        error_due, grant_due, answer_due = Signal(), Signal(), Signal(init=1)
        answer, of_register = Signal(8), Signal()
        asked = self._control(FrameType.PING) | self._control(FrameType.READ_REGISTER)
        for flag, stb, frame_type in (
            (error_due, self.error_stb, FrameType.ERROR),
            (grant_due, self.granted_stb, FrameType.GRANT),
        ):
            with m.If(stb):
                m.d.sync += flag.eq(1)
            with m.Elif(start_stb & (chosen == kind_of(frame_type))):
                m.d.sync += flag.eq(0)
        with m.If(answered):
            m.d.sync += answer_due.eq(0)
        with m.Elif(self.control_stb & asked & ~answer_due):
            m.d.sync += [
                answer_due.eq(1),
                answer.eq(self.argument),
                of_register.eq(self._control(FrameType.READ_REGISTER)),
            ]
        return answer, [
            (error_due, FrameType.ERROR),
            (grant_due, FrameType.GRANT),
            (answer_due & of_register, FrameType.REGISTER),
            (answer_due, FrameType.PONG),
            (self.i_status.valid, FrameType.STATUS),
            (self.i_draw.valid & ~self._leaving, FrameType.DRAWS),
        ]

    def _header(self, m: Module, kind: Signal, index: Signal, answer: Signal, length: Value) -> Signal:
        """Byte `index` of the header."""
        tag, byte = Signal(16), Signal(8)
        with m.Switch(kind):
            with m.Case(kind_of(FrameType.STATUS)):
                m.d.comb += tag.eq(self.i_status.payload.tag)
            with m.Case(kind_of(FrameType.DRAWS)):
                m.d.comb += tag.eq(self.i_draw.payload.tag)
            with m.Case(kind_of(FrameType.ERROR)):
                m.d.comb += tag.eq(self.error)
            with m.Case(kind_of(FrameType.REGISTER), kind_of(FrameType.PONG)):
                m.d.comb += tag.eq(answer)
        values = {
            "version": Const(FRAME_VERSION, 8),
            "type": kind | DEVICE_BIT,
            "sequence": self._pages.sequence,
            "tag": tag,
            "length": length,
        }
        with m.Switch(index[:3]):
            for name, field in FRAME_HEADER.items():
                for part in range(field.size):
                    with m.Case(field.offset + part):
                        m.d.comb += byte.eq(values[name] >> (8 * part))
        return byte

    def _payload(self, m: Module, kind: Signal, index: Signal, draw_byte: Signal) -> Signal:
        """Byte `index` of the payload."""
        byte, status = Signal(8), self.i_status.payload
        with m.Switch(kind):
            with m.Case(kind_of(FrameType.DRAWS)):
                m.d.comb += byte.eq(draw_byte)
            with m.Case(kind_of(FrameType.STATUS)):
                m.d.comb += byte.eq(Cat(status.opcode, status.code, status.total).word_select(index[:4], 8))
            with m.Case(kind_of(FrameType.REGISTER)):
                m.d.comb += byte.eq(self.register_data.word_select(index[:2], 8))
            with m.Default():
                m.d.comb += byte.eq(Mux(index[0], self.room, self.expected))
        return byte

    def _draws(self, m: Module, filled: Value, index: Signal, trailer: Signal) -> tuple[Value, ...]:
        """Byte `index` of a draw or of the trailer, whether it is the last one, whether the run ends with it.

        The beat whose draw ends a run is taken when its frame is done, for its tag and spread are still needed.
        """
        beat, record, lanes = self.i_draw.payload, self._record, self._config.lanes
        lane = Signal(range(lanes))
        skip, byte, ends, run_ends, more = Signal(), Signal(8), Signal(), Signal(), Signal()
        draw = beat.draws[lane] if lanes > 1 else beat.draws[0]
        tail_place = 8 * record.token_bytes - 1
        gap = Const(0, tail_place - self._config.id_bits)
        fields = Cat(draw.token, gap, draw.tail, draw.weight)
        flags = Cat(self.alarm, Const(0, DRAW_LAST_BIT - DRAW_ALARM_BIT - 1), beat.last & ~more)
        trailer_fields = Cat(beat.spread, Const(0, DRAW_ALARM_BIT - self._config.id_bits), flags)
        if lanes > 1:
            m.d.comb += [
                skip.eq(~beat.keep.bit_select(lane, 1) & ~trailer & (index == 0)),
                more.eq((beat.keep >> 1 >> lane).any()),
            ]
        m.d.comb += [
            byte.eq(Mux(trailer, trailer_fields.word_select(index[:2], 8), fields.word_select(index[:4], 8))),
            ends.eq(index[:4] == Mux(trailer, DRAW_TRAILER_BYTES - 1, record.size - 1)),
            run_ends.eq((beat.last & ~more) | (filled == record.frame_draws * record.size - 1)),
        ]
        # The beat leaves a cycle later: its stream does not hang on the whole of this logic.
        m.d.comb += self.i_draw.ready.eq(self._leaving)
        m.d.sync += self._leaving.eq(self._draw_done & ~more)
        with m.If(self._draw_done | self._skip_done):
            m.d.sync += lane.eq(Mux(more | self._skip_done, lane + 1, 0))
        return byte, ends, run_ends, skip
