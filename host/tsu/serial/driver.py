# SPDX-License-Identifier: Apache-2.0
"""One board, many requests in flight: each has a tag, and completes a future when its status and draws are there."""

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np

from host.tsu.base import TsuError
from host.tsu.lowering import COUNT_MAX, Words
from hw.spec.commands import COMMON_FIELDS, GroupChoice, Status
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError, check_int
from hw.spec.frames import DrawRun, Frame, FrameError, FrameType, unpack_draws, unpack_status

from .conversation import Conversation
from .port import Port
from .statistics import LinkStatistics, LinkTiming

REQUESTS_MAX = 1024
"""Most requests in flight."""

_TAG_LOW, _TAG_COUNT = COMMON_FIELDS["tag"].low, 1 << COMMON_FIELDS["tag"].width

_JOIN_S = 10.0
"""Longest wait for the thread to end: more than a read and a write of the port take."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a command.

    Parameters
    ----------
    status : Status
    total : int
        Z, of LOAD and DRAW that were executed.
    rows : list of (token, weight, spread)
        The draws that it asked for.
    alarm : bool
        Whether the health tests of the noise had raised their alarm when the last of them was sent.
    """

    status: Status
    total: int
    rows: list[tuple[int, int, int]]
    alarm: bool


@dataclass(kw_only=True)
class _Request:
    """A command in flight."""

    opcode: int
    count: int
    future: Future[Answer]
    drawing: deque[int]  # of its group
    status: Status | None = None
    total: int = 0
    rows: list[tuple[int, int, int]] = field(default_factory=list)
    alarm: bool = False


class LinkDriver:
    """Sends commands over a port and hands out futures; any thread may call it.

    A thread of its own reads the port. Every wait is bounded: a future completes, with an error where the board or the
    port is dead, and everything after that raises the same error.

    Parameters
    ----------
    port : Port
        The driver closes it.
    timing : LinkTiming or None
        None takes what suits the rate of the port.

    Raises
    ------
    TsuError
        The board does not answer.
    """

    def __init__(self, *, port: Port, timing: LinkTiming | None = None) -> None:
        self._port = port
        self._conversation = Conversation(LinkTiming.of_baud(port.baud) if timing is None else timing)
        self._config: TsuConfig | None = None
        self._lock = threading.RLock()
        self._opened = threading.Condition(self._lock)
        self._closing = False
        self._failure: TsuError | None = None
        self._tag = 0
        self._requests: dict[int, _Request] = {}
        self._unanswered: deque[int] = deque()  # tags without status
        self._choice = GroupChoice(1)
        self._drawing: list[deque[int]] = [deque()]  # tags with draws to come, of each group of the TSU
        self._registers: deque[Future[int]] = deque()
        self._thread = threading.Thread(target=self._run, name=f"link {port.name}", daemon=True)
        self._thread.start()
        try:
            with self._opened:
                self._opened.wait_for(lambda: self._failure is not None or self._conversation.is_open)
                self._check_alive()
        except BaseException:  # an interrupt too must not leave a thread and an open port behind
            self.close()
            raise

    @property
    def statistics(self) -> LinkStatistics:
        """Counts of the line since it was opened."""
        return self._conversation.statistics

    @property
    def failure(self) -> TsuError | None:
        """Why the line is dead; None while it is not."""
        return self._failure

    def set_config(self, config: TsuConfig) -> None:
        """Say which TSU the board is, before the first command: the widths of its draws, and its groups."""
        with self._lock:
            self._config = config
            self._choice = GroupChoice(config.groups)
            self._drawing = [deque() for _ in range(config.groups)]

    def read_register(self, address: int) -> Future[int]:
        """The value of a register, an integer of 32 bits."""
        check_int("address", address, 0, 255)
        future: Future[int] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            self._check_alive()
            self._registers.append(future)
            self._conversation.ask(address)
            self._pump()
        return future

    def submit(self, words: Words, *, count: int = 0) -> Future[Answer]:
        """Send one command, under a tag of the driver's; commands are executed in the order of submission.

        Parameters
        ----------
        words : uint32 ndarray of shape (words,)
        count : int
            Draws that it asks for.

        Raises
        ------
        TsuError
            The line is dead, or `REQUESTS_MAX` are in flight.
        """
        check_int("count", count, 0, COUNT_MAX)
        if count and self._config is None:
            raise SpecError("count", count, "0 before the configuration of the board is known")
        future: Future[Answer] = Future()
        future.set_running_or_notify_cancel()  # a command that was sent cannot be taken back
        with self._lock:
            self._check_alive()
            if len(self._requests) >= REQUESTS_MAX:
                raise TsuError(f"{REQUESTS_MAX} requests are in flight already")
            tag = self._free_tag()
            tagged = np.array(words, dtype=np.uint32)
            tagged[0] = int(tagged[0]) & ((1 << _TAG_LOW) - 1) | tag << _TAG_LOW
            self._conversation.put(tagged.tolist())
            drawing = self._drawing[self._choice.of(int(tagged[0])).start]
            self._requests[tag] = _Request(opcode=int(tagged[0]) & 0xFF, count=count, future=future, drawing=drawing)
            self._unanswered.append(tag)
            if count:
                drawing.append(tag)
            self._conversation.owes = True
            self._pump()
        return future

    def close(self) -> None:
        """End the thread and release the port; what is in flight fails. Closing twice is harmless."""
        self._closing = True
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)
        self._port.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        failure = TsuError(
            f"the driver of {self._port.name} stopped"
        )  # what is left where something unforeseen ends it
        try:
            with self._lock:
                self._pump()
            while not self._closing:
                data = self._port.read()
                with self._lock:
                    for frame in self._conversation.receive(data, time.monotonic()):
                        self._take(frame)
                    self._conversation.owes = bool(self._requests)
                    self._pump()
                    if self._conversation.is_open:
                        self._opened.notify_all()
            failure = TsuError(f"the board at {self._port.name} is closed")
        except TsuError as error:
            failure = self._named(error)
        finally:
            self._fail(failure)

    def _named(self, error: TsuError) -> TsuError:
        name = self._port.name
        return error if name in str(error) else TsuError(f"port {name}: {error}")

    def _pump(self) -> None:
        """Write what is due; the lock is held."""
        try:
            data = self._conversation.send(time.monotonic())
            if data:
                self._port.write(data)
        except TsuError as error:
            self._fail(self._named(error))
            self._check_alive()

    def _fail(self, failure: TsuError) -> None:
        """The line is dead: every future learns it."""
        with self._lock:
            if self._failure is None:
                self._failure = failure
            self._closing = True
            requests, self._requests = self._requests, {}
            for request in requests.values():
                request.future.set_exception(_again(self._failure))
            while self._registers:
                self._registers.popleft().set_exception(_again(self._failure))
            self._opened.notify_all()

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise _again(self._failure)
        if self._closing:
            raise TsuError(f"the board at {self._port.name} is closed")

    def _free_tag(self) -> int:
        """The next tag that is not in flight."""
        while True:
            self._tag = (self._tag + 1) % _TAG_COUNT
            if self._tag not in self._requests:
                return self._tag

    # --- what the board sends --------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        """Give a frame to the request it belongs to.

        Raises
        ------
        TsuError
            It belongs to none, or came out of turn: the board and the driver do not agree about the stream.
        """
        if frame.type is FrameType.REGISTER:
            self._registers.popleft().set_result(int.from_bytes(frame.payload, "little"))
        elif frame.type is FrameType.STATUS:
            self._take_status(frame)
        else:
            self._take_draws(frame)

    def _take_status(self, frame: Frame) -> None:
        tag, opcode, code, total = unpack_status(frame)
        if not self._unanswered or tag != self._unanswered[0]:
            raise TsuError(f"the board sent a status with tag {tag} out of turn")
        request = self._requests[tag]
        if opcode != request.opcode or code not in list(Status):
            raise TsuError(f"the board sent status {code} of opcode {opcode} to a command of opcode {request.opcode}")
        self._unanswered.popleft()
        request.status, request.total = Status(code), total
        if request.status is not Status.OK and request.count:
            if request.rows:
                raise TsuError(f"the board sent draws of command {tag}, and then refused it")
            request.drawing.remove(tag)
        self._complete(tag, request)

    def _take_draws(self, frame: Frame) -> None:
        if self._config is None:
            raise TsuError("the board sent draws that nobody asked for")
        try:
            run: DrawRun = unpack_draws(frame, self._config)
        except FrameError as error:
            raise TsuError("the board sent draws of another configuration") from error
        request = self._requests.get(run.tag)
        if request is None or run.tag not in list(request.drawing)[:1]:
            raise TsuError(f"the board sent draws with tag {run.tag} out of turn")
        request.rows += run.rows
        request.alarm |= run.alarm
        if run.last != (len(request.rows) == request.count) or len(request.rows) > request.count:
            raise TsuError(
                f"the board ended command {run.tag} wrongly: {len(request.rows)} draws of {request.count}, "
                f"last = {run.last}"
            )
        if run.last:
            request.drawing.popleft()
            self._complete(run.tag, request)

    def _complete(self, tag: int, request: _Request) -> None:
        """Answer a request that has its status and its draws."""
        status = request.status
        if status is None or (status is Status.OK and len(request.rows) < request.count):
            return
        del self._requests[tag]
        request.future.set_result(Answer(status=status, total=request.total, rows=request.rows, alarm=request.alarm))


def _again(failure: TsuError) -> TsuError:
    """A failure for one more thread: an exception that is raised twice would collect both tracebacks."""
    return TsuError(str(failure))
