# SPDX-License-Identifier: Apache-2.0
"""What frames carry: commands, runs of draws, statuses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .config import TsuConfig
from .errors import SpecError, check_int
from .frame_codec import Frame
from .frame_format import (
    DRAW_ALARM_BIT,
    DRAW_LAST_BIT,
    DRAW_TRAILER_BYTES,
    PAYLOAD_MAX_BYTES,
    SEQUENCE_COUNT,
    WORD_BYTES,
    FrameError,
    FrameType,
    LinkError,
)


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
    """What a DRAWS frame holds: rows of (token, weight, spread), whether they end the command, and the health alarm."""

    tag: int
    rows: list[tuple[int, int, int]]
    last: bool
    alarm: bool = False


def pack_draws(
    config: TsuConfig, draws: Sequence[tuple[int, int, bool]], *, spread: int, last: bool, alarm: bool = False
) -> bytes:
    """Payload of a DRAWS frame from (token, weight, tail) of each draw: what a device sends."""
    record, out = DrawRecord(config=config), bytearray()
    for token, weight, tail in draws:
        value = token | int(tail) << (8 * record.token_bytes - 1)
        out += value.to_bytes(record.token_bytes, "little") + weight.to_bytes(record.weight_bytes, "little")
    trailer = spread | int(alarm) << DRAW_ALARM_BIT | int(last) << DRAW_LAST_BIT
    return bytes(out) + trailer.to_bytes(DRAW_TRAILER_BYTES, "little")


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
    spread, flag = trailer & ((1 << DRAW_ALARM_BIT) - 1), 1 << (8 * record.token_bytes - 1)
    last, alarm = bool(trailer >> DRAW_LAST_BIT), bool(trailer >> DRAW_ALARM_BIT & 1)
    rows = []
    for low in range(0, end, record.size):
        middle = low + record.token_bytes
        token = int.from_bytes(payload[low:middle], "little")
        weight = int.from_bytes(payload[middle : low + record.size], "little")
        rows.append((token & ~flag, weight, spread if token & flag else 1))
    return DrawRun(tag=frame.tag, rows=rows, last=last, alarm=alarm)


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
