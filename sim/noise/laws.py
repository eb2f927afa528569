# SPDX-License-Identifier: Apache-2.0
"""What an ideal source of bits does in the tests of the battery: exact laws and p-values.

Sources
-------
Rank of random matrices over GF(2): G. Marsaglia, L.-H. Tsay, "Matrices and the structure of random number sequences",
1985. Linear complexity of random bits: R. A. Rueppel, "Analysis and Design of Stream Ciphers", 1986; number of jumps:
G. D. Carter, "Aspects of local linear complexity", 1989, as used in TestU01.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

SIGMAS = 5.0
"""A z-score fails above this."""

ALPHA = float(2 * stats.norm.sf(SIGMAS))
"""A p-value fails below this: 5.7e-7, the two-sided tail of 5 sigma."""

DEFICIENCY_CLASSES = 3
"""Classes of the chi-squared test on ranks: deficiency 0, 1, and 2 or more."""

FIPS_BLOCK_FAILURE_MAX = 1.1e-3
"""Upper bound for the share of FIPS 140-2 blocks that an ideal source fails; see docs/reference/noise.md."""

_REACH = 500
"""Complexities further than this from n / 2 have a probability below 2^-999."""

_CHI_SQUARED_MATRICES = 40  # class "2 or more" has probability 0.1336 and so expects 5


def z_scores(disagree: np.typing.NDArray[np.uint64], n: int) -> np.typing.NDArray[np.float64]:
    """z of "two ideal bits agree with probability 1/2" from counts of disagreement among n pairs each.

    The counts are Binomial(n, 1/2), so z = (n - 2 d) / sqrt(n) has mean 0 and variance 1.
    """
    z: np.typing.NDArray[np.float64] = (n - 2 * disagree.astype(np.float64)) / math.sqrt(n)
    return z


def deficiency_law(n: int, classes: int) -> list[float]:
    """P(rank = n - d) of a random n x n matrix over GF(2), for d = 0 .. classes - 1.

    2^(-d^2) prod_(i = d+1..n) (1 - 2^-i)^2 / prod_(i = 1..n-d) (1 - 2^-i).
    """
    law = []
    for d in range(classes):
        rank = n - d
        product = 2.0 ** -(d * d)
        for i in range(min(rank, 200)):  # later factors are 1 in float64
            # pairs (1 - 2^(i-n))^2 / (1 - 2^(i-rank)), counted from their ends
            product *= (1 - 2.0 ** -(d + 1 + i)) ** 2 / (1 - 2.0 ** -(i + 1))
        law.append(product)
    return law


def rank_p_value(n: int, deficiencies: Sequence[int]) -> float:
    """p-value of the deficiencies of independent random n x n matrices.

    Twice the smaller of two: the largest deficiency (exact law), and, from 40 matrices on, chi-squared over the classes
    0, 1, and 2 or more.
    """
    count, worst = len(deficiencies), max(deficiencies)
    # P(deficiency >= d): one minus the rest loses digits, so the tail is added up; it falls like 2^(-d^2).
    tail = sum(deficiency_law(n, min(worst + 4, n + 1))[worst:]) if worst else 1.0
    p_values = [-math.expm1(count * math.log1p(-tail)) if tail < 1 else 1.0]
    if count >= _CHI_SQUARED_MATRICES:
        law = deficiency_law(n, DEFICIENCY_CLASSES - 1)
        expected = np.array([*law, 1 - sum(law)]) * count
        seen = np.bincount(np.minimum(deficiencies, DEFICIENCY_CLASSES - 1), minlength=DEFICIENCY_CLASSES)
        p_values.append(float(stats.chisquare(seen, expected).pvalue))
    return min(1.0, len(p_values) * min(p_values))


def complexity_p_value(n: int, length: int) -> float:
    """Two-sided p-value of the linear complexity of n random bits.

    2^min(2n - 2L, 2L - 1) sequences have complexity L >= 1, one has 0. The two-sided p-value adds up the values of L
    that are at least as far from n / 2 + 1/4 as the one seen.
    """
    centre = n / 2 + 0.25
    far = abs(length - centre)
    total = 2.0**-n if centre >= far else 0.0
    for step in range(max(1, n // 2 - _REACH), min(n, n // 2 + _REACH) + 1):
        if abs(step - centre) >= far:
            total += 2.0 ** min(n - 2 * step, 2 * step - 1 - n)
    return min(1.0, total)


def jumps_p_value(n: int, jumps: int) -> float:
    """Two-sided p-value of how often the linear complexity of n random bits grows; normal law, for n >= 1000.

    Mean n/4 + (4 + r)/12 and variance n/8 - (2 - r)/(9 - r) with r = n mod 2, up to terms of order n 2^-n.
    """
    odd = n % 2
    mean = n / 4 + (4 + odd) / 12
    variance = n / 8 - (2 - odd) / (9 - odd)
    return float(2 * stats.norm.sf(abs(jumps - mean) / math.sqrt(variance)))


def fips_p_value(blocks: int, failures: int) -> float:
    """P(at least this many of the blocks fail FIPS 140-2), at the bound `FIPS_BLOCK_FAILURE_MAX`."""
    return float(stats.binom.sf(failures - 1, blocks, FIPS_BLOCK_FAILURE_MAX))
