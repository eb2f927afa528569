# SPDX-License-Identifier: Apache-2.0
"""A port of pyserial: each failure is one line."""

import errno
import os
import termios
from collections.abc import Iterator
from contextlib import contextmanager

import serial

from host.tsu.base import TsuError

from .address import check_baud, check_port
from .port import READ_S, WRITE_S


class SerialPort:
    """A port of pyserial, for one process at a time.

    Parameters
    ----------
    port : str
        Path of a device, or a URL of pyserial such as socket://host:port.
    baud : int
        Bits per second; see `check_baud`.

    Raises
    ------
    SpecError
        `port` or `baud` is not legal.
    TsuError
        The port does not exist, may not be used, is in use, or takes no such rate.
    """

    def __init__(self, *, port: str, baud: int) -> None:
        self._name, self._baud = check_port(port), check_baud(baud)
        try:
            self._port = serial.serial_for_url(
                port, baudrate=baud, timeout=READ_S, write_timeout=WRITE_S, exclusive=True
            )
        except (OSError, ValueError, termios.error) as error:  # SerialException is an OSError
            raise TsuError(f"port {port} cannot be opened: {_reason(error)}") from error

    @property
    def name(self) -> str:
        """Path or URL, as given."""
        return self._name

    @property
    def baud(self) -> int:
        """Bits per second."""
        return self._baud

    def read(self) -> bytes:
        """What has come, after `READ_S` at the latest; may be empty."""
        with self._failures("read"):
            return bytes(self._port.read(max(1, self._port.in_waiting)))

    def write(self, data: bytes) -> None:
        """Send all of `data` within `WRITE_S`."""
        with self._failures("write"):
            self._port.write(data)

    def close(self) -> None:
        """Release the port. Closing twice is harmless."""
        try:
            self._port.close()
        except OSError:
            return  # a port that vanished has nothing left to release

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Failures of a port as TsuError; pyserial raises TypeError where another thread has closed the port."""
        try:
            yield
        except serial.SerialTimeoutException:
            raise TsuError(f"port {self._name}: no byte could be sent for {WRITE_S:g} s") from None
        except (OSError, TypeError) as error:
            raise TsuError(f"port {self._name} failed to {what}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What a user can act on, in a few words."""
    number = getattr(error, "errno", None)
    if number in (errno.EAGAIN, errno.EBUSY) or "lock" in str(error):
        return "another program uses it"
    if number is None and isinstance(error.__context__, termios.error):  # "Could not configure port"
        number = error.__context__.args[0]
    if number is not None:
        return os.strerror(number)
    return " ".join(str(error).split()) or type(error).__name__
