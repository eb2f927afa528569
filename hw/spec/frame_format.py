# SPDX-License-Identifier: Apache-2.0
"""Layout of the frames of the serial link: fields, types, rules of their payloads, reasons of a refusal."""

from dataclasses import dataclass
from enum import IntEnum

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
"""Bit of the trailer that marks the last run of a command."""

DRAW_ALARM_BIT = 22
"""Bit of the trailer that says that a health test had failed when the frame was made; the bits below are the spread."""

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
        "draws, then spread (bits 0..19), alarm (bit 22) and last (bit 23) in 3 bytes",
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
