# SPDX-License-Identifier: Apache-2.0
"""Frames of the serial link: layout, codec, and a reader that takes bytes in any split.

A frame is `version, type, sequence, tag, length, payload, crc`, encoded with COBS (S. Cheshire, M. Baker, "Consistent
Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999) and ended by 0x00. The CRC is that of IEEE
802.3 over everything before it. Numbers are little-endian. docs/reference/link.md has the rules of the conversation.
"""

from binascii import crc32
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from .config import TsuConfig
from .errors import SpecError, check_int

FRAME_VERSION = 1
"""Version of this layout; a frame of another version is refused."""

DELIMITER = 0x00
"""Ends every frame, and occurs nowhere else on the wire; an empty frame means nothing."""

CRC_BYTES = 4
"""Width of the CRC."""

CRC_CHECK = 0xCBF43926
"""CRC of the nine ASCII bytes 123456789: the check value of CRC-32/ISO-HDLC."""

PAYLOAD_MAX_BYTES = 244
"""Longest payload: the whole frame is then one COBS block at most, and 256 bytes on the wire."""

WORD_BYTES = 4
"""Bytes of a command word."""

SEQUENCE_COUNT = 256
"""Sequence numbers count modulo this."""

COMMAND_WINDOW_FRAMES = 1
"""Command frames that a device takes without a grant after RESET: the least `room` that every device has."""


@dataclass(frozen=True)
class FrameField:
    """Bytes [offset, offset + size) of a decoded frame."""

    offset: int
    size: int
    meaning: str


FRAME_HEADER: dict[str, FrameField] = {
    "version": FrameField(0, 1, "`FRAME_VERSION`"),
    "type": FrameField(1, 1, "`FrameType`"),
    "sequence": FrameField(2, 1, "number of the frame, modulo 256; see the rules of each direction"),
    "tag": FrameField(3, 2, "tag of the command, or the argument of a control frame"),
    "length": FrameField(5, 1, f"bytes of the payload, 0..{PAYLOAD_MAX_BYTES}"),
}
"""What stands before the payload."""

HEADER_BYTES = sum(field.size for field in FRAME_HEADER.values())
"""Bytes before the payload."""

FRAME_OVERHEAD_BYTES = HEADER_BYTES + CRC_BYTES
"""Bytes of a frame beside its payload, before COBS."""

FRAME_MAX_BYTES = FRAME_OVERHEAD_BYTES + PAYLOAD_MAX_BYTES
"""Longest frame before COBS: 254, the longest that COBS encodes with one byte more."""

WIRE_MAX_BYTES = FRAME_MAX_BYTES + 2
"""Longest frame on the wire: its COBS code and the delimiter are added."""


class FrameType(IntEnum):
    """What a frame carries; bit 4 is set in those of the device."""

    COMMAND = 0x01
    COMMAND_PART = 0x02
    CREDIT = 0x03
    RESEND = 0x04
    READ_REGISTER = 0x05
    PING = 0x06
    RESET = 0x07
    STATUS = 0x11
    DRAWS = 0x12
    REGISTER = 0x13
    PONG = 0x14
    GRANT = 0x15
    ERROR = 0x16


DEVICE_BIT = 0x10
"""Bit of the type that is set in a frame of the device."""


class LinkError(IntEnum):
    """Why a frame was refused; in the tag of an ERROR frame."""

    MALFORMED = 1
    BAD_CRC = 2
    BAD_VERSION = 3
    BAD_TYPE = 4
    BAD_LENGTH = 5
    GAP = 6
    NO_ROOM = 7


LINK_ERROR_TEXT: dict[LinkError, str] = {
    LinkError.MALFORMED: "a byte without stop bit, wrong COBS, too short, too long, or `length` differs from what came",
    LinkError.BAD_CRC: "the CRC differs",
    LinkError.BAD_VERSION: f"the version is not {FRAME_VERSION}",
    LinkError.BAD_TYPE: "the type is none of this direction",
    LinkError.BAD_LENGTH: "the type does not allow a payload of this length",
    LinkError.GAP: "a command frame is missing before this one",
    LinkError.NO_ROOM: "a command frame came without a grant",
}
"""One line for each error. Where a frame breaks several rules, the first of them is reported."""


@dataclass(frozen=True)
class FrameRule:
    """Payload of a frame type, `least` to `most` bytes in steps of `step`, and what its tag means."""

    least: int
    most: int
    step: int
    tag: str
    payload: str


DRAW_TRAILER_BYTES = 3
"""Bytes behind the draws of a DRAWS frame."""

DRAW_LAST_BIT = 23
"""Bit of the trailer that marks the last run of a command; the bits below are the spread."""

STATUS_BYTES = 10
"""Payload of STATUS: opcode, code, total."""

FLOW_BYTES = 2
"""Payload of PONG, GRANT and ERROR: next command frame expected, and room."""

FRAME_RULES: dict[FrameType, FrameRule] = {
    FrameType.COMMAND: FrameRule(
        4, PAYLOAD_MAX_BYTES, WORD_BYTES, "tag of the command", "last, or only, words of a command"
    ),
    FrameType.COMMAND_PART: FrameRule(
        4, PAYLOAD_MAX_BYTES, WORD_BYTES, "tag of the command", "words of a command, more follow in the next frame"
    ),
    FrameType.CREDIT: FrameRule(0, 0, 1, "next device frame expected", "none: all frames before it may be forgotten"),
    FrameType.RESEND: FrameRule(
        0, 0, 1, "next device frame expected", "none: as CREDIT, and what was kept is sent again"
    ),
    FrameType.READ_REGISTER: FrameRule(0, 0, 1, "register address", "none"),
    FrameType.PING: FrameRule(0, 0, 1, "any byte", "none"),
    FrameType.RESET: FrameRule(0, 0, 1, "0", "none: device and link start anew, and PONG 0 comes"),
    FrameType.STATUS: FrameRule(STATUS_BYTES, STATUS_BYTES, 1, "tag of the command", "opcode, code, total Z (8 bytes)"),
    FrameType.DRAWS: FrameRule(
        DRAW_TRAILER_BYTES + 2,
        PAYLOAD_MAX_BYTES,
        1,
        "tag of the command",
        "draws, then spread (bits 0..19) and last (bit 23) in 3 bytes",
    ),
    FrameType.REGISTER: FrameRule(4, 4, 1, "register address", "value"),
    FrameType.PONG: FrameRule(FLOW_BYTES, FLOW_BYTES, 1, "byte of the PING, 0 after reset", "expected, room"),
    FrameType.GRANT: FrameRule(FLOW_BYTES, FLOW_BYTES, 1, "0", "expected, room"),
    FrameType.ERROR: FrameRule(FLOW_BYTES, FLOW_BYTES, 1, "`LinkError`", "expected, room"),
}
"""Payload of each type."""


class FrameError(ValueError):
    """A frame is refused.

    Parameters
    ----------
    reason : LinkError
        The first rule that it breaks.
    """

    def __init__(self, reason: LinkError) -> None:
        super().__init__(f"frame refused: {LINK_ERROR_TEXT[reason]}")
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame.

    Parameters
    ----------
    type : FrameType
    sequence : int
        In [0, 255].
    tag : int
        In [0, 65535].
    payload : bytes
        As `FRAME_RULES` has it.

    Raises
    ------
    SpecError
        A field is outside its range.
    """

    type: FrameType
    sequence: int = 0
    tag: int = 0
    payload: bytes = b""

    def __post_init__(self) -> None:
        if not isinstance(self.type, FrameType):
            raise SpecError("type", self.type, "a FrameType")
        check_int("sequence", self.sequence, 0, SEQUENCE_COUNT - 1)
        check_int("tag", self.tag, 0, 0xFFFF)
        if not length_fits(self.type, len(self.payload)):
            rule = FRAME_RULES[self.type]
            legal = f"{rule.least} to {rule.most} in steps of {rule.step} for {self.type.name}"
            raise SpecError("payload bytes", len(self.payload), legal)

    def encode(self) -> bytes:
        """The frame as it goes over the wire, its delimiter included."""
        body = bytes((FRAME_VERSION, self.type, self.sequence)) + self.tag.to_bytes(2, "little")
        body += bytes((len(self.payload),)) + self.payload
        return cobs_encode(body + crc32(body).to_bytes(CRC_BYTES, "little")) + bytes((DELIMITER,))


def length_fits(kind: FrameType, payload_bytes: int) -> bool:
    """Whether a frame of this type may carry a payload of this length."""
    rule = FRAME_RULES[kind]
    return rule.least <= payload_bytes <= rule.most and payload_bytes % rule.step == 0


def cobs_encode(data: bytes) -> bytes:
    """COBS of `data`, of any length, without delimiter: no byte of the result is 0."""
    out = bytearray()
    blocks = data.split(b"\0")
    for number, block in enumerate(blocks):
        while len(block) > 254 or (len(block) == 254 and number < len(blocks) - 1):
            out += b"\xff" + block[:254]
            block = block[254:]
        out.append(len(block) + 1)
        out += block
    return bytes(out)


def cobs_decode(data: bytes) -> bytes:
    """Inverse of `cobs_encode`; `data` is without delimiter.

    Raises
    ------
    FrameError
        A byte is 0, the last block is incomplete, or there is no block.
    """
    out = bytearray()
    position, joined = 0, True
    while position < len(data):
        code = data[position]
        block = data[position + 1 : position + code]
        if code == 0 or len(block) != code - 1 or 0 in block:
            raise FrameError(LinkError.MALFORMED)
        out += block if joined else b"\0" + block
        joined = code == 0xFF
        position += code
    if position == 0:
        raise FrameError(LinkError.MALFORMED)
    return bytes(out)


def decode_frame(encoded: bytes) -> Frame:
    """The frame of the bytes between two delimiters.

    Raises
    ------
    FrameError
        A rule is broken; its `reason` is the first of `LinkError` that applies.
    """
    body = cobs_decode(encoded)
    if not FRAME_OVERHEAD_BYTES <= len(body) <= FRAME_MAX_BYTES:
        raise FrameError(LinkError.MALFORMED)
    if body[FRAME_HEADER["length"].offset] != len(body) - FRAME_OVERHEAD_BYTES:
        raise FrameError(LinkError.MALFORMED)
    if crc32(body[:-CRC_BYTES]) != int.from_bytes(body[-CRC_BYTES:], "little"):
        raise FrameError(LinkError.BAD_CRC)
    if body[0] != FRAME_VERSION:
        raise FrameError(LinkError.BAD_VERSION)
    if body[1] not in FRAME_RULES:
        raise FrameError(LinkError.BAD_TYPE)
    kind, payload = FrameType(body[1]), body[HEADER_BYTES:-CRC_BYTES]
    if not length_fits(kind, len(payload)):
        raise FrameError(LinkError.BAD_LENGTH)
    return Frame(type=kind, sequence=body[2], tag=int.from_bytes(body[3:5], "little"), payload=payload)


class FrameReader:
    """Finds frames in bytes that come in any split; a frame that is refused costs nothing but itself.

    Attributes
    ----------
    refused : dict of LinkError to int
        Frames refused so far, by reason.
    """

    def __init__(self) -> None:
        self._partial = bytearray()
        self._too_long = False
        self.refused = {reason: 0 for reason in LinkError}

    @property
    def in_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._partial) or self._too_long

    def feed(self, data: bytes) -> Iterator[Frame | LinkError]:
        """The frames that `data` completes, and for each refused one the reason, in order.

        All of `data` is taken at once, whether or not the result is looped over.
        """
        found: list[Frame | LinkError] = []
        *ended, rest = data.split(bytes((DELIMITER,)))
        for part in ended:
            self._take(part)
            if self.in_frame:
                found.append(self._finish())
        self._take(rest)
        return iter(found)

    def abandon(self) -> LinkError | None:
        """Forget a frame that has begun (its end did not come in time); the reason where there was one."""
        if not self.in_frame:
            return None
        self._partial.clear()
        self._too_long = False
        self.refused[LinkError.MALFORMED] += 1
        return LinkError.MALFORMED

    def _take(self, part: bytes) -> None:
        """Keep the bytes of a frame, up to the longest."""
        self._partial += part[: WIRE_MAX_BYTES - len(self._partial)]
        self._too_long |= len(self._partial) >= WIRE_MAX_BYTES

    def _finish(self) -> Frame | LinkError:
        """Judge what was kept, and start anew."""
        encoded, too_long = bytes(self._partial), self._too_long
        self._partial.clear()
        self._too_long = False
        try:
            if too_long:
                raise FrameError(LinkError.MALFORMED)
            return decode_frame(encoded)
        except FrameError as error:
            self.refused[error.reason] += 1
            return error.reason


def command_frames(words: Iterable[int], *, sequence: int) -> list[Frame]:
    """The frames that carry one command, numbered from `sequence` on.

    Raises
    ------
    SpecError
        There is no word, or one is outside 32 bits.
    """
    values = [check_int("command word", word, 0, 0xFFFF_FFFF) for word in words]
    if not values:
        raise SpecError("command words", 0, "at least 1")
    tag = values[0] >> 16
    data = b"".join(value.to_bytes(WORD_BYTES, "little") for value in values)
    parts = [data[low : low + PAYLOAD_MAX_BYTES] for low in range(0, len(data), PAYLOAD_MAX_BYTES)]
    kinds = [FrameType.COMMAND_PART] * (len(parts) - 1) + [FrameType.COMMAND]
    return [
        Frame(type=kind, sequence=(sequence + number) % SEQUENCE_COUNT, tag=tag, payload=part)
        for number, (kind, part) in enumerate(zip(kinds, parts, strict=True))
    ]


@dataclass(frozen=True, kw_only=True)
class DrawRecord:
    """Bytes of one draw in a DRAWS frame: token with the tail flag above it, then weight.

    Parameters
    ----------
    config : TsuConfig
        Its `id_bits` and `total_bits` give the widths.
    """

    config: TsuConfig

    @property
    def token_bytes(self) -> int:
        """Bytes of token and tail flag; the flag is the highest bit of them."""
        return self.config.id_bits // 8 + 1

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weight."""
        return -(-self.config.total_bits // 8)

    @property
    def size(self) -> int:
        """Bytes of a draw."""
        return self.token_bytes + self.weight_bytes

    @property
    def frame_draws(self) -> int:
        """Most draws of a frame."""
        return (PAYLOAD_MAX_BYTES - DRAW_TRAILER_BYTES) // self.size


@dataclass(frozen=True)
class DrawRun:
    """What a DRAWS frame holds: rows of (token, weight, spread), and whether they end the command."""

    tag: int
    rows: list[tuple[int, int, int]]
    last: bool


def pack_draws(config: TsuConfig, draws: Sequence[tuple[int, int, bool]], *, spread: int, last: bool) -> bytes:
    """Payload of a DRAWS frame from (token, weight, tail) of each draw: what a device sends."""
    record, out = DrawRecord(config=config), bytearray()
    for token, weight, tail in draws:
        value = token | int(tail) << (8 * record.token_bytes - 1)
        out += value.to_bytes(record.token_bytes, "little") + weight.to_bytes(record.weight_bytes, "little")
    return bytes(out) + (spread | int(last) << DRAW_LAST_BIT).to_bytes(DRAW_TRAILER_BYTES, "little")


def unpack_draws(frame: Frame, config: TsuConfig) -> DrawRun:
    """The draws of a DRAWS frame, in order; the spread of a draw that is no tail draw is 1.

    Raises
    ------
    FrameError
        The payload is no whole number of draws of this configuration.
    """
    record, payload = DrawRecord(config=config), frame.payload
    end = len(payload) - DRAW_TRAILER_BYTES
    if frame.type is not FrameType.DRAWS or end <= 0 or end % record.size:
        raise FrameError(LinkError.BAD_LENGTH)
    trailer = int.from_bytes(payload[end:], "little")
    spread, flag = trailer & ((1 << DRAW_LAST_BIT) - 1), 1 << (8 * record.token_bytes - 1)
    rows = []
    for low in range(0, end, record.size):
        middle = low + record.token_bytes
        token = int.from_bytes(payload[low:middle], "little")
        weight = int.from_bytes(payload[middle : low + record.size], "little")
        rows.append((token & ~flag, weight, spread if token & flag else 1))
    return DrawRun(tag=frame.tag, rows=rows, last=bool(trailer >> DRAW_LAST_BIT))


def unpack_status(frame: Frame) -> tuple[int, int, int, int]:
    """Tag, opcode, code and total of a STATUS frame.

    Raises
    ------
    FrameError
        It is none.
    """
    if frame.type is not FrameType.STATUS:
        raise FrameError(LinkError.BAD_TYPE)
    return frame.tag, frame.payload[0], frame.payload[1], int.from_bytes(frame.payload[2:], "little")


def is_behind(sequence: int, expected: int) -> bool:
    """Whether `sequence` is one of the 128 numbers before `expected`: a frame that was taken already."""
    return 0 < (expected - sequence) % SEQUENCE_COUNT <= SEQUENCE_COUNT // 2
