# SPDX-License-Identifier: Apache-2.0
"""Scripts whose expected answers come from the model: the work that a campaign gives to every mutant."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from host.tsu.model import ModelTsu
from hw.spec.commands import Opcode, Status
from hw.spec.config import TsuConfig
from hw.spec.registers import ADDRESS_BITS, REGISTERS, constant_values
from sim.mutants.script import STALL_SCALE, ExpectedBeat, ExpectedStatus, Segment, Stalls

NO_STALLS = Stalls()

HANG_CYCLES = 1500
"""Cycles that a segment may take beyond what its words and draws need; a command takes 200 behind its last word."""

START_CYCLES = 8500
"""Behind a reset a TSU may test its noise before it takes a LOAD."""

SPARSE_ZEROS = 3
"""Zero words in a SEED from which on its first noise may look bad."""

LOCKUP_BIT = 3
"""Bit of HEALTH that says that some lane locked up."""

WORD_CYCLES, BEAT_CYCLES = 2, 12
"""Cycles allowed for each word and each beat where only hangs matter: a beat waits for the slowest of its lanes."""


def command_fields(words: Sequence[int]) -> tuple[int, int, int]:
    """Opcode, tag and count of a command; the count of a command of one word is 0."""
    return words[0] & 0xFF, words[0] >> 16 & 0xFFFF, words[1] if len(words) > 1 else 0


class Recorder:
    """Gives commands to the model and keeps what they must answer, cut into segments.

    Parameters
    ----------
    config : TsuConfig
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self.config = config
        self.segments: list[Segment] = []
        self.refused = 0
        self.seeded, self.has_table = True, False
        self._starting, self._sparse = True, False
        self._position = 0
        self._tag = 0
        self._model = ModelTsu(config=config, seed=0)

    def close(self) -> None:
        """Release the model."""
        self._model.close()

    def next_tag(self) -> int:
        """A tag that differs from the ones before it."""
        self._tag = (self._tag + 0x9E37) & 0xFFFF
        return self._tag

    @contextmanager
    def segment(
        self,
        name: str,
        *,
        reset: bool = False,
        stalls: Stalls = NO_STALLS,
        hold: tuple[int, int | None] = (0, None),
        bound_cycles: int | None = None,
    ) -> Iterator[Segment]:
        """A new segment, which gets the commands given inside; a reset of the model where it begins with one.

        hold : cycles without a draw being taken, and statuses that come meanwhile (None: any)
        bound_cycles : None allows what no working TSU needs
        """
        if reset:
            self._model.close()
            self._model = ModelTsu(config=self.config, seed=0)
            self._position = self.refused = 0
            self.seeded, self.has_table = True, False
            self._starting, self._sparse = True, False
        started = self._starting
        hold_cycles = hold[0] + (START_CYCLES if hold[0] and started else 0)
        segment = Segment(name=name, reset=reset, stalls=stalls, hold_cycles=hold_cycles, hold_statuses=hold[1])
        self.segments.append(segment)
        yield segment
        words = sum(len(command) for command in segment.commands)
        needed = WORD_CYCLES * words + BEAT_CYCLES * len(segment.beats) + 200 * len(segment.commands) + HANG_CYCLES
        slowest = max(stalls.command, stalls.status, stalls.draw)
        needed += START_CYCLES if self._starting or started else 0
        slowed = needed * STALL_SCALE // (STALL_SCALE - slowest)
        segment.bound_cycles = slowed if bound_cycles is None else bound_cycles

    def command(self, words: Sequence[int], *, take: int | None = None) -> tuple[Status, int]:
        """Give one command; its draws, or about `take` of them up to the last lane, are expected behind it."""
        segment = self.segments[-1]
        values = [int(word) for word in words]
        opcode, tag, count = command_fields(values)
        code, total = self._model.command(np.array(values, dtype=np.uint32))
        segment.commands.append(values)
        segment.statuses.append(ExpectedStatus(tag=tag, opcode=opcode, code=code, total=total))
        self.refused += code is not Status.OK
        if opcode == Opcode.SEED and code is not Status.BAD_VERSION:
            self.seeded = code is Status.OK
            self._sparse = values.count(0) >= SPARSE_ZEROS
            self._position = 0 if self.seeded else self._position
        if opcode == Opcode.TABLE and code is not Status.BAD_VERSION:
            self.has_table = code is Status.OK
        self._starting = self._starting and not (code is Status.OK and opcode == Opcode.LOAD)
        if code is Status.OK and opcode in (Opcode.LOAD, Opcode.DRAW):
            segment.open_end = take is not None
            ragged = 0 if take is None else (self._position + take) % self.config.lanes  # a beat comes whole
            self._draws(count if take is None else take - ragged, tag=tag, whole=take is None)
        return code, total

    def _draws(self, count: int, *, tag: int, whole: bool) -> None:
        """Expect `count` draws as beats of up to `lanes`, the first one at the present lane."""
        lanes, segment = self.config.lanes, self.segments[-1]
        drawn = self._model.take(count)
        rows = list(zip(drawn.tokens.tolist(), drawn.weights.tolist(), drawn.spreads.tolist(), strict=True))
        begin = 0
        while begin < count:
            end = min(lanes, self._position + count - begin)
            size = end - self._position
            keep = (1 << end) - (1 << self._position)
            draws = rows[begin : begin + size]
            begin += size
            segment.beats.append(ExpectedBeat(keep=keep, tag=tag, last=whole and begin == count, draws=draws))
            self._position = end % lanes

    def registers(self, *, locked_up: int = 0) -> None:
        """Read the registers behind the segment: constants, refused commands, lock-ups (a bit each lane), else zeros.

        What health tests of the noise may say is left out where it is not known: before the first good LOAD behind a
        reset they may still be at work, and seeds made of zeros may look bad to them.
        """
        live = {"REFUSED_COUNT": self.refused, "NOISE_LOCKUP": locked_up, "HEALTH": bool(locked_up) << LOCKUP_BIT}
        known = constant_values(self.config) | {name: value for name, value in live.items() if name in REGISTERS}
        values = {REGISTERS[name].address: value for name, value in known.items()}
        unknown = {"HEALTH"} if self._starting else set()
        unknown |= {"HEALTH", "NOISE_REPETITION", "NOISE_PROPORTION"} if self._sparse else set()
        left_out = {REGISTERS[name].address for name in unknown if name in REGISTERS}
        addresses = [address for address in range(1 << ADDRESS_BITS) if address not in left_out]
        self.segments[-1].registers = [(address, values.get(address, 0)) for address in addresses]
