# SPDX-License-Identifier: Apache-2.0
"""Limits of a psi and its wire layout, little-endian: header, score codes, id gaps, CRC-32.

The id gaps are `ids[0]` and then `ids[i] - ids[i-1] - 1`. Each is Golomb-Rice coded with the parameter
`rice_bits` of the header: `gap >> rice_bits` zeros, a one, then the low `rice_bits` bits of the gap, least
significant first. Bits fill each byte from its least significant end; the last byte is padded with zeros.
There is exactly one byte string for each psi: `rice_bits` is the smallest parameter with the fewest bits.
"""

from dataclasses import dataclass

from .config import K_LIMIT, VOCAB_LIMIT

PSI_MAGIC = 0x88CF
"""First two bytes of a psi: CF 88, the UTF-8 code of the Greek letter psi."""

PSI_VERSION = 1
"""Version of this layout; a psi of another version is refused."""

TAIL_MIN = 2.0**-64
"""Smallest non-zero tail mass, relative to the weight of the best id."""

TAIL_MAX = 2.0**24
"""Largest tail mass, relative to the weight of the best id."""

SCORE_MIN_Q = -128
"""Smallest score code (int8)."""

SCORE_MAX_Q = 127
"""Largest score code (int8)."""

RICE_LIMIT_BITS = 20
"""Largest Golomb-Rice parameter: the width of the largest gap."""


@dataclass(frozen=True)
class PsiField:
    """Bytes [offset, offset + size) of the header.

    `kind` is "u" (unsigned), "i" (two's complement) or "f" (binary32).
    """

    name: str
    offset: int
    size: int
    kind: str
    legal: str
    meaning: str


PSI_HEADER: tuple[PsiField, ...] = (
    PsiField("magic", 0, 2, "u", f"0x{PSI_MAGIC:04X}", "marks a psi"),
    PsiField("version", 2, 1, "u", f"{PSI_VERSION}", "version of this layout"),
    PsiField("rice_bits", 3, 1, "u", f"0..{RICE_LIMIT_BITS}", "Golomb-Rice parameter of the id gaps"),
    PsiField("k", 4, 2, "u", f"1..{K_LIMIT}", "K: number of top-K ids"),
    PsiField("vocab_size", 6, 3, "u", f"K..{VOCAB_LIMIT}", "V"),
    PsiField("zero_point", 9, 1, "i", f"{SCORE_MIN_Q}..{SCORE_MAX_Q}", "score code of score 0"),
    PsiField("scale", 10, 4, "f", "finite, >= 0", "nats per score code"),
    PsiField("tau", 14, 4, "f", "finite, > 0", "temperature"),
    PsiField("tail", 18, 4, "f", "0, or 2^-64..2^24; 0 when V = K", "tail mass over the weight of the best id"),
)
"""Header fields in wire order."""

PSI_HEADER_BYTES = 22
"""Bytes of the header."""

PSI_CRC_BYTES = 4
"""Bytes of the CRC-32 (zlib) of everything before it."""

PSI_SECTIONS: tuple[tuple[str, str, str], ...] = (
    ("header", f"{PSI_HEADER_BYTES} bytes", "the fields above"),
    ("scores_q", "K bytes", "score codes (int8), in the order of the ids"),
    ("ids", "ceil(bits / 8) bytes", "Golomb-Rice coded gaps, zero-padded"),
    ("crc", f"{PSI_CRC_BYTES} bytes", "CRC-32 (reflected 0xEDB88320, as in zlib) of everything before it"),
)
"""Sections of a psi in wire order: name, size, content."""


def psi_bytes_bound(k: int, vocab_size: int) -> int:
    """Most bytes that a psi of K ids out of V can take.

    With parameter r the gaps take at most K (r + 1) + (V - K) >> r bits, because the gaps sum to at most V - K;
    the encoder takes the best r.
    """
    gap_bits = min(k * (r + 1) + ((vocab_size - k) >> r) for r in range(RICE_LIMIT_BITS + 1))
    return PSI_HEADER_BYTES + k + (gap_bits + 7) // 8 + PSI_CRC_BYTES


PSI_BYTES_MAX = psi_bytes_bound(K_LIMIT, VOCAB_LIMIT)
"""Most bytes of any psi."""
