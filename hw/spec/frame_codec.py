# SPDX-License-Identifier: Apache-2.0
"""One frame to bytes and back: CRC and COBS.

COBS is of S. Cheshire, M. Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999.
The CRC is that of IEEE 802.3.
"""

from binascii import crc32
from dataclasses import dataclass

from .errors import SpecError, check_int
from .frame_format import (
    CRC_BYTES,
    DELIMITER,
    FRAME_HEADER,
    FRAME_MAX_BYTES,
    FRAME_OVERHEAD_BYTES,
    FRAME_RULES,
    FRAME_VERSION,
    HEADER_BYTES,
    SEQUENCE_COUNT,
    FrameError,
    FrameType,
    LinkError,
)


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
