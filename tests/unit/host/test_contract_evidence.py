# SPDX-License-Identifier: Apache-2.0
"""The tests behind the contract suite: level, power and stated bound, against scipy.stats and by simulation."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats as reference

from host import stats
from host.contract.errors import Violation
from host.contract.evidence import FAMILY_SIZE, TEST_ALPHA, RateTest, draws_for_rate, law_test, require_law
from host.soundness import FAMILY_ALPHA, POWER

LAW = np.array([0.42, 0.18, 0.08, 0.03, 0.05, 0.05, 0.05, 0.05, 0.04, 0.03, 0.02])
LAW /= LAW.sum()
N = 200_000
RUNS = 4000


def shifted(tv: float) -> npt.NDArray[np.float64]:
    """Every cell off by about the same fraction, up or down, at the total variation `tv`."""
    sign = np.where(np.arange(len(LAW)) % 2, 1.0, -1.0)
    up, down = LAW[sign > 0].sum(), LAW[sign < 0].sum()
    return LAW * (1 + np.where(sign > 0, tv / up, -tv / down))


def test_level() -> None:
    assert TEST_ALPHA * FAMILY_SIZE == FAMILY_ALPHA


def test_without_a_bound_it_is_pearsons_test() -> None:
    counts = np.random.default_rng(1).multinomial(N, LAW)
    test, pearson = law_test(counts, LAW), stats.pooled_chi2(counts, LAW, 20)
    assert (test.stat, test.dof, test.p_value) == (pearson.stat, pearson.dof, pearson.p_value)
    detectable = stats.detectable_tv(samples=N, dof=10, alpha=TEST_ALPHA, power=POWER)
    assert test.detectable_tv == pytest.approx(detectable, rel=1e-6)


def test_bound_against_scipy_stats() -> None:
    """p-value and detectable distance from scipy.stats.ncx2, another implementation."""
    bound, counts = 0.004, np.random.default_rng(2).multinomial(N, shifted(0.01))
    test = law_test(counts, LAW, bound=bound)
    allowed = N * 2 * bound**2 / LAW.min()
    assert test.p_value == pytest.approx(reference.ncx2.sf(test.stat, 10, allowed), rel=1e-6)
    critical = reference.ncx2.isf(TEST_ALPHA, 10, allowed)
    noncentrality = N * 4 * test.detectable_tv**2
    assert reference.ncx2.sf(critical, 10, noncentrality) == pytest.approx(POWER, abs=1e-4)


def test_no_law_within_the_bound_has_a_larger_effect() -> None:
    """2 b^2 / min(q), by 20,000 laws at the distance b, those that move all of b between two cells among them."""
    rng, bound = np.random.default_rng(3), 0.01
    largest = 0.0
    for _ in range(20_000):
        step = np.zeros(len(LAW))
        cells = rng.permutation(len(LAW))[: rng.integers(2, len(LAW) + 1)]
        ups = rng.integers(1, len(cells))
        step[cells[:ups]], step[cells[ups:]] = (
            rng.dirichlet(np.full(ups, 0.3)),
            -rng.dirichlet([0.3] * (len(cells) - ups)),
        )
        actual = LAW + bound * step
        if actual.min() >= 0:
            largest = max(largest, stats.effect_size(actual, LAW))
    assert 0.5 * 2 * bound**2 / LAW.min() < largest <= 2 * bound**2 / LAW.min()


def share_refused(actual: npt.NDArray[np.float64], *, bound: float, alpha: float, seed: int) -> float:
    """Share of RUNS runs of N draws from `actual` whose p-value is below `alpha`."""
    counts = np.random.default_rng(seed).multinomial(N, actual, size=RUNS)
    return float(np.mean([law_test(row, LAW, bound=bound).p_value < alpha for row in counts]))


@pytest.mark.parametrize("bound", [0.0, 0.004])
def test_the_distance_that_is_stated_is_seen_with_the_power_that_is_stated(bound: float) -> None:
    """4000 runs at the stated distance: 99 % are due; below 98.4 % comes with probability 3e-4 at the stated power."""
    stated = law_test(np.random.default_rng(4).multinomial(N, LAW), LAW, bound=bound).detectable_tv
    assert share_refused(shifted(stated), bound=bound, alpha=TEST_ALPHA, seed=5) > 0.984
    assert share_refused(shifted(stated / 2), bound=bound, alpha=TEST_ALPHA, seed=6) < 0.5


def test_good_laws_are_refused_at_the_level() -> None:
    """4000 runs at alpha = 1e-2: 40 are due, and a true rate of 0.7 to 1.4 times nominal gives 8 to 90 but for 1e-4."""
    assert 8 <= RUNS * share_refused(LAW, bound=0.0, alpha=1e-2, seed=7) <= 90


def test_laws_at_the_bound_are_not_refused_more_often() -> None:
    worst = LAW.copy()
    worst[LAW.argmin()] += 0.004
    worst[LAW.argmax()] -= 0.004
    assert RUNS * share_refused(worst, bound=0.004, alpha=1e-2, seed=8) <= 90
    assert share_refused(worst, bound=0.0, alpha=1e-2, seed=8) > 0.99


def test_message_names_the_cell_that_is_furthest_off() -> None:
    counts = np.round(N * LAW).astype(np.int64)
    counts[3] += 2000
    with pytest.raises(
        Violation, match=r"^wrong law: token 3 came 8,000 times of 202,000, 6,060\.0 were due \(chi-squ"
    ):
        require_law("wrong law", counts, LAW, bound=0.0)
    with pytest.raises(Violation, match=r"cell 3 .* more than the stated bound of 1e-05 explains"):
        require_law("wrong law", counts, LAW, bound=1e-5, cell="cell {}".format)
    require_law("right law", np.round(N * LAW).astype(np.int64), LAW, bound=0.0)


# --- rates ------------------------------------------------------------------------------------------------------------

RARE = RateTest(draws=50_000_000, rate=63 * 2.0**-24)
SLACK = RateTest(draws=50_000_000, rate=63 * 2.0**-24, slack=6 * 2.0**-24)


@pytest.mark.parametrize("test", [RARE, SLACK])
@pytest.mark.parametrize("factor", [0.0, 0.4, 0.55, 0.7, 1.4, 1.7, 2.5])
def test_power_by_enumeration(test: RateTest, factor: float) -> None:
    """The probability of all counts that are refused on that side of the rate, from scipy.stats.binom."""
    due = test.draws * test.rate
    hits = [k for k in range(1200) if (k < due) == (factor < 1) and test.p_value(k) < TEST_ALPHA]
    mass = reference.binom.pmf(hits, test.draws, factor * test.rate).sum()
    assert test.power(factor) == pytest.approx(mass, abs=1e-7)  # their sums differ so far


def test_p_value_of_a_rate() -> None:
    exact = reference.binomtest(100, RARE.draws, RARE.rate).pvalue
    assert RARE.p_value(100) == pytest.approx(exact, rel=0.6)  # they add up the other tail by likelihood
    assert SLACK.p_value(175) == SLACK.p_value(200) == 1.0 > RARE.p_value(187) > 0.99
    assert SLACK.p_value(120) == stats.binomial_p_value(120, SLACK.draws, SLACK.rate - SLACK.slack)


def test_factor_seen() -> None:
    for test in (RARE, SLACK):
        low, high = test.factor_seen(above=False), test.factor_seen(above=True)
        assert test.power(low) >= POWER > test.power(low + 0.01)
        assert test.power(high) >= POWER > test.power(high - 0.01)
    assert RateTest(draws=1_000_000, rate=1e-6).factor_seen(above=False) == 0.0


def test_draws_for_a_rate() -> None:
    draws = draws_for_rate(RARE.rate, 0.5)
    assert RateTest(draws=draws, rate=RARE.rate).power(0.5) >= POWER
    assert RateTest(draws=int(draws / 1.1), rate=RARE.rate).power(0.5) < POWER
    assert draws_for_rate(RARE.rate, 0.5, slack=RARE.rate / 10) > 1.3 * draws
