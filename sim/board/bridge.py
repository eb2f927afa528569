# SPDX-License-Identifier: Apache-2.0
"""A simulated board behind a pseudo-terminal: to its user it is a serial port."""

import os
import selectors
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hw.spec.config import PRESETS, TsuConfig
from hw.spec.errors import SpecError

from .damage import FaultRates, FaultyLine
from .device import DEFAULT_BAUD, BoardDevice, BoardError, BoardOptions

STEP_CYCLES = 2_000
"""Cycles between two looks at the port: 0.4 ms of a machine that simulates 5 million in a second."""

_READ_BYTES = 4096

_UNREAD_MAX_BYTES = 1 << 16
"""With so many bytes that nobody reads, the board stands still."""


class Board:
    """A board whose line is a pseudo-terminal. A thread runs it while something moves and sleeps otherwise.

    The clock stands still while nobody speaks to a board that has nothing more to say; what it would have counted
    meanwhile is not simulated. `python -m sim.board` serves one; `open_board` opens one in a program.

    Parameters
    ----------
    device : BoardDevice
        Closed together with the board.
    faults : FaultRates
        Of both directions.
    seed : int
        Of the faults.

    Attributes
    ----------
    port : str
        Path of the pseudo-terminal, to be opened like any serial port; rate and parity set there mean nothing.
    """

    def __init__(self, device: BoardDevice, *, faults: FaultRates | None = None, seed: int = 0) -> None:
        rates = faults or FaultRates()
        self._device = device
        self._down, self._up = FaultyLine(rates, seed=seed), FaultyLine(rates, seed=seed ^ 1)
        self._main, self._other = os.openpty()
        self._wake, self._waker = os.pipe()
        tty.setraw(self._other)  # kept open: the port stays there when a client closes it
        os.set_blocking(self._main, False)
        self.port = os.ttyname(self._other)
        self._unread = b""
        self._error: BaseException | None = None
        self._cycles = 0
        self._thread = threading.Thread(target=self._serve, name=f"board {self.port}", daemon=True)
        self._thread.start()

    @property
    def cycles(self) -> int:
        """Clock cycles so far."""
        return self._cycles

    @property
    def bytes_written(self) -> int:
        """Bytes that went down the board's `rx` pin so far."""
        return self._device.bytes_written

    @property
    def bytes_read(self) -> int:
        """Bytes that came from the board's `tx` pin so far."""
        return self._device.bytes_read

    @property
    def faults(self) -> dict[str, int]:
        """How often each fault happened, both directions together."""
        return {kind: self._down.faults[kind] + count for kind, count in self._up.faults.items()}

    def check(self) -> None:
        """Raise BoardError where the thread that runs the board has failed."""
        if self._error is not None:
            raise BoardError(f"the simulated board stopped: {self._error}") from self._error

    def wait(self) -> None:
        """Until the board is closed or fails; interruptible."""
        self._thread.join()

    def close(self) -> None:
        """Stop the board and remove its port. Closing twice is harmless."""
        if self._main < 0:
            return
        os.write(self._waker, b"x")
        self._thread.join()
        for descriptor in (self._main, self._other, self._wake, self._waker):
            os.close(descriptor)
        self._main = -1
        self._device.close()

    def _serve(self) -> None:
        """Run the board until woken; a failure is kept for `check`."""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(self._wake, selectors.EVENT_READ)
                selector.register(self._main, selectors.EVENT_READ)
                self._pump(selector)
        except (OSError, BoardError) as error:
            self._error = error

    def _pump(self, selector: selectors.BaseSelector) -> None:
        moving = True  # after power-on the board speaks first
        while True:
            blocked = len(self._unread) > _UNREAD_MAX_BYTES
            reads = 0 if blocked or self._device.waiting else selectors.EVENT_READ
            writes = selectors.EVENT_WRITE if self._unread else 0
            if reads | writes:
                selector.modify(self._main, reads | writes)
            ready = {key.fd: mask for key, mask in selector.select(0 if moving and not blocked else None)}
            if self._wake in ready:
                return
            if self._unread:
                self._flush()
            if blocked:
                continue
            data = b""
            if ready.get(self._main, 0) & reads:
                data = self._down(os.read(self._main, _READ_BYTES))
                moving = True
            if moving:
                self._unread += self._up(self._device.run(data, cycles=STEP_CYCLES))
                self._cycles = self._device.cycles
                moving = not self._device.quiet

    def _flush(self) -> None:
        """Hand on what the client's side takes."""
        try:
            written = os.write(self._main, self._unread)
        except BlockingIOError:
            return
        self._unread = self._unread[written:]


@contextmanager
def open_board(
    *,
    preset: str = "sim",
    config: TsuConfig | None = None,
    clk_hz: int | None = None,
    baud: int = DEFAULT_BAUD,
    receive_pages: int = 2,
    send_pages: int = 4,
    faults: FaultRates | None = None,
    seed: int = 0,
    library: Path | None = None,
) -> Iterator[Board]:
    """A simulated board with a serial port, closed at the end of the `with` block.

    Parameters
    ----------
    preset : str
        Key of `PRESETS`; used where there is no `config`.
    config : TsuConfig or None
    clk_hz : int or None
        Clock of the board; None for four cycles a bit, the cheapest to simulate.
    baud : int
        Rate of the line between port and board.
    receive_pages, send_pages : int
        See `SerialTsu`.
    faults, seed
        Faults of both directions of the line, and their seed.
    library : Path or None
        Another design behind the same pins, see `BoardDevice`.

    Raises
    ------
    SpecError
        The preset is unknown, or the clock does not suit the rate.
    ToolMissing, NativeBuildError, BoardError
        The board cannot be built or opened, or failed while it ran.
    """
    if config is None and preset not in PRESETS:
        raise SpecError("preset", preset, "one of " + ", ".join(PRESETS))
    options = BoardOptions(
        config=PRESETS[preset] if config is None else config,
        clk_hz=4 * baud if clk_hz is None else clk_hz,
        baud=baud,
        receive_pages=receive_pages,
        send_pages=send_pages,
    )
    board = Board(BoardDevice(options, library=library), faults=faults, seed=seed)
    try:
        yield board
        board.check()
    finally:
        board.close()
