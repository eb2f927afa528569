# SPDX-License-Identifier: Apache-2.0
"""A board whose psi, table and noise several threads share: whole requests go in, draws come out."""

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from host.psi.schema import Psi
from host.tsu.base import Draws, TsuError
from host.tsu.health import noise_alarm
from host.tsu.held import Command, HeldPsi, refusal
from host.tsu.lowering import seed_command
from hw.spec.commands import Status, WeightMode
from hw.spec.config import TsuConfig
from hw.spec.errors import check_int
from hw.spec.registers import LANE_REGISTERS, REGISTERS, Alarm

from .driver import Answer, LinkDriver
from .identify import IDENTITY, check_digest, digest_of, identify
from .statistics import LinkStatistics

CHUNK_DRAWS = 4096
"""Draws of one command: what a client waits at most behind one command of another."""

CHUNKS_AHEAD = 2
"""Commands with draws that one call keeps in flight."""

DRAWS_MAX = 1 << 48
"""Most draws of one call."""


class Board(Protocol):
    """What `SerialTsu` needs: a board of its own, or a share of one."""

    @property
    def config(self) -> TsuConfig: ...

    @property
    def spec_id(self) -> int: ...

    @property
    def statistics(self) -> LinkStatistics: ...

    def sample(self, psi: Psi, n: int, mode: WeightMode) -> Draws: ...

    def seed(self, seed: int) -> None: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class _Sent:
    """A command in flight."""

    command: Command
    answer: Future[Answer]


@dataclass(frozen=True)
class _Chunk:
    """Some draws of a call: the commands that bring them, and the LOAD that they rely on."""

    sent: list[_Sent]
    load: _Sent


class LocalBoard:
    """A board behind a driver of this process; any thread may call it.

    The commands of a chunk of draws are submitted together, so that no other thread comes between a LOAD and the
    commands that rely on it. A call keeps `CHUNKS_AHEAD` chunks in flight and waits for the first before it submits
    another: calls that run at the same time take turns.

    Parameters
    ----------
    driver : LinkDriver
        The board closes it.
    name : str
        What messages call the board.
    config : TsuConfig or None
        None finds it out; see `identify`.

    Raises
    ------
    TsuError
        The board is not `config`, or no known configuration.
    """

    def __init__(self, *, driver: LinkDriver, name: str, config: TsuConfig | None = None) -> None:
        self._driver = driver
        values = {field: driver.read_register(REGISTERS[field].address) for field in IDENTITY}
        registers = {field: value.result() for field, value in values.items()}
        self._spec_id = digest_of(registers)
        if config is None:
            config = identify(registers, board=name)
        check_digest(self._spec_id, config, board=name)
        self._config = config
        driver.set_config(config)
        self._turn = threading.Lock()
        self._held = HeldPsi(config)
        self._load: _Sent | None = None

    @property
    def config(self) -> TsuConfig:
        """Widths, lanes and noise of the board."""
        return self._config

    @property
    def spec_id(self) -> int:
        """Digest of layouts and configuration, as read from the board."""
        return self._spec_id

    @property
    def statistics(self) -> LinkStatistics:
        """Counts of the line."""
        return self._driver.statistics

    @property
    def failure(self) -> TsuError | None:
        """Why the line is dead; None while it is not."""
        return self._driver.failure

    def sample(self, psi: Psi, n: int, mode: WeightMode) -> Draws:
        """Draw n tokens from F_hw(psi); draws of other threads may come between them in the stream.

        Raises
        ------
        SpecError
            `n` is negative, or the psi exceeds the capacity of the board.
        NoiseAlarm
            A health test of the noise failed: these draws, and others since the last seed, are not to be trusted.
        TsuError
            The board refused the psi, or is dead.
        """
        check_int("n", n, 0, DRAWS_MAX)
        tokens, weights, spreads = np.empty(n, np.uint32), np.empty(n, np.uint64), np.empty(n, np.uint32)
        starts = iter(range(0, max(n, 1), CHUNK_DRAWS))
        flight: deque[_Chunk] = deque()
        total, begin = 0, 0
        while True:
            while len(flight) < CHUNKS_AHEAD and (start := next(starts, None)) is not None:
                flight.append(self._submit(psi, min(CHUNK_DRAWS, n - start), mode))
            if not flight:
                break
            total, rows = self._collect(flight.popleft())
            part = slice(begin, begin + len(rows))
            if rows:
                tokens[part], weights[part], spreads[part] = zip(*rows, strict=True)
            begin += len(rows)
        return Draws(tokens=tokens, weights=weights, spreads=spreads, total=total)

    def seed(self, seed: int) -> None:
        """Start the noise of the whole board again; psi and table stay loaded.

        Raises
        ------
        SpecError
            `seed` is not an integer in [0, 2**64 - 1].
        NoiseAlarm
            The noise failed its known-answer test.
        TsuError
            The board is dead.
        """
        command = Command(words=seed_command(self._config, seed))
        with self._turn:
            sent = _Sent(command, self._driver.submit(command.words))
        self._check(sent)
        self._check_health()

    def close(self) -> None:
        """Release the board. Closing twice is harmless."""
        self._driver.close()

    def _submit(self, psi: Psi, count: int, mode: WeightMode) -> _Chunk:
        """Send the commands of a chunk, nothing of another thread between them."""
        with self._turn:
            sent = []
            commands = self._held.commands(psi, count, mode)
            for command in commands:
                sent.append(_Sent(command, self._driver.submit(command.words, count=command.count)))
                if command.lowered is not None:
                    self._load = sent[-1]
                    self._held.hold(psi, mode)
            if self._load is None:
                raise TsuError("the board holds no psi")
            return _Chunk(sent, self._load)

    def _collect(self, chunk: _Chunk) -> tuple[int, list[tuple[int, int, int]]]:
        """Total and draws of a chunk; what was refused is forgotten, so that the next call loads it again."""
        rows: list[tuple[int, int, int]] = []
        try:
            total = self._check(chunk.load).total
            for sent in chunk.sent:
                rows += self._check(sent).rows
        except TsuError:
            with self._turn:
                self._held.forget()
            raise
        return total, rows

    def _check(self, sent: _Sent) -> Answer:
        """The answer to a command that must succeed."""
        answer = sent.answer.result()
        if answer.status is not Status.OK:
            raise refusal(sent.command.words, answer.status, self._config, sent.command.lowered)
        if answer.alarm:
            self._check_health()
            raise TsuError("noise alarm: it was raised, and a SEED that followed has cleared what it was")
        return answer

    def _check_health(self) -> None:
        """Raise NoiseAlarm where a health test has failed since the last SEED."""
        names = ("HEALTH", *LANE_REGISTERS.values())
        values = [self._driver.read_register(REGISTERS[name].address) for name in names]
        health, *lanes = (value.result() for value in values)
        if any(health >> alarm & 1 for alarm in Alarm):
            masks = dict(zip(LANE_REGISTERS, lanes, strict=True))
            raise noise_alarm(health, [masks[alarm] for alarm in Alarm], self._config)
