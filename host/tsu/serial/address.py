# SPDX-License-Identifier: Apache-2.0
"""Where a board is: a serial port and its rate, or the socket of a shared board. Checked here, opened elsewhere."""

from hw.spec.errors import SpecError, check_int

BAUD_MIN, BAUD_MAX, BAUD_DEFAULT = 9600, 12_000_000, 3_000_000
"""Legal rates of the line in bits per second, and the one that the boards are built for."""

SHARED_PREFIX = "unix:"
"""Begins a port that is the socket of a shared board."""

PORT_LEGAL = "the path of a serial port, a URL of pyserial, or unix:PATH of a shared board"
"""What a port may be, in words."""

_BITS_PER_BYTE = 10


def byte_seconds(baud: int, count: int) -> float:
    """Seconds that `count` bytes take on the line."""
    return count * _BITS_PER_BYTE / baud


def check_baud(baud: object) -> int:
    """`baud` as an integer; SpecError outside [`BAUD_MIN`, `BAUD_MAX`]."""
    return check_int("baud", baud, BAUD_MIN, BAUD_MAX)


def check_port(port: object) -> str:
    """`port` where it may be a path or URL; else SpecError."""
    if not isinstance(port, str) or "\0" in port or not port.removeprefix(SHARED_PREFIX):
        raise SpecError("port", port, PORT_LEGAL)
    return port
