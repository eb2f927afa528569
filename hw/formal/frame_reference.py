# SPDX-License-Identifier: Apache-2.0
"""The frames of the serial link as their definition has them, for the proof of the frame receiver.

COBS by the code of the block under way and the bytes of it that have come; the CRC bit by bit, highest power at the
top; a frame is right where its last four bytes are the CRC of those before them.
"""

from amaranth.hdl import Cat, Const, Mux, Signal, Value

from hw.spec.frames import (
    CRC_BYTES,
    FRAME_HEADER,
    FRAME_MAX_BYTES,
    FRAME_OVERHEAD_BYTES,
    FRAME_VERSION,
    SEQUENCE_COUNT,
    WORD_BYTES,
    FrameType,
)

from .bench import Bench

CRC_BITS, GENERATOR = 32, 0x04C1_1DB7
"""CRC of IEEE 802.3: its width, and the generator polynomial without x^32."""

TOO_LONG = FRAME_MAX_BYTES + 1
"""Where the count of bytes stays."""


def crc_bits(state: Value, bits: Value) -> Value:
    """State of the CRC after some bits, the first one lowest."""
    for index in range(len(bits)):
        feedback = state[-1] ^ bits[index]
        state = Cat(Const(0, 1), state[:-1]) ^ Mux(feedback, GENERATOR, 0)
        state = state[:CRC_BITS]
    return state


def reflected(state: Value) -> Value:
    """The same with the highest power at the bottom, as the CRC goes over the line."""
    return Cat(reversed(list(state)))


class FrameReference:
    """What came since the last delimiter, and what is to be said of it in the cycle behind the next one.

    Parameters
    ----------
    b : Bench
    byte, byte_stb, lost_stb : Value
        A byte of the line; one that was lost. Both at most once in the four cycles of a byte.
    """

    def __init__(self, b: Bench, *, byte: Value, byte_stb: Value, lost_stb: Value) -> None:
        m = b.m
        # COBS: code of the block under way, 0 without one; its bytes that have come.
        self.code, self.inside = Signal(8, name="ref_code"), Signal(8, name="ref_inside")
        self.complete = (self.code == 0) | (self.inside == (self.code - 1)[:8])
        self.ends = byte_stb & (byte == 0)
        self.ended = Signal(name="ref_ended")
        self.data, self.data_stb = Signal(8, name="ref_data"), Signal(name="ref_data_stb")
        is_code = self.complete
        gives = ~is_code | ((self.code != 0) & (self.code != 255))
        m.d.comb += [self.data.eq(Mux(is_code, 0, byte)), self.data_stb.eq(byte_stb & (byte != 0) & gives)]
        m.d.sync += self.ended.eq(self.ends)
        with m.If(byte_stb & ~self.ends):
            m.d.sync += [self.code.eq(Mux(is_code, byte, self.code)), self.inside.eq(Mux(is_code, 0, self.inside + 1))]

        # The frame: its bytes, the fields, whether anything came and whether something was lost.
        self.count = Signal(range(TOO_LONG + 1), name="ref_count")
        self.some, self.lost = Signal(name="ref_some"), Signal(name="ref_lost")
        self.field = {name: Signal(8, name=f"ref_{name}") for name in FRAME_HEADER}
        m.d.sync += [self.some.eq(self.some | lost_stb | (byte_stb & ~self.ends)), self.lost.eq(self.lost | lost_stb)]
        # The CRC register now and before each of the last bytes, and these bytes, the latest first.
        ones = (1 << CRC_BITS) - 1
        self.crc = [Signal(CRC_BITS, name=f"ref_crc_{age}", init=ones) for age in range(CRC_BYTES + 1)]
        self.last = [Signal(8, name=f"ref_last_{age}") for age in range(CRC_BYTES)]
        with m.If(self.data_stb):
            m.d.sync += self.count.eq(Mux(self.count == TOO_LONG, TOO_LONG, self.count + 1))
            for name, place in FRAME_HEADER.items():
                with m.If(self.count == place.offset):
                    m.d.sync += self.field[name].eq(self.data)
            m.d.sync += [old.eq(new) for old, new in zip(self.crc[1:], self.crc, strict=False)]
            m.d.sync += [old.eq(new) for old, new in zip(self.last, [self.data, *self.last], strict=False)]
            m.d.sync += self.crc[0].eq(crc_bits(self.crc[0], self.data))
        with m.If(self.ended):
            m.d.sync += [self.code.eq(0), self.inside.eq(0), self.count.eq(0), self.some.eq(0), self.lost.eq(0)]
            m.d.sync += self.crc[0].eq(ones)

        # What is to be said of the frame once `ended`.
        length, kind = self.field["length"], self.field["type"]
        self.expected = Signal(8, name="ref_expected")
        self.whole = ~self.lost & self.complete & (self.count <= FRAME_MAX_BYTES)
        self.whole = self.whole & (self.count == length + FRAME_OVERHEAD_BYTES)
        self.crc_right = Cat(reversed(self.last)) == ~reflected(self.crc[CRC_BYTES])
        self.version_good = self.field["version"] == FRAME_VERSION
        self.type_good = (kind >= FrameType.COMMAND) & (kind <= FrameType.RESET)
        self.is_command = (kind == FrameType.COMMAND) | (kind == FrameType.COMMAND_PART)
        self.length_fits = Mux(self.is_command, (length != 0) & (length % WORD_BYTES == 0), length == 0)
        self.due = self.field["sequence"] == self.expected
        behind = (self.expected - self.field["sequence"])[:8]
        self.taken = (behind != 0) & (behind <= SEQUENCE_COUNT // 2)

    def claim_history(self, b: Bench) -> None:
        """Claim that the registers hold together: each state of the CRC follows from the one before."""
        for age, byte in enumerate(self.last):
            b.claim(self.crc[age] == crc_bits(self.crc[age + 1], byte), when=self.count > age)
        b.claim(self.crc[0] == (1 << CRC_BITS) - 1, when=self.count == 0)
        b.claim(self.count <= TOO_LONG)
