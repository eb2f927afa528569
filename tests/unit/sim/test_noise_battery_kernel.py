# SPDX-License-Identifier: Apache-2.0
"""The counting loops of the battery against enumeration, published facts and plain NumPy."""

import itertools
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from hw.spec.errors import SpecError
from sim.noise import kernel

# Matrices of 4 x 4 over GF(2) by rank r: prod over i < r of (2^4 - 2^i)^2 / (2^r - 2^i).
RANKS_4X4 = {0: 1, 1: 225, 2: 7350, 3: 37800, 4: 20160}


def ref_bits(words: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint8]:
    """Bits of words, lowest first; shape (..., 32)."""
    return (words[..., None] >> np.arange(32, dtype=np.uint32) & 1).astype(np.uint8)


def test_correlator_counts_what_numpy_counts() -> None:
    rng = np.random.default_rng(5)
    lags, pairs = (0, 1, 31, 63, 64, 65, 128), [(0, 1), (2, 0)]
    counter = kernel.Correlator(streams=3, lags=lags, pairs=pairs)
    assert counter.history_words == 128
    words = rng.integers(0, 1 << 32, (3, 128 + 192), dtype=np.uint32)
    counter.add(words[:, :128])
    counter.add(words[:, 128:192])
    counter.add(words[:, 192:])
    assert counter.words == 192
    bits = ref_bits(words).astype(np.int64)
    now = bits[:, 128:]
    assert np.array_equal(counter.ones, now.sum(axis=1))
    for lag, counts in zip(lags, counter.lag_counts, strict=True):
        past = bits[:, 128 - lag : 320 - lag]
        expected = (now[..., :, None] != past[..., None, :]).sum(axis=(0, 1))
        assert np.array_equal(counts, expected), lag
    for (a, b), counts in zip(pairs, counter.pair_counts, strict=True):
        assert np.array_equal(counts, (now[a][:, :, None] != now[b][:, None, :]).sum(axis=0))


@pytest.mark.parametrize("shape", [(3, 64), (2, 128)])
def test_correlator_refuses_a_wrong_first_call(shape: tuple[int, int]) -> None:
    counter = kernel.Correlator(streams=3, lags=(65,), pairs=[])
    with pytest.raises(SpecError, match="words"):
        counter.add(np.zeros(shape, dtype=np.uint32))


def test_correlator_refuses_part_of_a_block_and_bad_arguments() -> None:
    counter = kernel.Correlator(streams=1, lags=(1,), pairs=[])
    counter.add(np.zeros((1, 64), dtype=np.uint32))
    for n in (0, 63):
        with pytest.raises(SpecError, match="words"):
            counter.add(np.zeros((1, n), dtype=np.uint32))
    with pytest.raises(SpecError, match="lag"):
        kernel.Correlator(streams=1, lags=(-1,), pairs=[])
    with pytest.raises(SpecError, match="stream"):
        kernel.Correlator(streams=2, lags=(0,), pairs=[(0, 2)])


def test_ranks_of_all_small_matrices() -> None:
    found: Counter[int] = Counter()
    for rows in itertools.product(range(16), repeat=4):
        # The columns are spread over two words.
        matrix = np.array([[row & 3, row >> 2 << 62] for row in rows], dtype=np.uint64)
        found[kernel.ranks(matrix, [4])[0]] += 1
    assert found == RANKS_4X4


def test_ranks_of_a_product_are_those_of_its_factors() -> None:
    rng = np.random.default_rng(2)
    left = rng.integers(0, 2, (300, 100))
    left[:100] = np.eye(100, dtype=left.dtype)  # the first rows alone reach the rank
    right = np.concatenate([np.eye(100, dtype=left.dtype), rng.integers(0, 2, (100, 156))], axis=1)
    product = (left @ right % 2).astype(np.uint8)
    packed = np.packbits(product, axis=1, bitorder="little").view(np.uint64)
    before = packed.copy()
    assert kernel.ranks(packed, [50, 100, 300]) == [50, 100, 100]
    assert np.array_equal(packed, before)
    for upto in ([301], [5, 4]):
        with pytest.raises(SpecError, match="upto"):
            kernel.ranks(packed, upto)


def ref_complexity(bits: tuple[int, ...]) -> int:
    """Shortest linear recurrence, by trying all coefficients of all lengths."""
    n = len(bits)
    for length in range(n):
        for taps in itertools.product((0, 1), repeat=length):
            if all(bits[t] == sum(c & bits[t - 1 - i] for i, c in enumerate(taps)) % 2 for t in range(length, n)):
                return length
    return n


def test_linear_complexity_by_exhaustive_search() -> None:
    for n in (1, 5, 8):
        for bits in itertools.product((0, 1), repeat=n):
            lengths = [ref_complexity(bits[:end]) for end in range(n + 1)]
            jumps = sum(after > before for before, after in itertools.pairwise(lengths))
            assert kernel.linear_complexity(np.array(bits, dtype=np.uint8)) == (lengths[-1], jumps), bits


@pytest.mark.parametrize("degree, tap", [(63, 62), (65, 47), (127, 126), (1279, 861)])
def test_linear_complexity_of_recurrences_longer_than_a_machine_word(degree: int, tap: int) -> None:
    """Primitive trinomials x^n + x^k + 1 (Zierler and Brillhart): every non-zero sequence has complexity n."""
    rng = np.random.default_rng(degree)
    bits = [*rng.integers(0, 2, degree - 1), 1]
    while len(bits) < 4 * degree:
        bits.append(bits[-degree] ^ bits[-tap])
    assert kernel.linear_complexity(np.array(bits, dtype=np.uint8))[0] == degree


def test_fips_by_construction() -> None:
    """Blocks that fail known tests: constant, alternating, and a good block in which a run of 26 is planted."""
    rng = np.random.default_rng(1)
    constant = np.zeros(625, dtype=np.uint32)
    alternating = np.full(625, 0x55555555, dtype=np.uint32)
    good = rng.integers(0, 1 << 32, 625, dtype=np.uint32)
    planted = good.copy()
    planted[7] = 0x1FFFFFF7  # 0001 1111 ... 0111: 25 ones between zeros
    assert kernel.fips_failures(good) == [0, 0, 0, 0, 0]
    assert kernel.fips_failures(planted) == [0, 0, 0, 0, 0]
    planted[7] = 0x1FFFFFFB  # 26 ones, then 011
    assert kernel.fips_failures(planted)[3:] == [1, 1]
    assert kernel.fips_failures(constant) == [1, 1, 1, 1, 1]
    assert kernel.fips_failures(alternating) == [0, 1, 1, 0, 1]
    assert kernel.fips_failures(np.concatenate([constant, good, alternating])) == [1, 2, 2, 1, 2]
    with pytest.raises(SpecError, match="words"):
        kernel.fips_failures(good[:-1])


def fips_monobit_failures(ones: int) -> int:
    """Whether a block with so many ones, mixed well, fails the monobit test."""
    bits = np.zeros(20_000, dtype=np.uint8)
    bits[:ones] = 1
    np.random.default_rng(9).shuffle(bits)
    return kernel.fips_failures(np.packbits(bits).view(">u4").astype(np.uint32))[0]


def test_fips_monobit_bounds() -> None:
    assert [fips_monobit_failures(ones) for ones in (9725, 9726, 10274, 10275)] == [1, 0, 0, 1]


def test_fips_runs_cross_words_highest_bit_first() -> None:
    good = np.random.default_rng(1).integers(0, 1 << 32, 625, dtype=np.uint32)
    good[100], good[101] = 0xAAAA1FFF, 0xFFF8AAAA  # 13 ones at the end of a word and 13 at the start of the next
    assert kernel.fips_failures(good)[3] == 1
    good[101] = 0xFFF0AAAA  # 25 in all
    assert kernel.fips_failures(good)[3] == 0
