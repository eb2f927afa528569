# SPDX-License-Identifier: Apache-2.0
"""What the driver needs of a serial port: bytes in and out, each wait bounded."""

from typing import Protocol

READ_S = 0.02
"""Longest wait for a byte: how late a time-out may be noticed."""

WRITE_S = 5.0
"""Longest wait for room in the port's output buffer."""


class Port(Protocol):
    """What the driver needs of a port. `read` and `write` may be called at the same time by two threads."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def baud(self) -> int:
        """Bits per second."""
        ...

    def read(self) -> bytes:
        """What has come, after `READ_S` at the latest; may be empty. Raises TsuError where the port is gone."""
        ...

    def write(self, data: bytes) -> None:
        """Send all of `data` within `WRITE_S`. Raises TsuError where it cannot."""
        ...

    def close(self) -> None:
        """Release the port."""
        ...
