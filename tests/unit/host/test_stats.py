# SPDX-License-Identifier: Apache-2.0
"""host.stats against scipy.stats, exact rationals and published figures."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from host import stats
from host.soundness import POWER, TEST_ALPHA


@given(st.lists(st.floats(0, 40), min_size=1, max_size=60))
@settings(max_examples=300, deadline=None)
def test_pools_partition_the_bins_and_expect_enough(expected: list[float]) -> None:
    """Every pool expects >= 5 (unless all bins together do not), and bins that expect 5 stay alone where they can."""
    array = np.array(expected)
    pool = stats.pool_bins(array)
    sums = np.bincount(pool, weights=array)
    assert set(pool) == set(range(len(sums)))
    if array.sum() >= 5:
        assert sums.min() >= 5 - 1e-9
    else:
        assert len(sums) == 1
    if array[array < 5].sum() >= 5:
        for index in np.flatnonzero(array >= 5):
            assert np.count_nonzero(pool == pool[index]) == 1


def test_chi2_without_pooling_equals_scipy() -> None:
    """Large expectations: nothing is pooled, and scipy.stats.chisquare gives the same figures."""
    rng = np.random.default_rng(1)
    law = rng.dirichlet(np.full(20, 5.0))
    counts = rng.multinomial(100_000, law)
    ours = stats.pooled_chi2(counts, law)
    theirs = reference.chisquare(counts, 100_000 * law)
    assert ours.dof == 19
    assert ours.stat == pytest.approx(theirs.statistic, rel=1e-10)
    assert ours.p_value == pytest.approx(theirs.pvalue, rel=1e-8)


def test_chi2_by_hand() -> None:
    """A die thrown 60 times with counts 5,8,9,8,10,20: X^2 = 13.4 on 5 degrees, p = 0.0199 (textbook example)."""
    result = stats.pooled_chi2(np.array([5, 8, 9, 8, 10, 20]), np.full(6, 1 / 6))
    assert result.stat == pytest.approx(13.4)
    assert result.dof == 5
    assert result.p_value == pytest.approx(0.0199, abs=1e-4)


def test_a_count_of_an_impossible_token_is_fatal() -> None:
    """One token with p = 0 is enough."""
    result = stats.pooled_chi2(np.array([10_000, 10_000, 1]), np.array([0.5, 0.5, 0.0]))
    assert result.stat == math.inf
    assert result.p_value == 0.0
    assert stats.pooled_chi2(np.array([10_000, 10_000, 0]), np.array([0.5, 0.5, 0.0])).p_value == 1.0


def test_nothing_to_test() -> None:
    """No samples, or one pool: p-value 1."""
    assert stats.pooled_chi2(np.zeros(4, dtype=np.int64), np.full(4, 0.25)).p_value == 1.0
    assert stats.pooled_chi2(np.array([7]), np.array([1.0])).p_value == 1.0


@pytest.mark.parametrize(("k", "n", "p"), [(3, 10, Fraction(1, 2)), (0, 10, Fraction(1, 3)), (10, 10, Fraction(2, 3))])
def test_binomial_p_value_exact(k: int, n: int, p: Fraction) -> None:
    """Tail sums in rationals."""
    mass = [math.comb(n, j) * p**j * (1 - p) ** (n - j) for j in range(n + 1)]
    exact = min(Fraction(1), 2 * sum(mass[: k + 1]), 2 * sum(mass[k:]))
    assert stats.binomial_p_value(k, n, float(p)) == pytest.approx(float(exact), rel=1e-12)


def test_binomial_p_value_of_a_certain_event() -> None:
    """Overlap 1 or 0 leaves no room for chance."""
    assert stats.binomial_p_value(9, 10, 1.0) == 0.0
    assert stats.binomial_p_value(10, 10, 1.0) == 1.0
    assert stats.binomial_p_value(1, 10, 0.0) == 0.0


@pytest.mark.parametrize(("k", "n"), [(0, 20), (7, 20), (20, 20), (735_400, 1_000_000)])
def test_interval_equals_scipy(k: int, n: int) -> None:
    """Clopper-Pearson as scipy.stats computes it."""
    theirs = reference.binomtest(k, n).proportion_ci(0.95, method="exact")
    assert stats.binomial_interval(k, n) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


@pytest.mark.parametrize("dof", [1, 7, 999, 1_000_000])
def test_noncentrality_against_scipy_stats(dof: int) -> None:
    """The inverse lands on the power that scipy.stats.ncx2 (another implementation) computes."""
    alpha, power = 2.5e-7, 0.99
    needed = stats.noncentrality_needed(dof=dof, alpha=alpha, power=power)
    critical = reference.chi2.isf(alpha, dof)
    assert reference.ncx2.sf(critical, dof, needed) == pytest.approx(power, abs=1e-6)
    assert stats.chi2_power(noncentrality=needed, dof=dof, alpha=alpha) == pytest.approx(power, abs=1e-9)


def test_one_degree_equals_the_two_sided_normal_test() -> None:
    """dof = 1: sqrt(noncentrality) = z(1 - alpha/2) + z(power), but for the far tail."""
    z = reference.norm.isf(1e-6 / 2) + reference.norm.isf(0.01)
    assert stats.noncentrality_needed(dof=1, alpha=1e-6, power=0.99) == pytest.approx(z**2, rel=1e-6)


def test_design_figure() -> None:
    """V = 1000 at alpha 1e-6 and power 0.99: N = 9e7 sees TV = 1e-3."""
    assert stats.detectable_tv(samples=90_000_000, dof=999, alpha=1e-6, power=0.99) == pytest.approx(1e-3, rel=0.03)
    needed = stats.samples_needed(effect=4e-6, dof=999, alpha=1e-6, power=0.99)
    assert needed == pytest.approx(9e7, rel=0.03)


def test_effect_size() -> None:
    """By hand, and infinite where the claimed law has no mass."""
    assert stats.effect_size(np.array([0.6, 0.4]), np.array([0.5, 0.5])) == pytest.approx(0.04)
    assert stats.effect_size(np.array([0.6, 0.4]), np.array([1.0, 0.0])) == math.inf


def test_documented_table() -> None:
    """Section 2 of docs/reference/statistics.md, recomputed."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "statistics.md").read_text()
    rows = text.split("<!-- test: detectable -->")[1].split("\n\n")[1].splitlines()
    sizes = [int(float(cell.split("=")[1])) for cell in rows[0].split("|")[3:-1]]
    assert sizes == [10**4, 10**5, 10**6, 10**7, 10**8]
    for row in rows[2:]:
        vocab, needed, *figures = [cell.strip() for cell in row.split("|")[1:-1]]
        dof = int(vocab) - 1
        assert f"{stats.noncentrality_needed(dof=dof, alpha=TEST_ALPHA, power=POWER):.4g}" == needed
        for samples, figure in zip(sizes, figures, strict=True):
            detectable = stats.detectable_tv(samples=samples, dof=dof, alpha=TEST_ALPHA, power=POWER)
            assert f"{detectable:.2g}" == figure
