# SPDX-License-Identifier: Apache-2.0
"""The compiled loops of sim/noise/kernel.cpp behind NumPy arrays."""

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError, check_int
from hw.spec.noise import WORD_BITS
from sim.native.build import FLAGS, build_library

BLOCK_WORDS = 64
"""Words that the correlation loop takes at a time: chunks and histories are multiples of it."""

FIPS_BLOCK_WORDS = 625
"""32-bit words of one FIPS 140-2 block of 20,000 bits."""

FIPS_TESTS = ("monobit", "poker", "runs", "long run")
"""The tests of FIPS 140-2, in the order of `fips_failures`."""

_FLAGS = (*FLAGS, "-mprefer-vector-width=512")

Counts = npt.NDArray[np.uint64]


@cache
def _library() -> ctypes.CDLL:
    """The compiled kernel. Raises ToolMissing or NativeBuildError."""
    source = Path(__file__).with_name("kernel.cpp")
    library = ctypes.CDLL(str(build_library(name="tsd_battery", source=source, headers=[], generated={}, flags=_FLAGS)))
    pointer, u32, u64 = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint64
    for name, result, arguments in (
        ("battery_correlate", None, [pointer, u32, u32, u32, pointer, u32, pointer, u32, *[pointer] * 3]),
        ("battery_rank", None, [pointer, u32, pointer, u32, pointer]),
        ("battery_linear_complexity", u32, [pointer, u32, pointer]),
        ("battery_fips", None, [pointer, u64, pointer]),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Correlator:
    """Counts of disagreeing bit pairs, added up chunk by chunk.

    Parameters
    ----------
    streams : int
    lags : sequence of int
        Distances in words, each at least 0.
    pairs : sequence of (int, int)
        Streams compared with each other in the same cycle.

    Attributes
    ----------
    words : int
        Words of each stream counted so far.
    ones : uint64 ndarray of shape (streams, 32)
        Set bits.
    lag_counts : uint64 ndarray of shape (len(lags), 32, 32)
        How often bit i of a word differed from bit j of the word `lag` before it, over all streams.
    pair_counts : uint64 ndarray of shape (len(pairs), 32, 32)
        How often bit i of the first stream differed from bit j of the second.

    Raises
    ------
    SpecError
        A lag or a stream is outside its range.
    """

    def __init__(self, *, streams: int, lags: Sequence[int], pairs: Sequence[tuple[int, int]]) -> None:
        for lag in lags:
            check_int("lag", lag, 0, 1 << 20)
        for stream in (stream for pair in pairs for stream in pair):
            check_int("stream", stream, 0, streams - 1)
        self.lags, self.pairs = tuple(lags), tuple(pairs)
        self.words = 0
        self.ones: Counts = np.zeros((streams, WORD_BITS), dtype=np.uint64)
        self.lag_counts: Counts = np.zeros((len(lags), WORD_BITS, WORD_BITS), dtype=np.uint64)
        self.pair_counts: Counts = np.zeros((len(pairs), WORD_BITS, WORD_BITS), dtype=np.uint64)
        self._lags = np.array(self.lags, dtype=np.uint32)
        self._pairs = np.array(self.pairs, dtype=np.uint32).reshape(-1, 2)
        self.history_words = BLOCK_WORDS * -(-max(1, *lags, 1) // BLOCK_WORDS)
        self._history: npt.NDArray[np.uint32] | None = None

    def add(self, words: npt.NDArray[np.uint32]) -> None:
        """Take the next words of every stream; the first call only gives the past that lags need.

        Parameters
        ----------
        words : uint32 ndarray of shape (streams, n)
            n a multiple of `BLOCK_WORDS`; `history_words` in the first call.

        Raises
        ------
        SpecError
            The shape is not legal.
        """
        streams, n = words.shape
        if self._history is None:
            if words.shape != (len(self.ones), self.history_words):
                raise SpecError("words", words.shape, f"shape {(len(self.ones), self.history_words)} in the first call")
            self._history = words
            return
        if streams != len(self.ones) or n % BLOCK_WORDS or not n:
            raise SpecError("words", words.shape, f"{len(self.ones)} streams, a multiple of {BLOCK_WORDS} words each")
        joined = np.ascontiguousarray(np.concatenate([self._history, words], axis=1), dtype=np.uint32)
        _library().battery_correlate(
            joined.ctypes.data,
            streams,
            self.history_words // BLOCK_WORDS,
            n // BLOCK_WORDS,
            self._lags.ctypes.data,
            len(self.lags),
            self._pairs.ctypes.data,
            len(self.pairs),
            self.ones.ctypes.data,
            self.lag_counts.ctypes.data,
            self.pair_counts.ctypes.data,
        )
        self._history = joined[:, -self.history_words :]
        self.words += n


def ranks(rows: npt.NDArray[np.uint64], upto: Sequence[int]) -> list[int]:
    """Ranks over GF(2) of the first `upto[0]`, `upto[1]`, ... rows.

    Parameters
    ----------
    rows : uint64 ndarray of shape (n, w)
        Column c is bit c % 64 of word c // 64.
    upto : sequence of int
        Increasing, the last at most n.
    """
    for low, count in zip([0, *upto], upto, strict=False):
        check_int("upto", count, low, len(rows))
    work = np.array(rows, dtype=np.uint64, order="C")
    wanted, found = np.array(upto, dtype=np.uint32), np.zeros(len(upto), dtype=np.uint32)
    _library().battery_rank(work.ctypes.data, work.shape[1], wanted.ctypes.data, len(upto), found.ctypes.data)
    return [int(rank) for rank in found]


def linear_complexity(bits: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Length of the shortest linear recurrence of a bit sequence, and how often it grew over the prefixes.

    Parameters
    ----------
    bits : uint8 ndarray of shape (n,), values 0 and 1
    """
    n = check_int("number of bits", len(bits), 1, 1 << 24)
    packed = np.zeros(n // 64 + 2, dtype=np.uint64)
    packed_bytes = np.packbits(bits, bitorder="little")
    packed.view(np.uint8)[: len(packed_bytes)] = packed_bytes
    jumps = ctypes.c_uint32()
    length = _library().battery_linear_complexity(packed.ctypes.data, n, ctypes.byref(jumps))
    return int(length), jumps.value


def fips_failures(words: npt.NDArray[np.uint32]) -> list[int]:
    """Blocks of `FIPS_BLOCK_WORDS` words that fail each of `FIPS_TESTS`, and those that fail any.

    Parameters
    ----------
    words : uint32 ndarray of shape (n,), n a multiple of `FIPS_BLOCK_WORDS`
    """
    if len(words) % FIPS_BLOCK_WORDS:
        raise SpecError("words", len(words), f"a multiple of {FIPS_BLOCK_WORDS}")
    whole = np.ascontiguousarray(words, dtype=np.uint32)
    failures = np.zeros(len(FIPS_TESTS) + 1, dtype=np.uint64)
    _library().battery_fips(whole.ctypes.data, len(whole) // FIPS_BLOCK_WORDS, failures.ctypes.data)
    return [int(count) for count in failures]
