# SPDX-License-Identifier: Apache-2.0
"""The statistical tests of the contract suite: their level, what they detect, and what they say when they fail.

A TSU that draws from F_hw(psi) itself is tested by Pearson's chi-squared. One whose law is only within a total
variation b of it has a statistic that is noncentral chi-squared with a noncentrality of at most N 2 b^2 / min(q): the
sum of (q' - q)^2 / q is convex in q', so both what is added and what is taken away weigh most where all of b meets the
smallest q. The p-value is the one at that noncentrality, the largest over every law within the bound.

Sources: `host.stats`, and Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, chapter 29.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from host import stats
from host.soundness import FAMILY_ALPHA, POWER

from .errors import Violation

FAMILY_SIZE = 32
"""Most statistical tests of one run of the suite."""

TEST_ALPHA = FAMILY_ALPHA / FAMILY_SIZE
"""Level of each test: a run calls a good TSU broken with probability below `FAMILY_ALPHA`."""

MIN_EXPECTED = 20.0
"""Smallest expected count of a cell: with fewer, far out in the tail, the chi-squared law is off (statistics.md)."""


@dataclass(frozen=True, kw_only=True)
class LawTest:
    """Pearson's test of counts against a law, or against every law within a distance of it.

    Parameters
    ----------
    stat : float
        Pearson's statistic.
    dof : int
        Degrees of freedom; 0 where there is nothing to test.
    p_value : float
        Largest probability of such a statistic, over the laws within the bound.
    detectable_tv : float
        Total variation seen with probability `POWER` when every cell is off by the same fraction, up or down.
    """

    stat: float
    dof: int
    p_value: float
    detectable_tv: float


def law_test(
    counts: npt.NDArray[np.int64], law: npt.NDArray[np.float64], *, bound: float = 0.0, alpha: float = TEST_ALPHA
) -> LawTest:
    """Test counts against `law`.

    Parameters
    ----------
    counts : int64 ndarray of shape (cells,)
    law : float64 ndarray of shape (cells,), sums to 1
    bound : float
        Total variation that is allowed between the law of the counts and `law`.
    alpha : float
        Level at which `detectable_tv` is stated.
    """
    n = int(counts.sum())
    result = stats.pooled_chi2(counts, law, MIN_EXPECTED)
    if result.dof < 1 or result.p_value == 0.0:
        return LawTest(stat=result.stat, dof=result.dof, p_value=result.p_value, detectable_tv=1.0)
    allowed = 0.0
    p_value, critical = result.p_value, float(special.chdtri(result.dof, alpha))
    if bound:
        pooled = np.bincount(stats.pool_bins(n * law, MIN_EXPECTED), weights=law)
        allowed = n * 2 * bound**2 / float(pooled.min())
        p_value = max(p_value, 1.0 - float(special.chndtr(result.stat, result.dof, allowed)))
        critical = float(special.chndtrix(1.0 - alpha, result.dof, allowed))
    needed = float(special.chndtrinc(critical, result.dof, 1.0 - POWER))
    return LawTest(
        stat=result.stat, dof=result.dof, p_value=p_value, detectable_tv=min(1.0, float(np.sqrt(needed / n)) / 2)
    )


def require_law(
    what: str,
    counts: npt.NDArray[np.int64],
    law: npt.NDArray[np.float64],
    *,
    bound: float,
    cell: Callable[[int], str] = "token {}".format,
) -> LawTest:
    """The test, or `Violation` where it fails; the message names the cell that is furthest off.

    Parameters
    ----------
    what : str
        What is wrong if it fails, for people.
    counts, law, bound
        See `law_test`.
    cell : callable
        Name of a cell, from its number.
    """
    n = int(counts.sum())
    test = law_test(counts, law, bound=bound)
    if test.p_value >= TEST_ALPHA:
        return test
    due = n * law
    off = np.abs(counts - due) / np.sqrt(np.maximum(due, 1.0))
    worst = int(off.argmax())
    within = f", more than the stated bound of {bound:g} explains" if bound else ""
    raise Violation(
        f"{what}: {cell(worst)} came {counts[worst]:,} times of {n:,}, {due[worst]:,.1f} were due "
        f"(chi-squared {test.stat:.1f} with {test.dof} degrees of freedom, p = {test.p_value:.2g}){within}"
    )


# --- rare events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RateTest:
    """Exact two-sided binomial test of a rate, with a slack around it.

    Parameters
    ----------
    draws : int
        N.
    rate : float
        Probability that is due.
    slack : float
        What the true rate may be off by.
    alpha : float
        Level.
    """

    draws: int
    rate: float
    slack: float = 0.0
    alpha: float = TEST_ALPHA

    def p_value(self, hits: int) -> float:
        """Largest p-value of `hits` over the rates within the slack."""
        low, high = self.rate - self.slack, self.rate + self.slack
        if low * self.draws <= hits <= high * self.draws:
            return 1.0
        return stats.binomial_p_value(hits, self.draws, low if hits < low * self.draws else high)

    def power(self, factor: float) -> float:
        """Probability that a TSU with `factor` times the rate is refused, a change in that direction alone counted."""
        rate = self.rate * factor
        if factor < 1:
            most = self._last_refused()
            return float(special.bdtr(most, self.draws, rate)) if most >= 0 else 0.0
        return float(special.bdtrc(self._first_refused() - 1, self.draws, rate))

    def factor_seen(self, *, above: bool) -> float:
        """Factor nearest to 1, above or below it, that is seen with probability `POWER`; 0 where none below it is."""
        if not above and self.power(0.0) < POWER:
            return 0.0
        near, far = 1.0, 2.0 if above else 0.0
        while above and self.power(far) < POWER:
            far *= 2
        for _ in range(30):
            middle = (near + far) / 2
            near, far = (near, middle) if self.power(middle) >= POWER else (middle, far)
        return far

    def _last_refused(self) -> int:
        """Most hits below the rate that are refused; -1 where not even none at all is."""
        low, high = -1, int(self.rate * self.draws)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.p_value(middle) < self.alpha else (low, middle)
        return low

    def _first_refused(self) -> int:
        """Fewest hits above the rate that are refused."""
        low, high = int(self.rate * self.draws), int(4 * self.rate * self.draws) + 200
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.p_value(middle) < self.alpha else (middle, high)
        return high


def draws_for_rate(rate: float, factor: float, *, slack: float = 0.0) -> int:
    """Fewest draws, to a twentieth, at which `factor` times `rate` is seen with probability `POWER`."""
    draws = 1.0 / rate
    while RateTest(draws=int(draws), rate=rate, slack=slack).power(factor) < POWER:
        draws *= 1.05
    return int(draws)
