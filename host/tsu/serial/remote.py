# SPDX-License-Identifier: Apache-2.0
"""A share of a board: a client of the driver process that `python -m host.share` runs."""

import socket
import threading
from typing import Any

import numpy as np

from host.psi.schema import Psi
from host.tsu.base import Draws, NoiseAlarm, TsuError
from host.tsu.lowering import lower
from hw.spec.commands import WeightMode
from hw.spec.config import TsuConfig
from hw.spec.errors import check_int
from hw.spec.registers import Alarm

from .board import DRAWS_MAX
from .identify import check_digest
from .messages import (
    MESSAGE_VERSION,
    SAMPLE_MAX,
    Kind,
    MessageError,
    pack_json,
    pack_sample,
    receive,
    send,
    unpack_draws,
    unpack_json,
)
from .statistics import LinkStatistics

ANSWER_S = 120.0
"""Longest wait for an answer: more than the driver takes to call a board dead."""


class RemoteBoard:
    """A board that other processes use too; any thread of this one may call it.

    Parameters
    ----------
    path : str
        Socket of the driver process.
    seed : int
        Used where nobody else shares the board at that moment, else ignored; see `seeded`.
    config : TsuConfig or None
        None takes what the driver process says.

    Raises
    ------
    TsuError
        Nobody listens there, or the board is not `config`.
    """

    def __init__(self, *, path: str, seed: int, config: TsuConfig | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(ANSWER_S)
        try:
            try:
                self._socket.connect(path)
            except OSError as error:
                raise TsuError(f"no shared board at {path}: {error.strerror or error}") from error
            body = self._ask(Kind.HELLO, pack_json(version=MESSAGE_VERSION, seed=seed), Kind.WELCOME)
            welcome = unpack_json(body)
            try:
                self._config = TsuConfig().with_fields(**welcome["config"])
                self._spec_id, self._seeded = int(welcome["spec_id"]), bool(welcome["seeded"])
            except (KeyError, TypeError, ValueError) as error:
                raise TsuError(f"the driver process at {path} is of another version") from error
            check_digest(self._spec_id, self._config if config is None else config, board=path)
        except BaseException:
            self._socket.close()
            raise

    @property
    def config(self) -> TsuConfig:
        """Widths, lanes and noise of the board."""
        return self._config

    @property
    def spec_id(self) -> int:
        """Digest of layouts and configuration, as read from the board."""
        return self._spec_id

    @property
    def seeded(self) -> bool:
        """Whether the seed was used: nobody else shared the board when this client came."""
        return self._seeded

    @property
    def statistics(self) -> LinkStatistics:
        """Counts of the line, of all clients together."""
        values: dict[str, Any] = unpack_json(self._ask(Kind.STATISTICS, b"", Kind.DONE))
        return LinkStatistics(**values)

    def sample(self, psi: Psi, n: int, mode: WeightMode) -> Draws:
        """Draw n tokens from F_hw(psi); draws of other clients may come between them in the stream.

        Raises
        ------
        SpecError
            `n` is negative, or the psi exceeds the capacity of the board.
        TsuError
            The board refused the psi or is dead, or the driver process is gone.
        """
        check_int("n", n, 0, DRAWS_MAX)
        lower(psi, self._config, mode)
        parts = []
        for start in range(0, max(n, 1), SAMPLE_MAX):
            count = min(SAMPLE_MAX, n - start)
            parts.append(unpack_draws(self._ask(Kind.SAMPLE, pack_sample(psi, count, mode), Kind.DRAWS), count))
        return Draws(
            tokens=np.concatenate([part.tokens for part in parts]),
            weights=np.concatenate([part.weights for part in parts]),
            spreads=np.concatenate([part.spreads for part in parts]),
            total=parts[-1].total,
        )

    def seed(self, seed: int) -> None:
        """Start the noise of the whole board again.

        Raises
        ------
        SpecError
            `seed` is not an integer in [0, 2**64 - 1].
        TsuError
            Another client shares the board, whose stream would change.
        """
        check_int("seed", seed, 0, (1 << 64) - 1)
        self._ask(Kind.SEED, pack_json(seed=seed), Kind.DONE)

    def close(self) -> None:
        """Leave the board. Closing twice is harmless."""
        self._socket.close()

    def _ask(self, kind: Kind, body: bytes, expected: Kind) -> bytes:
        """Body of the answer to one message."""
        with self._lock:
            try:
                send(self._socket, kind, body)
                answer = receive(self._socket)
            except MessageError as error:
                self._socket.close()
                raise TsuError(f"the driver process at {self._path}: {error}") from error
        if answer is None:
            raise TsuError(f"the driver process at {self._path} has ended")
        if answer[0] is Kind.ERROR:
            values = unpack_json(answer[1])
            text = str(values.get("text", "the driver process refused"))
            if values.get("alarms"):
                raise NoiseAlarm(text, alarms=tuple(Alarm(alarm) for alarm in values["alarms"]))
            raise TsuError(text)
        if answer[0] is not expected:
            raise TsuError(f"the driver process at {self._path} answered {answer[0].name}, not {expected.name}")
        return answer[1]
