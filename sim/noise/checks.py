# SPDX-License-Identifier: Apache-2.0
"""The checks of the battery that need no program of others. Each takes the next words of a source."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hw.spec.errors import check_int
from hw.spec.noise import WORD_BITS

from . import kernel, laws
from .report import BIAS, COMPLEXITY, FIPS, LAGS, RANK_BITS, RANK_WORDS, STREAMS, CheckResult, Status

LAG_WORDS = (0, 1, 2, 3, 4, 8, 16, 32, 64, 128, 1024)
"""Distances in words at which bits are compared."""

CHUNK_WORDS = 8192
"""Words of each stream taken at a time."""

EXTRA_ROWS = 64
"""Rows after the square matrix: an ideal source misses full rank even then with probability 2^-64."""

Progress = Callable[[float], None]
"""Called with the finished share of a check, 0..1."""


class Source(Protocol):
    """Where words come from."""

    @property
    def streams(self) -> int:
        """Number of streams."""

    def take(self, n: int) -> npt.NDArray[np.uint32]:
        """The next n words of every stream; shape (streams, n)."""


def _verdict(name: str, *, p: float | None, figure: str, passed: bool) -> CheckResult:
    return CheckResult(name=name, status=Status.PASS if passed else Status.FAIL, figure=figure, p=p)


def _span(values: Sequence[int]) -> str:
    """Smallest and largest value for people."""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _correlation(name: str, z: npt.NDArray[np.float64]) -> CheckResult:
    """The verdict on a family of z-scores: the largest has to stay within `laws.SIGMAS`."""
    worst = float(np.abs(z).max())
    figure = f"largest of {z.size:,} is {worst:,.2f} sigma"
    return _verdict(name, p=None, figure=figure, passed=worst <= laws.SIGMAS)


def correlation_words(words: int, streams: int) -> int:
    """Words of all streams that `correlations` counts when asked for `words`: whole chunks of every stream."""
    per_chunk = CHUNK_WORDS * streams
    return per_chunk * -(-words // per_chunk)


def correlations(source: Source, *, words: int, progress: Progress) -> list[CheckResult]:
    """Bias of every bit of every stream, correlations of bits at `LAG_WORDS`, and of bits of every pair of streams.

    Every one of the 32 x 32 pairs of bit positions is counted: a shift register repeats its bits at *other* positions.
    At a lag all streams are counted together; at lag 0 only the 496 pairs of different bits are.

    Raises SpecError where `words` is outside [1, 10**13].
    """
    check_int("words", words, 1, 10**13)
    pairs = list(combinations(range(source.streams), 2))
    counter = kernel.Correlator(streams=source.streams, lags=LAG_WORDS, pairs=pairs)
    counter.add(source.take(counter.history_words))
    chunks = correlation_words(words, source.streams) // (CHUNK_WORDS * source.streams)
    for chunk in range(chunks):
        counter.add(source.take(CHUNK_WORDS))
        progress((chunk + 1) / chunks)
    z_lags = laws.z_scores(counter.lag_counts, counter.words * source.streams)
    inside_word = z_lags[0][np.triu_indices(WORD_BITS, 1)]
    return [
        _correlation(BIAS, laws.z_scores(counter.ones, counter.words)),
        _correlation(LAGS, np.concatenate([inside_word, z_lags[1:].ravel()])),
        _correlation(STREAMS, laws.z_scores(counter.pair_counts, counter.words)),
    ]


def rank_result(name: str, n: int, found: Sequence[Sequence[int]]) -> CheckResult:
    """Verdict on matrices of n columns: `found` has their ranks after n and after n + `EXTRA_ROWS` rows."""
    deficiencies = [n - square for square, _ in found]
    tall = min(rank for _, rank in found)
    p = laws.rank_p_value(n, deficiencies)
    full, one, two = (deficiencies.count(d) for d in range(3))
    kinds = {"full": full, "lack 1": one, "lack 2": two, "lack more": len(found) - full - one - two}
    shares = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    span = _span([square for square, _ in found])
    figure = f"{len(found):,} square matrices of rank {span} ({shares}); with {EXTRA_ROWS} more rows {tall}"
    return _verdict(name, p=p, figure=figure, passed=tall == n and p >= laws.ALPHA)


def rank_of_words(source: Source, *, n: int, matrices: int, progress: Progress) -> CheckResult:
    """Ranks of matrices whose rows are n / 32 words of one stream, one after the other; the streams in turn."""
    rows = n + EXTRA_ROWS
    found: list[list[int]] = []
    words = np.empty((0, 0), dtype=np.uint32)
    for index in range(matrices):
        stream = index % source.streams
        if stream == 0:
            words = source.take(rows * n // WORD_BITS)
        found.append(kernel.ranks(words[stream].view(np.uint64).reshape(rows, n // 64), [n, rows]))
        progress((index + 1) / matrices)
    return rank_result(RANK_WORDS[n], n, found)


def rank_of_bits(source: Source, *, n: int, matrices: int, progress: Progress) -> CheckResult:
    """Ranks of matrices filled row by row with bit 0 of successive words; one matrix from each stream at a time."""
    rows, bits_per_take = n + EXTRA_ROWS, 64 * n
    found: list[list[int]] = []
    while len(found) < matrices:
        columns = []
        for part in range(rows * n // bits_per_take):
            bit0 = (source.take(bits_per_take) & 1).astype(np.uint8)
            columns.append(np.packbits(bit0, axis=1, bitorder="little").view(np.uint64))
            progress((len(found) + part * bits_per_take / (rows * n)) / matrices)
        packed = np.concatenate(columns, axis=1)
        for stream in range(min(source.streams, matrices - len(found))):
            found.append(kernel.ranks(packed[stream].reshape(rows, n // 64), [n, rows]))
    progress(1.0)
    return rank_result(RANK_BITS[n], n, found)


def linear_complexity(source: Source, *, bits: int, progress: Progress) -> CheckResult:
    """Berlekamp-Massey on each of the 32 bits of stream 0: the final length and the number of jumps of the profile.

    The smallest of the 64 p-values, times 64, is the p-value of the check.
    """
    words = source.take(bits)[0]
    lengths, p_values = [], []
    for bit in range(WORD_BITS):
        length, jumps = kernel.linear_complexity((words >> bit & 1).astype(np.uint8))
        lengths.append(length)
        p_values += [laws.complexity_p_value(bits, length), laws.jumps_p_value(bits, jumps)]
        progress((bit + 1) / WORD_BITS)
    p = min(1.0, len(p_values) * min(p_values))
    figure = f"{_span(lengths)} of {bits:,} bits"
    return _verdict(COMPLEXITY, p=p, figure=figure, passed=p >= laws.ALPHA)


def fips(source: Source, *, blocks: int, progress: Progress) -> CheckResult:
    """The four tests of FIPS 140-2 on blocks of 20,000 bits, taken from the streams alike.

    An ideal source fails about one block in a thousand; the count of failing blocks has to fit that.
    """
    per_stream = math.ceil(blocks / source.streams)
    words = source.take(per_stream * kernel.FIPS_BLOCK_WORDS)
    failures = kernel.fips_failures(words.reshape(-1)[: blocks * kernel.FIPS_BLOCK_WORDS])
    progress(1.0)
    p = laws.fips_p_value(blocks, failures[-1])
    parts = ", ".join(f"{name} {count:,}" for name, count in zip(kernel.FIPS_TESTS, failures, strict=False))
    figure = f"{failures[-1]:,} of {blocks:,} blocks fail ({parts})"
    return _verdict(FIPS, p=p, figure=figure, passed=p >= laws.ALPHA)
