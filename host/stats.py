# SPDX-License-Identifier: Apache-2.0
"""Statistics of a run: pooled chi-squared, exact binomial, and the power analysis that sizes both.

`docs/reference/statistics.md` derives the sample sizes. Only `scipy.special` is imported (`scipy.stats` takes 0.5 s).

Sources
-------
Pearson's test with bins pooled to an expected count of at least 5: Cochran, Biometrics 10 (1954).
Power: the statistic is noncentral chi-squared, noncentrality N * sum (p' - p)^2 / p: Cohen, Statistical Power
Analysis, 2nd ed., chapter 7. Binomial interval: Clopper and Pearson, Biometrika 26 (1934).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

MIN_EXPECTED = 5.0
"""Smallest expected count of a chi-squared bin."""


@dataclass(frozen=True, kw_only=True)
class Chi2Result:
    """Pearson statistic, degrees of freedom and upper-tail probability."""

    stat: float
    dof: int
    p_value: float


def pool_bins(expected: npt.NDArray[np.float64], minimum: float = MIN_EXPECTED) -> npt.NDArray[np.intp]:
    """Pool number of each bin, so that every pool expects at least `minimum` counts.

    Bins that expect enough stay alone. The others are taken in ascending order of their expectation and cut where
    the running sum passes a multiple of 2 * minimum: a pool then holds more than minimum. What is left over joins
    the last pool. Only the expectations decide, never the observed counts.

    Returns
    -------
    intp ndarray of shape (bins,)
        Pool numbers 0, 1, ...; a bin that expects nothing is pooled like any other.
    """
    order = np.argsort(expected, kind="stable")
    small = int(np.searchsorted(expected[order], minimum, side="left"))
    running = np.cumsum(expected[order[:small]])
    group = (running / (2 * minimum)).astype(np.intp)
    pools = int(running[-1] / (2 * minimum)) if small else 0  # complete pools; the rest joins the last of them
    group = np.minimum(group, max(pools - 1, 0))
    if small and pools == 0 and running[-1] >= minimum:
        pools = 1
    pool = np.empty(len(expected), dtype=np.intp)
    pool[order[:small]] = group
    pool[order[small:]] = np.arange(len(expected) - small) + (pools if small else 0)
    if small and pools == 0 and small < len(expected):
        pool[order[:small]] = 0  # too little for a pool of their own: they join the smallest large bin
    return pool


def pooled_chi2(
    counts: npt.NDArray[np.int64], law: npt.NDArray[np.float64], minimum: float = MIN_EXPECTED
) -> Chi2Result:
    """Pearson's test of `counts` against `law` (shape (bins,), sums to 1), pooled to expected counts >= `minimum`.

    A count where the law is 0 is impossible: statistic infinity, p-value 0. With a single pool there is nothing to
    test: statistic 0, p-value 1.
    """
    n = int(counts.sum())
    if n and counts[law <= 0].any():
        return Chi2Result(stat=math.inf, dof=max(len(counts) - 1, 1), p_value=0.0)
    expected = n * (law / law.sum())
    pool = pool_bins(expected, minimum)
    pooled_expected = np.bincount(pool, weights=expected)
    pooled_counts = np.bincount(pool, weights=counts)
    dof = len(pooled_expected) - 1
    if dof < 1:
        return Chi2Result(stat=0.0, dof=0, p_value=1.0)
    stat = float(np.sum((pooled_counts - pooled_expected) ** 2 / pooled_expected))
    return Chi2Result(stat=stat, dof=dof, p_value=float(special.chdtrc(dof, stat)))


def binomial_p_value(successes: int, trials: int, probability: float) -> float:
    """Two-sided exact p-value, twice the smaller tail: min(1, 2 P(X <= k), 2 P(X >= k)) of Binomial(trials, p)."""
    if probability <= 0.0 or probability >= 1.0:
        return float(successes == (trials if probability >= 1.0 else 0))
    lower = special.betainc(trials - successes, successes + 1, 1 - probability) if successes < trials else 1.0
    upper = special.betainc(successes, trials - successes + 1, probability) if successes > 0 else 1.0
    return float(min(1.0, 2 * lower, 2 * upper))


def binomial_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a probability; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    half = (1 - confidence) / 2
    low = special.betaincinv(successes, trials - successes + 1, half) if successes > 0 else 0.0
    high = special.betaincinv(successes + 1, trials - successes, 1 - half) if successes < trials else 1.0
    return float(low), float(high)


# --- power analysis -----------------------------------------------------------------------------------------------


def effect_size(actual: npt.NDArray[np.float64], claimed: npt.NDArray[np.float64]) -> float:
    """sum (actual - claimed)^2 / claimed, the noncentrality that one sample contributes; infinity off the support."""
    support = claimed > 0
    if np.any(actual[~support] > 0):
        return math.inf
    return float(np.sum((actual[support] - claimed[support]) ** 2 / claimed[support]))


def noncentrality_needed(*, dof: int, alpha: float, power: float) -> float:
    """Noncentrality at which a chi-squared test of size alpha rejects with the given power."""
    critical = special.chdtri(dof, alpha)
    return float(special.chndtrinc(critical, dof, 1 - power))


def chi2_power(*, noncentrality: float, dof: int, alpha: float) -> float:
    """Probability that a chi-squared test of size alpha rejects."""
    return 1.0 - float(special.chndtr(special.chdtri(dof, alpha), dof, noncentrality))


def samples_needed(*, effect: float, dof: int, alpha: float, power: float) -> int:
    """Smallest N that detects `effect` (see `effect_size`) with the given power."""
    return math.ceil(noncentrality_needed(dof=dof, alpha=alpha, power=power) / effect)


def detectable_tv(*, samples: int, dof: int, alpha: float, power: float) -> float:
    """Smallest total variation that N samples detect when every bin is off by the same fraction, up or down.

    Then (p' - p)^2 / p = (2 TV)^2 p, so the effect is 4 TV^2. A bias that sits in few bins is seen sooner.
    """
    if samples == 0 or dof < 1:
        return 1.0
    return min(1.0, math.sqrt(noncentrality_needed(dof=dof, alpha=alpha, power=power) / samples) / 2)
