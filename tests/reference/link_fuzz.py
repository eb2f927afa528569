# SPDX-License-Identifier: Apache-2.0
"""Damaged frames on the pins of a simulated board, with a prediction of what it may take.

The Python reader and the rules of docs/reference/link.md say which command of what was sent has to be executed. Every
command is a DRAW: whatever else the board took would show as a status, as draws out of the stream, or as a number that
is missing.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hw.spec.config import TsuConfig
from hw.spec.frames import (
    DELIMITER,
    SEQUENCE_COUNT,
    Frame,
    FrameReader,
    FrameType,
    LinkError,
    command_frames,
    is_behind,
    unpack_draws,
    unpack_status,
)
from sim.board.device import NO_STOP, BoardDevice
from sim.board.measure import draw_words

Rows = list[tuple[int, int, int]]

ANSWER_CYCLES = 60_000
"""Within so many cycles a command that was taken is answered, whatever else is on the way."""


class FuzzError(AssertionError):
    """The board did what no rule allows, or nothing."""


@dataclass
class Counts:
    """What was sent, and what came of it."""

    frames: int = 0
    damaged: dict[str, int] = field(default_factory=dict)
    executed: int = 0
    lost: int = 0
    draws: int = 0
    refused: dict[LinkError, int] = field(default_factory=dict)


class LinkFuzz:
    """Damaged frames in front of a command, again and again.

    Parameters
    ----------
    device : BoardDevice
        Freshly reset, with a psi loaded: `due` frames of it were taken, `expected` frames were sent to it.
    draws : callable
        The next n rows of the stream, from an independent model.
    """

    def __init__(
        self,
        device: BoardDevice,
        config: TsuConfig,
        *,
        expected: int,
        due: int,
        draws: Callable[[int], Rows],
        seed: int,
    ) -> None:
        self._device, self._config, self._draws = device, config, draws
        self._rng = random.Random(seed)
        self._ears, self._mouth = FrameReader(), FrameReader()  # of the host; of the board, as it should hear
        self._expected, self._due, self._tag = expected, due, 0
        self._status: list[tuple[int, int, int, int]] = []
        self._rows: list[tuple[int, Rows, bool]] = []
        self.counts = Counts()

    def run(self, frames: int) -> Counts:
        """Until `frames` frames were sent to the board."""
        while self.counts.frames < frames:
            self._round()
        self._hear(self._device.run(cycles=ANSWER_CYCLES))
        self._check_nothing_else()
        return self.counts

    def _round(self) -> None:
        """Some damaged frames, then a command, until it is answered."""
        rng = self._rng
        self._tag = (self._tag + 1) % 0x10000
        count = rng.choice((0, 1, 1, 3))
        words = draw_words(count)
        command = command_frames([words[0] | self._tag << 16, words[1]], sequence=self._expected)[0]
        self._check_nothing_else()
        items: list[int] = list(self._credit())
        for _ in range(rng.randrange(4)):
            items += self._damaged(command)
        accepted = self._send([*items, *command.encode()])
        while not accepted:
            self.counts.lost += 1  # the damage ran into it: a delimiter was lost
            self._settle(lambda: False, silences=0)
            accepted = self._send([DELIMITER, *self._credit(), *command.encode()])
        self._expected = (self._expected + 1) % SEQUENCE_COUNT
        self._settle(lambda: bool(self._status) and (not count or bool(self._rows)), silences=3)
        self._check_answer(count)

    def _send(self, items: Sequence[int]) -> bool:
        """Put items on the line; whether the board has to take the command among them."""
        taken = [frame for frame in self._predict(items) if frame.type is FrameType.COMMAND]
        self._device.queue(items)
        return any(frame.sequence == self._expected for frame in taken)

    def _predict(self, items: Sequence[int]) -> list[Frame]:
        """The frames that the board has to accept: no piece with a byte without stop bit is one."""
        found, piece, broken = [], bytearray(), False
        for item in items:
            broken |= item >= NO_STOP
            if item < NO_STOP:
                piece.append(item)
            if item == DELIMITER:
                heard = list(self._mouth.feed(bytes(piece)))
                found += [frame for frame in heard if isinstance(frame, Frame) and not broken]
                piece, broken = bytearray(), False
                self.counts.frames += 1
        self._mouth.feed(bytes(piece))
        return found

    def _credit(self) -> bytes:
        return Frame(type=FrameType.CREDIT, tag=self._due).encode()

    def _base(self, command: Frame) -> Frame:
        """A frame to damage: harmless where the damage leaves it whole."""
        rng = self._rng
        match rng.randrange(8):
            case 0 | 1:
                return command
            case 2:
                return Frame(type=FrameType.COMMAND, sequence=(self._expected - 1) % 256, payload=rng.randbytes(8))
            case 3:
                return Frame(type=FrameType.COMMAND_PART, sequence=(self._expected + 5) % 256, payload=bytes(40))
            case 4:
                return Frame(type=FrameType.PING, tag=rng.randrange(256))
            case 5:
                return Frame(type=FrameType.READ_REGISTER, tag=rng.randrange(8))
            case 6:
                return Frame(type=FrameType.RESEND, tag=self._due)
            case _:
                return Frame(type=FrameType.CREDIT, tag=self._due)

    def _damaged(self, command: Frame) -> list[int]:
        """A frame with a fault, and the kind noted; often its delimiter is spared."""
        rng = self._rng
        wire: list[int] = list(self._base(command).encode())
        place = rng.randrange(len(wire) - (rng.random() < 0.9))
        kind = rng.choice(("flip", "flips", "drop", "duplicate", "twice", "truncate", "insert", "no stop bit"))
        match kind:
            case "flip":
                wire[place] ^= 1 << rng.randrange(8)
            case "flips":
                for _ in range(rng.randint(2, 6)):
                    wire[rng.randrange(len(wire) - 1)] ^= 1 << rng.randrange(8)
            case "drop":
                del wire[place]
            case "duplicate":
                wire.insert(place, wire[place])
            case "twice":
                wire += wire
            case "truncate":
                del wire[place:-1]
            case "insert":
                wire.insert(place, rng.randrange(256))
            case _:
                wire[min(place, len(wire) - 2)] |= NO_STOP
        self.counts.damaged[kind] = self.counts.damaged.get(kind, 0) + 1
        return wire

    def _settle(self, done: Callable[[], bool], *, silences: int) -> None:
        """Run until `done()`; new frames are acknowledged, and so many silences are answered by RESEND."""
        credited = self._due
        end = self._device.cycles + ANSWER_CYCLES + 50 * self._device.waiting
        while not done() and self._device.cycles < end:
            self._hear(self._device.run(cycles=500))
            if self._device.waiting or done():
                continue
            if self._due != credited:
                credited = self._due
                self._send(list(self._credit()))
            elif self._device.quiet and silences:
                silences -= 1
                end += ANSWER_CYCLES
                self._send(list(Frame(type=FrameType.RESEND, tag=self._due).encode()))
            elif self._device.quiet:
                break

    def _hear(self, data: bytes) -> None:
        for found in self._ears.feed(data):
            if isinstance(found, LinkError):
                raise FuzzError(f"the board sent a frame that is none: {found.name}")
            if found.sequence != self._due:
                if is_behind(found.sequence, self._due):
                    continue  # asked for with RESEND
                raise FuzzError(f"frame {found.sequence} came, {self._due} was due")
            self._due = (self._due + 1) % SEQUENCE_COUNT
            match found.type:
                case FrameType.STATUS:
                    self._status.append(unpack_status(found))
                case FrameType.DRAWS:
                    run = unpack_draws(found, self._config)
                    self._rows.append((run.tag, run.rows, run.last))
                case FrameType.ERROR:
                    reason = LinkError(found.tag)
                    self.counts.refused[reason] = self.counts.refused.get(reason, 0) + 1

    def _check_answer(self, count: int) -> None:
        if not self._status:
            raise FuzzError(f"no status of command {self._tag} within {ANSWER_CYCLES} cycles")
        tag, opcode, code, _ = self._status.pop(0)
        if (tag, opcode, code) != (self._tag, 2, 0):
            raise FuzzError(f"status of tag {tag}, opcode {opcode}, code {code}; DRAW {self._tag} was sent")
        expected = [(self._tag, self._draws(count), True)] if count else []
        if self._rows != expected:
            raise FuzzError(f"draws {self._rows}, expected {expected}")
        self._rows.clear()
        self.counts.executed += 1
        self.counts.draws += count

    def _check_nothing_else(self) -> None:
        if self._status or self._rows:
            raise FuzzError(f"nobody asked for {self._status} {self._rows}")
