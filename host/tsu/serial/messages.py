# SPDX-License-Identifier: Apache-2.0
"""Messages between a shared board's driver process and its clients, on a Unix socket.

A message is its length (4 bytes, little-endian, of what follows), its kind (1 byte) and its body. A client begins with
HELLO; it asks one thing at a time, and every question has one answer.
"""

import json
import socket
import struct
from enum import IntEnum
from typing import Any

import numpy as np

from host.psi import wire
from host.psi.schema import Psi
from host.tsu.base import Draws, TsuError
from hw.spec.commands import WeightMode

MESSAGE_VERSION = 1
"""Version of these messages; another one is refused."""

SAMPLE_MAX = 1 << 16
"""Most draws of one SAMPLE."""

MESSAGE_MAX_BYTES = 32 * SAMPLE_MAX
"""Longest message."""

_LENGTH, _SAMPLE, _TOTAL = struct.Struct("<I"), struct.Struct("<BI"), struct.Struct("<QI")


class Kind(IntEnum):
    """What a message says."""

    HELLO = 1
    """Client: JSON of version and seed."""
    WELCOME = 2
    """JSON of board, spec_id, config, clients, and whether the seed was used."""
    SAMPLE = 3
    """Client: weight mode, count, bytes of a psi."""
    DRAWS = 4
    """Total and count, then tokens, weights and spreads."""
    SEED = 5
    """Client: JSON of seed."""
    STATISTICS = 6
    """Client: nothing."""
    DONE = 7
    """JSON of what was asked for."""
    ERROR = 8
    """JSON of one line of text."""


class MessageError(TsuError):
    """The other end of the socket is gone, is late, or sent what is no message."""


def send(connection: socket.socket, kind: Kind, body: bytes) -> None:
    """Send one message.

    Raises
    ------
    MessageError
        The other end is gone, or takes nothing.
    """
    try:
        connection.sendall(_LENGTH.pack(1 + len(body)) + bytes((kind,)) + body)
    except OSError as error:
        raise MessageError(f"the other end of the socket is gone: {_why(error)}") from error


def receive(connection: socket.socket) -> tuple[Kind, bytes] | None:
    """The next message; None where the other end closed the connection between two messages.

    Raises
    ------
    MessageError
        The other end is gone, is late, or sent what is no message.
    """
    head = _exactly(connection, _LENGTH.size, may_end=True)
    if not head:
        return None
    length = _LENGTH.unpack(head)[0]
    if not 1 <= length <= MESSAGE_MAX_BYTES:
        raise MessageError(f"message bytes = {length} is not legal: expected an integer in [1, {MESSAGE_MAX_BYTES}]")
    message = _exactly(connection, length)
    if message[0] not in list(Kind):
        raise MessageError(f"message kind = {message[0]} is not legal: expected one of {[*map(int, Kind)]}")
    return Kind(message[0]), message[1:]


def pack_json(**values: Any) -> bytes:
    """A body of named values."""
    return json.dumps(values).encode()


def unpack_json(body: bytes) -> dict[str, Any]:
    """Inverse of `pack_json`; MessageError where it is none."""
    try:
        values = json.loads(body)
    except ValueError as error:
        raise MessageError("the body of a message is no JSON") from error
    if not isinstance(values, dict):
        raise MessageError("the body of a message is no JSON object")
    return values


def pack_sample(psi: Psi, n: int, mode: WeightMode) -> bytes:
    """Body of SAMPLE."""
    return _SAMPLE.pack(mode, n) + wire.encode(psi)


def unpack_sample(body: bytes) -> tuple[Psi, int, WeightMode]:
    """Inverse of `pack_sample`; MessageError or SpecError where it is none."""
    if len(body) < _SAMPLE.size:
        raise MessageError(f"SAMPLE bytes = {len(body)} is not legal: expected at least {_SAMPLE.size}")
    mode, n = _SAMPLE.unpack_from(body)
    if mode not in list(WeightMode) or n > SAMPLE_MAX:
        raise MessageError(
            f"SAMPLE of mode {mode} and {n} draws is not legal: expected mode 0 or 1, at most {SAMPLE_MAX}"
        )
    return wire.decode(body[_SAMPLE.size :]), n, WeightMode(mode)


def pack_draws(draws: Draws) -> bytes:
    """Body of DRAWS."""
    columns = (draws.tokens.astype("<u4"), draws.weights.astype("<u8"), draws.spreads.astype("<u4"))
    return _TOTAL.pack(draws.total, len(draws)) + b"".join(column.tobytes() for column in columns)


def unpack_draws(body: bytes, n: int) -> Draws:
    """Inverse of `pack_draws` for the `n` draws that were asked for; MessageError where it is none."""
    if len(body) != _TOTAL.size + 16 * n or _TOTAL.unpack_from(body)[1] != n:
        raise MessageError(f"DRAWS bytes = {len(body)} is not legal: expected {_TOTAL.size + 16 * n} for {n} draws")
    start = _TOTAL.size
    return Draws(
        tokens=np.frombuffer(body, "<u4", n, start).astype(np.uint32),
        weights=np.frombuffer(body, "<u8", n, start + 4 * n).astype(np.uint64),
        spreads=np.frombuffer(body, "<u4", n, start + 12 * n).astype(np.uint32),
        total=_TOTAL.unpack_from(body)[0],
    )


def _exactly(connection: socket.socket, count: int, *, may_end: bool = False) -> bytes:
    """`count` bytes; nothing where the connection ends before the first one and may."""
    out = bytearray()
    while len(out) < count:
        try:
            part = connection.recv(count - len(out))
        except OSError as error:
            raise MessageError(f"the other end of the socket is gone: {_why(error)}") from error
        if not part:
            if may_end and not out:
                return b""
            raise MessageError("the other end of the socket is gone: it closed the connection")
        out += part
    return bytes(out)


def _why(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
