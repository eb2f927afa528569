# SPDX-License-Identifier: Apache-2.0
"""One process owns the board; others ask it over a Unix socket, each of them in a thread of its own here."""

import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from host.tsu.base import NoiseAlarm, TsuError
from hw.spec.errors import SpecError

from .board import LocalBoard
from .messages import (
    MESSAGE_VERSION,
    Kind,
    MessageError,
    pack_draws,
    pack_json,
    receive,
    send,
    unpack_json,
    unpack_sample,
)

CLIENTS_MAX = 64
"""Most clients at a time."""

SEND_S = 30.0
"""Longest wait for a client to take its answer; then it is dropped."""

_ACCEPT_S = 0.2

_BACKLOG = 16


class Broker:
    """Serves a board on a socket.

    Every client has one question under way, and the board's calls take turns, so clients share it evenly. A client that
    goes away, sends nonsense or takes no answer is dropped, and nobody else notices. The noise is one stream for all:
    a client's seed is used only while no other client is there.

    Parameters
    ----------
    board : LocalBoard
        The caller closes it.
    path : Path
        Where the socket is made; a socket that nobody serves any more is replaced.

    Raises
    ------
    SpecError
        `path` is something else, or another process serves it.
    TsuError
        The socket cannot be made.
    """

    def __init__(self, *, board: LocalBoard, path: Path) -> None:
        self._board, self._path = board, path
        self._members = threading.Lock()  # held while a seed is used, so that nobody joins in between
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._joined = 0
        _make_way(path)
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(str(path))
            path.chmod(0o600)
            self._listener.listen(_BACKLOG)
        except OSError as error:
            self._listener.close()
            raise TsuError(f"socket {path} cannot be made: {error.strerror or error}") from error
        self._listener.settimeout(_ACCEPT_S)

    @property
    def client_count(self) -> int:
        """Clients that share the board now."""
        return self._joined

    def serve(self, *, stop: Callable[[], bool]) -> None:
        """Serve clients until `stop()` is true.

        Raises
        ------
        TsuError
            The board is dead.
        """
        while not stop():
            if self._board.failure is not None:
                raise TsuError(str(self._board.failure))
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            thread = threading.Thread(target=self._attend, args=(connection,), name="client", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Drop every client and remove the socket. Closing twice is harmless."""
        self._listener.close()
        self._path.unlink(missing_ok=True)
        with self._members:
            for connection in self._connections:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # it went away by itself
        for thread in self._threads:
            thread.join(SEND_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one client, in its thread -----------------------------------------------------------------------------------

    def _attend(self, connection: socket.socket) -> None:
        """Serve one client to its end, whatever that is."""
        joined = False
        with connection:
            try:
                joined = self._welcome(connection)
                while joined and (message := receive(connection)) is not None:
                    connection.settimeout(SEND_S)
                    send(connection, *self._answer(*message))
                    connection.settimeout(None)
            except MessageError:
                pass  # this client is gone; the others are not concerned
            finally:
                with self._members:
                    self._connections.discard(connection)
                    self._joined -= joined

    def _welcome(self, connection: socket.socket) -> bool:
        """HELLO and its answer; whether the client has joined."""
        connection.settimeout(SEND_S)
        message = receive(connection)
        if message is None:
            return False
        kind, body = message
        values = unpack_json(body) if kind is Kind.HELLO else {}
        if values.get("version") != MESSAGE_VERSION:
            send(connection, Kind.ERROR, pack_json(text=f"message version is not legal: expected {MESSAGE_VERSION}"))
            return False
        with self._members:
            if self._joined >= CLIENTS_MAX:
                send(connection, Kind.ERROR, pack_json(text=f"{CLIENTS_MAX} clients share the board already"))
                return False
            alone = self._joined == 0
            if alone:
                try:
                    self._board.seed(values.get("seed", 0))
                except (SpecError, TsuError) as error:
                    send(connection, Kind.ERROR, pack_json(text=str(error)))
                    return False
            self._joined += 1
            self._connections.add(connection)
            clients = self._joined
        try:
            send(
                connection,
                Kind.WELCOME,
                pack_json(
                    spec_id=self._board.spec_id, config=self._board.config.as_dict(), clients=clients, seeded=alone
                ),
            )
        except MessageError:
            with self._members:
                self._joined -= 1
            raise
        connection.settimeout(None)
        return True

    def _answer(self, kind: Kind, body: bytes) -> tuple[Kind, bytes]:
        """The answer to one question; a MessageError ends the client, any other refusal is its answer."""
        try:
            if kind is Kind.SAMPLE:
                return Kind.DRAWS, pack_draws(self._board.sample(*unpack_sample(body)))
            if kind is Kind.SEED:
                self._seed(unpack_json(body).get("seed"))
                return Kind.DONE, pack_json()
            if kind is Kind.STATISTICS:
                return Kind.DONE, pack_json(**self._board.statistics.as_dict())
        except MessageError:
            raise
        except NoiseAlarm as error:
            return Kind.ERROR, pack_json(text=str(error), alarms=error.alarms)
        except (SpecError, TsuError) as error:
            return Kind.ERROR, pack_json(text=str(error))
        raise MessageError(f"message kind {kind.name} is no question")

    def _seed(self, seed: object) -> None:
        with self._members:
            if self._joined != 1:
                raise TsuError(
                    f"seed is refused: {self._joined - 1} other clients share the board, and its noise is one stream"
                )
            self._board.seed(seed)  # type: ignore[arg-type]  # checked there


def _make_way(path: Path) -> None:
    """Remove a socket that nobody serves any more."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise SpecError("socket", str(path), f"a path for a socket ({error.strerror})") from None
    if not stat.S_ISSOCK(mode):
        raise SpecError("socket", str(path), "a path where nothing is, or a socket that is no longer served")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise SpecError("socket", str(path), "a socket that no other process serves")
