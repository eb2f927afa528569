# SPDX-License-Identifier: Apache-2.0
"""The frame reader: any split, any damage, and what comes after it."""

import random
from binascii import crc32

import pytest

from hw.spec.frames import PAYLOAD_MAX_BYTES, WIRE_MAX_BYTES, Frame, FrameReader, FrameType, LinkError

WHOLE = (FrameType.COMMAND, FrameType.PING, FrameType.STATUS, FrameType.DRAWS, FrameType.RESET, FrameType.ERROR)


def random_frame(rng: random.Random) -> Frame:
    kind = rng.choice(WHOLE)
    match kind:
        case FrameType.COMMAND:
            size = 4 * rng.randint(1, PAYLOAD_MAX_BYTES // 4 if rng.random() < 0.1 else 4)
        case FrameType.STATUS:
            size = 10
        case FrameType.DRAWS:
            size = rng.randint(5, 40)
        case FrameType.ERROR:
            size = 2
        case _:
            size = 0
    payload = bytes(rng.choice((0, rng.randrange(256))) for _ in range(size))
    return Frame(type=kind, sequence=rng.randrange(256), tag=rng.randrange(1 << 16), payload=payload)


def damaged(wire: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes dropped, doubled, inserted, or the end cut off; never the frame as it was."""
    data = bytearray(wire[:-1])
    while bytes(data) == wire[:-1]:
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(data)) if data else 0
            match rng.randrange(5):
                case 0 if data:
                    data[place] ^= 1 << rng.randrange(8)
                case 1 if data:
                    del data[place]
                case 2 if data:
                    data.insert(place, data[place])
                case 3:
                    data.insert(place, rng.randrange(256))
                case 4:
                    del data[place:]
    return bytes(data)


def fuzz(count: int, seed: int, *, reader: FrameReader) -> list[Frame]:
    """Send `count` damaged frames, a good one behind each hundredth; returns what was accepted of the damaged ones.

    Damage can leave a good frame (a zero inserted behind it); such a piece counts as the frame that it is.
    """
    rng, accepted = random.Random(seed), []
    for number in range(count):
        frame = random_frame(rng)
        wire = damaged(frame.encode(), rng) + b"\0"
        for found in reader.feed(wire):
            if isinstance(found, Frame) and found != frame:
                accepted.append(found)
        if number % 100 == 0:
            good = random_frame(rng)
            assert list(reader.feed(good.encode())) == [good], f"frame {number}: the next one was not accepted"
    return accepted


def test_no_corrupted_frame_is_accepted():
    """10^5 damaged frames, seed 20260101: a wrong one passes with probability 2^-32 each, 2.4e-5 in all."""
    reader = FrameReader()
    assert fuzz(100_000, 20260101, reader=reader) == []
    assert sum(reader.refused.values()) > 90_000
    assert reader.refused[LinkError.BAD_CRC] > 1_000
    assert reader.refused[LinkError.MALFORMED] > 10_000


@pytest.mark.slow  # 10^6 frames take about a minute
def test_no_corrupted_frame_is_accepted_in_a_million():
    assert fuzz(1_000_000, 20260102, reader=FrameReader()) == []


def test_fuzz_notices_a_weak_crc(monkeypatch):
    """With one bit of CRC, half of what is well-formed passes, and the fuzz must say so."""
    monkeypatch.setattr("hw.spec.frame_codec.crc32", lambda data: crc32(data) & 1)
    assert len(fuzz(2_000, 1, reader=FrameReader())) > 10


@pytest.mark.parametrize("chunk", [1, 2, 7, 255, 100_000])
def test_any_split_gives_the_same(chunk):
    rng, reader = random.Random(3), FrameReader()
    frames = [random_frame(rng) for _ in range(300)]
    wire = b"\0".join(frame.encode() for frame in frames)  # an empty frame between two means nothing
    found = [item for low in range(0, len(wire), chunk) for item in reader.feed(wire[low : low + chunk])]
    assert found == frames
    assert not reader.in_frame


def test_a_truncated_frame_costs_itself_only():
    rng = random.Random(4)
    for _ in range(200):
        reader, first, second = FrameReader(), random_frame(rng), random_frame(rng)
        cut = first.encode()[: rng.randrange(1, len(first.encode()) - 1)]
        assert list(reader.feed(cut + b"\0" + second.encode()))[1:] == [second]


def test_a_lost_delimiter_costs_two_frames_at_most():
    rng = random.Random(5)
    for _ in range(200):
        reader, frames = FrameReader(), [random_frame(rng) for _ in range(3)]
        wire = frames[0].encode()[:-1] + frames[1].encode() + frames[2].encode()
        first, last = reader.feed(wire)
        assert isinstance(first, LinkError)
        assert last == frames[2]


def test_memory_is_bounded_and_noise_ends():
    reader, frame = FrameReader(), Frame(type=FrameType.PING)
    assert list(reader.feed(b"\xaa" * 1_000_000)) == []
    assert len(reader._partial) == WIRE_MAX_BYTES
    assert list(reader.feed(b"\0" + frame.encode())) == [LinkError.MALFORMED, frame]


def test_abandon_forgets_a_partial_frame():
    reader, frame = FrameReader(), Frame(type=FrameType.PING)
    assert reader.abandon() is None
    list(reader.feed(frame.encode()[:4]))
    assert reader.in_frame
    assert reader.abandon() is LinkError.MALFORMED
    assert reader.refused[LinkError.MALFORMED] == 1
    assert list(reader.feed(frame.encode())) == [frame]


def test_bytes_are_taken_even_when_nobody_loops():
    reader, frame = FrameReader(), Frame(type=FrameType.PING, tag=3)
    reader.feed(frame.encode()[:5])
    assert list(reader.feed(frame.encode()[5:])) == [frame]
