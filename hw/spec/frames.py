# SPDX-License-Identifier: Apache-2.0
"""Frames of the serial link, all names of them: layout, codec, reader, payloads.

A frame is `version, type, sequence, tag, length, payload, crc`, encoded with COBS and ended by 0x00. The CRC is that of
IEEE 802.3 over everything before it. Numbers are little-endian. docs/reference/link.md has the rules of the
conversation.
"""

from .frame_codec import (
    Frame,
    cobs_decode,
    cobs_encode,
    decode_frame,
    length_fits,
)
from .frame_format import (
    COMMAND_WINDOW_FRAMES,
    CRC_BYTES,
    CRC_CHECK,
    DELIMITER,
    DEVICE_BIT,
    DRAW_ALARM_BIT,
    DRAW_LAST_BIT,
    DRAW_TRAILER_BYTES,
    FLOW_BYTES,
    FRAME_HEADER,
    FRAME_MAX_BYTES,
    FRAME_OVERHEAD_BYTES,
    FRAME_RULES,
    FRAME_VERSION,
    HEADER_BYTES,
    LINK_ERROR_TEXT,
    PAYLOAD_MAX_BYTES,
    SEQUENCE_COUNT,
    STATUS_BYTES,
    WIRE_MAX_BYTES,
    WORD_BYTES,
    FrameError,
    FrameField,
    FrameRule,
    FrameType,
    LinkError,
)
from .frame_payloads import (
    DrawRecord,
    DrawRun,
    command_frames,
    is_behind,
    pack_draws,
    unpack_draws,
    unpack_status,
)
from .frame_reader import (
    FrameReader,
)

__all__ = [
    "COMMAND_WINDOW_FRAMES",
    "CRC_BYTES",
    "CRC_CHECK",
    "DELIMITER",
    "DEVICE_BIT",
    "DRAW_ALARM_BIT",
    "DRAW_LAST_BIT",
    "DRAW_TRAILER_BYTES",
    "FLOW_BYTES",
    "FRAME_HEADER",
    "FRAME_MAX_BYTES",
    "FRAME_OVERHEAD_BYTES",
    "FRAME_RULES",
    "FRAME_VERSION",
    "HEADER_BYTES",
    "LINK_ERROR_TEXT",
    "PAYLOAD_MAX_BYTES",
    "SEQUENCE_COUNT",
    "STATUS_BYTES",
    "WIRE_MAX_BYTES",
    "WORD_BYTES",
    "DrawRecord",
    "DrawRun",
    "Frame",
    "FrameError",
    "FrameField",
    "FrameReader",
    "FrameRule",
    "FrameType",
    "LinkError",
    "cobs_decode",
    "cobs_encode",
    "command_frames",
    "decode_frame",
    "is_behind",
    "length_fits",
    "pack_draws",
    "unpack_draws",
    "unpack_status",
]
