# SPDX-License-Identifier: Apache-2.0
"""COBS, CRC and frames against published examples."""

from binascii import crc32

import pytest

from hw.spec.commands import Opcode, Status
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.errors import SpecError
from hw.spec.frames import (
    CRC_CHECK,
    DEVICE_BIT,
    FRAME_HEADER,
    FRAME_MAX_BYTES,
    FRAME_RULES,
    HEADER_BYTES,
    LINK_ERROR_TEXT,
    PAYLOAD_MAX_BYTES,
    WIRE_MAX_BYTES,
    DrawRecord,
    Frame,
    FrameError,
    FrameType,
    LinkError,
    cobs_decode,
    cobs_encode,
    command_frames,
    decode_frame,
    is_behind,
    pack_draws,
    unpack_draws,
    unpack_status,
)

ASCENDING = bytes(range(1, 256))
EXAMPLES = [
    ("00", "01 01"),
    ("00 00", "01 01 01"),
    ("00 11 00", "01 02 11 01"),
    ("11 22 00 33", "03 11 22 02 33"),
    ("11 22 33 44", "05 11 22 33 44"),
    ("11 00 00 00", "02 11 01 01 01"),
    (ASCENDING[:254].hex(), "ff" + ASCENDING[:254].hex()),
    ("00" + ASCENDING[:254].hex(), "01 ff" + ASCENDING[:254].hex()),
    (ASCENDING.hex(), "ff" + ASCENDING[:254].hex() + "02 ff"),
    (ASCENDING[1:].hex() + "00", "ff" + ASCENDING[1:].hex() + "01 01"),
    (ASCENDING[2:].hex() + "00 01", "fe" + ASCENDING[2:].hex() + "02 01"),
]
"""The eleven examples of the Wikipedia article on COBS, data and encoding."""


@pytest.mark.parametrize("data, encoded", EXAMPLES)
def test_published_cobs_examples(data, encoded):
    assert cobs_encode(bytes.fromhex(data)) == bytes.fromhex(encoded)
    assert cobs_decode(bytes.fromhex(encoded)) == bytes.fromhex(data)


def test_empty_packet_is_one_code():
    assert cobs_encode(b"") == b"\x01"
    assert cobs_decode(b"\x01") == b""


@pytest.mark.parametrize("encoded", ["", "00", "02", "05 11 22", "03 11 00", "ff 01", "01 00 01"])
def test_wrong_cobs_is_refused(encoded):
    with pytest.raises(FrameError) as caught:
        cobs_decode(bytes.fromhex(encoded))
    assert caught.value.reason is LinkError.MALFORMED


def test_crc_check_value():
    assert crc32(b"123456789") == CRC_CHECK == 0xCBF43926


def test_bytes_of_a_frame():
    """Put together by hand; the CRC of 01 06 2a 01 00 00 was computed bit by bit below."""
    body = bytes.fromhex("01 06 2a 01 00 00")
    register = 0xFFFFFFFF
    for byte in body:
        for index in range(8):
            feedback = (register ^ byte >> index) & 1
            register = register >> 1 ^ (0xEDB88320 if feedback else 0)
    crc = (register ^ 0xFFFFFFFF).to_bytes(4, "little")
    assert 0 not in crc
    wire = b"\x05\x01\x06\x2a\x01\x01\x05" + crc + b"\x00"
    assert Frame(type=FrameType.PING, sequence=0x2A, tag=1).encode() == wire


def test_layout_is_without_gaps():
    offset = 0
    for field in FRAME_HEADER.values():
        assert field.offset == offset
        offset += field.size
    assert offset == HEADER_BYTES
    assert (FRAME_MAX_BYTES, WIRE_MAX_BYTES) == (254, 256)
    assert set(FRAME_RULES) == set(FrameType)
    assert set(LINK_ERROR_TEXT) == set(LinkError)
    assert [kind.name for kind in FrameType if not kind & DEVICE_BIT] == [
        "COMMAND",
        "COMMAND_PART",
        "CREDIT",
        "RESEND",
        "READ_REGISTER",
        "PING",
        "RESET",
    ]


@pytest.mark.parametrize("fill", [0x00, 0x55, 0xFF])
def test_longest_frame_fits_the_wire_limit(fill):
    frame = Frame(type=FrameType.COMMAND, tag=0xFFFF, sequence=255, payload=bytes([fill]) * PAYLOAD_MAX_BYTES)
    wire = frame.encode()
    assert len(wire) == WIRE_MAX_BYTES
    assert wire.count(0) == 1
    assert decode_frame(wire[:-1]) == frame


def wire_of(body: bytes, *, crc_error: int = 0) -> bytes:
    return cobs_encode(body + (crc32(body) ^ crc_error).to_bytes(4, "little"))


REFUSED = {
    "too-short": (cobs_encode(b"\x01\x06\x00\x00\x00\x00\x00\x00\x00"), LinkError.MALFORMED),
    "length-differs": (wire_of(b"\x01\x01\x00\x00\x00\x08abcd"), LinkError.MALFORMED),
    "too-long": (wire_of(b"\x01\x01\x00\x00\x00\xf8" + bytes(248)), LinkError.MALFORMED),
    "crc": (wire_of(b"\x01\x06\x00\x00\x00\x00", crc_error=1 << 31), LinkError.BAD_CRC),
    "version": (wire_of(b"\x02\x06\x00\x00\x00\x00"), LinkError.BAD_VERSION),
    "type": (wire_of(b"\x01\x08\x00\x00\x00\x00"), LinkError.BAD_TYPE),
    "type-0": (wire_of(b"\x01\x00\x00\x00\x00\x00"), LinkError.BAD_TYPE),
    "no-words": (wire_of(b"\x01\x01\x00\x00\x00\x00"), LinkError.BAD_LENGTH),
    "part-of-a-word": (wire_of(b"\x01\x01\x00\x00\x00\x05abcde"), LinkError.BAD_LENGTH),
    "argument": (wire_of(b"\x01\x06\x00\x00\x00\x01a"), LinkError.BAD_LENGTH),
}


@pytest.mark.parametrize("encoded, reason", REFUSED.values(), ids=REFUSED)
def test_bad_frames_are_refused(encoded, reason):
    with pytest.raises(FrameError) as caught:
        decode_frame(encoded)
    assert caught.value.reason is reason
    assert LINK_ERROR_TEXT[reason] in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"type": 6},
        {"type": FrameType.PING, "sequence": 256},
        {"type": FrameType.PING, "tag": -1},
        {"type": FrameType.PING, "payload": b"a"},
        {"type": FrameType.COMMAND, "payload": b"abcde"},
        {"type": FrameType.COMMAND, "payload": bytes(248)},
    ],
)
def test_frame_fields_are_checked(arguments):
    with pytest.raises(SpecError):
        Frame(**arguments)


def test_a_long_command_is_cut_into_frames():
    words = [0x0501_0103, *range(1, 513)]
    frames = command_frames(words, sequence=250)
    assert [frame.type.name for frame in frames] == ["COMMAND_PART"] * 8 + ["COMMAND"]
    assert [frame.sequence for frame in frames] == [250, 251, 252, 253, 254, 255, 0, 1, 2]
    assert {frame.tag for frame in frames} == {0x0501}
    joined = b"".join(frame.payload for frame in frames)
    assert [int.from_bytes(joined[i : i + 4], "little") for i in range(0, len(joined), 4)] == words


@pytest.mark.parametrize("words", [[], [1 << 32], [-1]])
def test_command_words_are_checked(words):
    with pytest.raises(SpecError):
        command_frames(words, sequence=0)


def test_draws_by_hand():
    config = PRESETS["up5k"]
    payload = bytes.fromhex("34 12 00 78 56 34 12  ff ff 80 01 00 00 00  e0 ff 80")
    assert pack_draws(config, [(0x1234, 0x12345678, False), (0xFFFF, 1, True)], spread=0xFFE0, last=True) == payload
    run = unpack_draws(Frame(type=FrameType.DRAWS, tag=7, payload=payload), config)
    assert (run.tag, run.last, run.alarm) == (7, True, False)
    assert run.rows == [(0x1234, 0x12345678, 1), (0xFFFF, 1, 0xFFE0)]
    assert (DrawRecord(config=config).size, DrawRecord(config=config).frame_draws) == (7, 34)


def test_alarm_is_bit_22():
    config = PRESETS["up5k"]
    payload = bytes.fromhex("34 12 00 78 56 34 12  e0 ff 40")
    assert pack_draws(config, [(0x1234, 0x12345678, False)], spread=0xFFE0, last=False, alarm=True) == payload
    run = unpack_draws(Frame(type=FrameType.DRAWS, tag=7, payload=payload), config)
    assert (run.last, run.alarm, run.rows) == (False, True, [(0x1234, 0x12345678, 1)])


@pytest.mark.parametrize("config", [*PRESETS.values(), TsuConfig(vocab_max=1 << 16, tail_noise_bits=16)])
def test_widest_draw_survives(config):
    """Every field at its largest value, in the preset widths and where the id fills its bytes."""
    row = ((1 << config.id_bits) - 1, config.total_max, True)
    spread = (1 << config.id_bits) - 1
    payload = pack_draws(config, [row] * DrawRecord(config=config).frame_draws, spread=spread, last=False)
    run = unpack_draws(Frame(type=FrameType.DRAWS, payload=payload), config)
    assert set(run.rows) == {(row[0], row[1], spread)}
    assert not run.last


def test_draws_of_another_width_are_refused():
    frame = Frame(type=FrameType.DRAWS, payload=bytes(3 + 7))
    assert unpack_draws(frame, PRESETS["up5k"]).rows == [(0, 0, 1)]
    with pytest.raises(FrameError):
        unpack_draws(frame, PRESETS["sim"])
    with pytest.raises(FrameError):
        unpack_draws(Frame(type=FrameType.PING), PRESETS["up5k"])


def test_status_fields():
    frame = Frame(type=FrameType.STATUS, tag=9, payload=bytes([1, 0]) + (1 << 40).to_bytes(8, "little"))
    assert unpack_status(frame) == (9, Opcode.LOAD, Status.OK, 1 << 40)
    with pytest.raises(FrameError):
        unpack_status(Frame(type=FrameType.PING))


def test_half_of_the_numbers_lie_behind():
    assert [d for d in range(256) if is_behind((5 - d) % 256, 5)] == list(range(1, 129))
