# SPDX-License-Identifier: Apache-2.0
"""What is asked of a TSU and what it must answer: the work of a campaign, as data.

A script is a list of segments. The commands of a segment are offered one behind the other, as fast as the TSU takes
them; statuses and draws are taken beside them, each stream with stalls of its own. sim/mutants/bench.cpp does that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hw.spec.commands import Status
from hw.spec.errors import check_int

Words = npt.NDArray[np.uint64]
"""A script as bench.cpp reads it."""

STALL_SCALE = 256
"""A stream stalls in `stall` of so many cycles."""

ANY_NUMBER = (1 << 64) - 1
"""In place of a number of statuses that is not looked at."""


@dataclass(frozen=True, kw_only=True)
class ExpectedStatus:
    """Answer to one command."""

    tag: int
    opcode: int
    code: Status
    total: int


@dataclass(frozen=True, kw_only=True)
class ExpectedBeat:
    """One transfer of draws.

    Parameters
    ----------
    keep : int
        Bit l: lane l holds a draw.
    tag : int
    last : bool
    draws : sequence of (token, weight, spread)
        One for each bit of `keep`, lowest lane first.
    """

    keep: int
    tag: int
    last: bool
    draws: Sequence[tuple[int, int, int]]


@dataclass(frozen=True, kw_only=True)
class Stalls:
    """How often each stream stalls, of `STALL_SCALE` cycles."""

    command: int = 0
    status: int = 0
    draw: int = 0

    def __post_init__(self) -> None:
        for name in ("command", "status", "draw"):
            check_int(name, getattr(self, name), 0, STALL_SCALE - 1)


@dataclass(kw_only=True)
class Segment:
    """Commands, their answers, and how the streams behave meanwhile.

    Parameters
    ----------
    name : str
    reset : bool
        Pulse the reset before.
    commands : list of sequences of int
        32-bit words of each command.
    statuses, beats : list
        Everything that must come, in order; nothing else may.
    stalls : Stalls
    hold_cycles : int
        Take no draw for so many cycles; then exactly `hold_statuses` statuses must have come.
    hold_statuses : int or None
        None where any number is good.
    bound_cycles : int
        Cycles within which everything has come, the hold left out.
    open_end : bool
        More draws follow that are not looked at, or a command is not finished: the next segment resets the TSU.
    unfinished : sequence of int
        First words of a command that gets no answer, behind the others; only with `open_end`. The last one may be
        marked in bit 32: then the command is complete.
    linger : int
        Cycles behind all that, before the segment ends, in which nothing is offered or taken; only with `open_end`.
    registers : list of (address, value)
        Read at the end.
    """

    name: str
    reset: bool = False
    commands: list[Sequence[int]] = field(default_factory=list)
    statuses: list[ExpectedStatus] = field(default_factory=list)
    beats: list[ExpectedBeat] = field(default_factory=list)
    stalls: Stalls = field(default_factory=Stalls)
    hold_cycles: int = 0
    hold_statuses: int | None = None
    bound_cycles: int = 0
    open_end: bool = False
    unfinished: Sequence[int] = ()
    linger: int = 0
    registers: list[tuple[int, int]] = field(default_factory=list)

    def encode(self, seed: int) -> list[int]:
        """The segment as 64-bit words: lengths and settings, then the lists. `seed` chooses the stalls."""
        words = [int(word) for command in self.commands for word in _command_words(command)]
        words += [int(word) for word in self.unfinished]
        beats = [number for beat in self.beats for number in _beat_words(beat)]
        statuses = [n for s in self.statuses for n in (s.tag | s.opcode << 16 | s.code << 24, s.total)]
        registers = [number for pair in self.registers for number in pair]
        return [
            int(self.reset) | int(self.open_end) << 1,
            self.stalls.command | self.stalls.status << 16 | self.stalls.draw << 32,
            seed,
            self.hold_cycles,
            ANY_NUMBER if self.hold_statuses is None else self.hold_statuses,
            self.bound_cycles,
            len(words),
            len(self.statuses),
            len(self.beats),
            len(beats),
            len(self.registers),
            self.linger,
            *words,
            *statuses,
            *beats,
            *registers,
        ]


def _command_words(command: Iterable[int]) -> list[int]:
    """Words of a command, the last one marked in bit 32."""
    words = [int(word) for word in command]
    words[-1] |= 1 << 32
    return words


def _beat_words(beat: ExpectedBeat) -> list[int]:
    return [beat.keep, beat.tag | int(beat.last) << 16, *(number for draw in beat.draws for number in draw)]


def encode_script(segments: Sequence[Segment]) -> Words:
    """All segments as one array: their number, then each; uint64."""
    numbers = [len(segments)]
    for index, segment in enumerate(segments):
        numbers += segment.encode(seed=index + 1)
    return np.array(numbers, dtype=np.uint64)
