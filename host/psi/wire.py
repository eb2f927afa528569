# SPDX-License-Identifier: Apache-2.0
"""Bytes of a psi on the wire; the layout is `hw.spec.psi_layout`."""

import struct
import zlib
from bisect import bisect_left

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError
from hw.spec.psi_layout import (
    PSI_CRC_BYTES,
    PSI_HEADER,
    PSI_HEADER_BYTES,
    PSI_MAGIC,
    PSI_VERSION,
    RICE_LIMIT_BITS,
    PsiField,
    psi_bytes_bound,
)

from .schema import Psi

_RICE_RANGE = np.arange(RICE_LIMIT_BITS + 1)


class WireError(SpecError):
    """A byte string is no psi: one line that names the field, the value found and what was expected."""


def encode(psi: Psi) -> bytes:
    """The one byte string of `psi`."""
    gaps = psi.ids.astype(np.int64)
    gaps[1:] -= gaps[:-1] + 1
    rice_bits = _best_rice_bits(gaps)
    values: dict[str, int | float] = {
        "magic": PSI_MAGIC,
        "version": PSI_VERSION,
        "rice_bits": rice_bits,
        "k": psi.k,
        "vocab_size": psi.vocab_size,
        "zero_point": psi.zero_point,
        "scale": psi.scale,
        "tau": psi.tau,
        "tail": psi.tail,
    }
    header = b"".join(_put(field, values[field.name]) for field in PSI_HEADER)
    body = header + psi.scores_q.tobytes() + _encode_gaps(gaps, rice_bits)
    return body + zlib.crc32(body).to_bytes(PSI_CRC_BYTES, "little")


def psi_bytes(psi: Psi) -> int:
    """Bytes of `psi` on the wire: `len(encode(psi))`."""
    return len(encode(psi))


def decode(data: bytes) -> Psi:
    """The psi that `data` encodes.

    Raises
    ------
    WireError
        `data` is not exactly what `encode` gives for some psi: wrong magic, version, length or CRC, an illegal
        field, a gap code cut short, wrong padding, trailing bytes, or a Golomb-Rice parameter that is not the
        encoder's.
    """
    smallest = PSI_HEADER_BYTES + 2 + PSI_CRC_BYTES
    if len(data) < smallest:
        raise WireError("length", len(data), f"at least {smallest} bytes")
    header = {field.name: _get(field, data) for field in PSI_HEADER}
    if header["magic"] != PSI_MAGIC:
        raise WireError("magic", hex(int(header["magic"])), hex(PSI_MAGIC))
    if header["version"] != PSI_VERSION:
        raise WireError("version", header["version"], str(PSI_VERSION))
    k, vocab_size = int(header["k"]), int(header["vocab_size"])
    longest = psi_bytes_bound(k, vocab_size) if 0 < k <= vocab_size else smallest
    if not PSI_HEADER_BYTES + k + 1 + PSI_CRC_BYTES <= len(data) <= longest:
        raise WireError("length", len(data), f"at most {longest} bytes, for K = {k} and V = {vocab_size}")
    body, received = data[:-PSI_CRC_BYTES], int.from_bytes(data[-PSI_CRC_BYTES:], "little")
    if zlib.crc32(body) != received:
        raise WireError("crc", hex(received), hex(zlib.crc32(body)))
    rice_bits = int(header["rice_bits"])
    if rice_bits > RICE_LIMIT_BITS:
        raise WireError("rice_bits", rice_bits, f"an integer in [0, {RICE_LIMIT_BITS}]")
    scores_q = np.frombuffer(body, dtype=np.int8, count=k, offset=PSI_HEADER_BYTES)
    ids = np.cumsum(_decode_gaps(body[PSI_HEADER_BYTES + k :], k, rice_bits) + 1) - 1
    if ids[-1] >= vocab_size:
        raise WireError(f"ids[{k - 1}]", int(ids[-1]), f"below vocab_size = {vocab_size}")
    try:
        psi = Psi(
            ids=ids.astype(np.uint32),
            scores_q=scores_q,
            scale=float(header["scale"]),
            zero_point=int(header["zero_point"]),
            tau=float(header["tau"]),
            tail=float(header["tail"]),
            vocab_size=vocab_size,
        )
    except SpecError as error:
        raise WireError(error.field, error.value, error.legal) from None
    if encode(psi) != data:
        raise WireError("encoding", data[:PSI_HEADER_BYTES].hex(), "the one that the encoder gives for this psi")
    return psi


def _put(field: PsiField, value: int | float) -> bytes:
    if field.kind == "f":
        return struct.pack("<f", value)
    return int(value).to_bytes(field.size, "little", signed=field.kind == "i")


def _get(field: PsiField, data: bytes) -> int | float:
    raw = data[field.offset : field.offset + field.size]
    if field.kind == "f":
        number: float = struct.unpack("<f", raw)[0]
        return number
    return int.from_bytes(raw, "little", signed=field.kind == "i")


def _best_rice_bits(gaps: npt.NDArray[np.int64]) -> int:
    """Smallest parameter r that minimises the coded bits, sum over gaps of (gap >> r) + 1 + r."""
    bits = (gaps[None, :] >> _RICE_RANGE[:, None]).sum(axis=1) + len(gaps) * (_RICE_RANGE + 1)
    return int(np.argmin(bits))


def _encode_gaps(gaps: npt.NDArray[np.int64], rice_bits: int) -> bytes:
    quotients = gaps >> rice_bits
    ends = np.cumsum(quotients + 1 + rice_bits)
    bits = np.zeros(ends[-1], dtype=np.uint8)
    stops = ends - rice_bits - 1
    bits[stops] = 1
    for j in range(rice_bits):
        bits[stops + 1 + j] = (gaps >> j) & 1
    return np.packbits(bits, bitorder="little").tobytes()


def _decode_gaps(section: bytes, k: int, rice_bits: int) -> npt.NDArray[np.int64]:
    """The k gaps of `section`, which they must fill but for zero padding within the last byte."""
    bits = np.unpackbits(np.frombuffer(section, dtype=np.uint8), bitorder="little")
    ones = np.flatnonzero(bits).tolist()
    starts, stops = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64)
    position = cursor = 0
    for j in range(k):
        cursor = bisect_left(ones, position, cursor)
        if cursor == len(ones) or ones[cursor] + 1 + rice_bits > len(bits):
            raise WireError(f"ids[{j}]", f"bit {position} of {len(bits)}", "a complete Golomb-Rice code")
        starts[j], stops[j] = position, ones[cursor]
        position = ones[cursor] + 1 + rice_bits
    if (position + 7) // 8 != len(section):
        raise WireError("length", len(section), f"{(position + 7) // 8} bytes of id gaps")
    if bits[position:].any():
        raise WireError("padding", section[-1], "zeros after the last id gap")
    gaps = (stops - starts) << rice_bits
    for j in range(rice_bits):
        gaps += bits[stops + 1 + j].astype(np.int64) << j
    return gaps
