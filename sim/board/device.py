# SPDX-License-Identifier: Apache-2.0
"""A simulated board in process: bytes to its `rx` pin, bytes from its `tx` pin, and the cycles that took."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from hw.link.baud import BitTime
from hw.link.serial_tsu import SerialTsu
from hw.spec.config import TsuConfig

from .library import board_library

DEFAULT_CLK_HZ, DEFAULT_BAUD = 12_000_000, 3_000_000
"""Four cycles a bit, the fewest that the link allows: the cheapest to simulate."""

QUIET_CYCLES = 20_000
"""A device whose line was silent for so long has nothing more to say before it is spoken to: every load, table and seed
is done long before, and candidates are accepted with probability above 1/4."""

NO_STOP = 0x100
"""Added to a byte of the line: its stop bit is missing."""

_CAPACITY = 4096


class BoardError(RuntimeError):
    """The simulated board cannot be opened, or was closed; the message is one line."""


@dataclass(frozen=True, kw_only=True)
class BoardOptions:
    """What is on the board, and its line.

    Parameters
    ----------
    config : TsuConfig
    clk_hz, baud : int
        Clock of the board and rate of the line: cycles are counted in the one, bits last as the other says.
    receive_pages, send_pages : int
        See `SerialTsu`.

    Raises
    ------
    SpecError
        The clock does not suit the rate.
    """

    config: TsuConfig
    clk_hz: int = DEFAULT_CLK_HZ
    baud: int = DEFAULT_BAUD
    receive_pages: int = 2
    send_pages: int = 4

    def __post_init__(self) -> None:
        BitTime(clk_hz=self.clk_hz, baud=self.baud)

    def make(self) -> SerialTsu:
        """The component that goes on the board."""
        return SerialTsu(
            config=self.config,
            clk_hz=self.clk_hz,
            baud=self.baud,
            receive_pages=self.receive_pages,
            send_pages=self.send_pages,
        )


def _open_library(path: Path) -> ctypes.CDLL:
    """The library with the prototypes of shim.cpp."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise BoardError(f"cannot load the board's library {path}: {error}") from error
    u64, handle, items = ctypes.c_uint64, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint16)
    library.board_open.restype, library.board_open.argtypes = handle, [u64, u64]
    library.board_close.restype, library.board_close.argtypes = None, [handle]
    library.board_cycles.restype, library.board_cycles.argtypes = u64, [handle]
    library.board_run.restype = u64
    library.board_run.argtypes = [
        handle,
        items,
        u64,
        items,
        u64,
        u64,
        u64,
        ctypes.POINTER(u64),
        ctypes.POINTER(ctypes.c_uint32),
    ]
    return library


class BoardDevice:
    """A board that runs only while it is asked to. Used by one thread at a time.

    Parameters
    ----------
    options : BoardOptions
    library : Path or None
        Shared library of another design, as `board_library` made it; None for the one of `options`.

    Attributes
    ----------
    framing_errors : int
        Bytes of the board without stop bit, so far; a sound one sends none.

    Raises
    ------
    ToolMissing, NativeBuildError
        See `board_library`.
    BoardError
        The library cannot be loaded.
    """

    _handle: int | None = None  # on the class: `close` must work where the constructor failed

    def __init__(self, options: BoardOptions, *, library: Path | None = None) -> None:
        self._library = _open_library(library or board_library(options.make()))
        self._handle = self._library.board_open(options.clk_hz, options.baud)
        if not self._handle:
            raise BoardError("the simulated board cannot be opened: out of memory")
        self._out = (ctypes.c_uint16 * _CAPACITY)()
        self._waiting: list[int] = []
        self.framing_errors = 0
        self.quiet = False
        self.bytes_written = self.bytes_read = 0

    @property
    def cycles(self) -> int:
        """Clock cycles so far."""
        return int(self._library.board_cycles(self._open_handle()))

    @property
    def waiting(self) -> int:
        """Bytes given to `run` whose start bit has not been written yet."""
        return len(self._waiting)

    def queue(self, data: Sequence[int]) -> None:
        """Have `data` written to the line by the next `run`."""
        self._waiting += data

    def run(
        self, data: Sequence[int] = b"", *, cycles: int, quiet_cycles: int = QUIET_CYCLES, bytes_max: int = _CAPACITY
    ) -> bytes:
        """Write `data` to the line, behind what still waits, and run for at most `cycles`; what the board sent.

        The run ends earlier when everything was written and neither line has moved for `quiet_cycles` (`quiet` is
        then set), or when `bytes_max` bytes (4096 at most) were read. An item of `data` with `NO_STOP` added loses its
        stop bit.
        """
        self._waiting += data
        items = (ctypes.c_uint16 * len(self._waiting))(*self._waiting)
        sent, quiet = ctypes.c_uint64(), ctypes.c_uint32()
        read = self._library.board_run(
            self._open_handle(),
            items,
            len(items),
            self._out,
            min(bytes_max, _CAPACITY),
            cycles,
            quiet_cycles,
            ctypes.byref(sent),
            ctypes.byref(quiet),
        )
        del self._waiting[: sent.value]
        self.quiet = bool(quiet.value)
        self.bytes_written += sent.value
        self.bytes_read += read
        found = self._out[:read]
        self.framing_errors += sum(item >= NO_STOP for item in found)
        return bytes(item & 0xFF for item in found)

    def close(self) -> None:
        """Release the board. Closing twice is harmless."""
        if self._handle:
            self._library.board_close(self._handle)
            self._handle = None

    def _open_handle(self) -> int:
        if not self._handle:
            raise BoardError("the simulated board is closed")
        return self._handle

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()
