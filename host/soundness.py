# SPDX-License-Identifier: Apache-2.0
"""Is a run statistically sound? Four tests on its counts, one family error rate.

========== ===================================================== ================================================
test       null hypothesis                                       sees
========== ===================================================== ================================================
emitted    emitted tokens follow the target p (chi-squared)      any bias of the output
drafts     drafts follow the reported law q (chi-squared)        a TSU that samples another law than it reports
accepted   accepted drafts ~ Binomial(steps, overlap), exact     a wrong acceptance rule
recovered  recovered tokens follow (p - q)+ (chi-squared)        a wrong residual
========== ===================================================== ================================================

A run is sound when every p-value is at least `FAMILY_ALPHA` / 4 (Bonferroni). `docs/reference/statistics.md` says
what a run of N steps detects, and how often an unbiased run is called unsound.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host import stats

FAMILY_ALPHA = 1e-6
"""Probability, to first order, that an unbiased run is called unsound."""

FAMILY_SIZE = 4
"""Tests of one run."""

TEST_ALPHA = FAMILY_ALPHA / FAMILY_SIZE
"""Level of each test."""

POWER = 0.99
"""Power at which `detectable_tv` is stated."""


@dataclass(frozen=True, kw_only=True)
class TestResult:
    """One test: its statistic (chi-squared, or accepted drafts), degrees of freedom, p-value and level."""

    name: str
    stat: float
    dof: int
    p_value: float

    alpha: float = TEST_ALPHA

    @property
    def passed(self) -> bool:
        """Whether the p-value is at least `alpha`."""
        return self.p_value >= self.alpha


@dataclass(frozen=True, kw_only=True)
class Soundness:
    """All tests of one run.

    Parameters
    ----------
    tests : tuple of TestResult
        emitted, drafts, accepted, recovered; of contexts: these together, and the worst context of each.
    detectable_tv : float
        Total variation between output and target that the `emitted` test sees with power `POWER`.
    """

    tests: tuple[TestResult, ...]
    detectable_tv: float

    @property
    def sound(self) -> bool:
        """Whether every test passed."""
        return all(test.passed for test in self.tests)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the tests that did not pass."""
        return tuple(test.name for test in self.tests if not test.passed)

    def __getitem__(self, name: str) -> TestResult:
        return next(test for test in self.tests if test.name == name)


def recovered_law(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(p - q)+ of shape (vocab_size,), not normalised; p where nothing of it is left."""
    residual: npt.NDArray[np.float64] = np.maximum(p - q, 0.0)
    return residual if residual.any() else p


def assess(
    *,
    p: npt.NDArray[np.float64],
    q: npt.NDArray[np.float64],
    drafts: npt.NDArray[np.int64],
    emitted: npt.NDArray[np.int64],
    recovered: npt.NDArray[np.int64],
) -> Soundness:
    """Test the counts of one run.

    Parameters
    ----------
    p, q : float64 ndarray of shape (vocab_size,)
        Target, and law of the drafts as the TSU reports it.
    drafts, emitted, recovered : int64 ndarray of shape (vocab_size,)
        Counts per token. Drafts less recovered tokens are the accepted ones.
    """
    steps = int(drafts.sum())
    accepted = steps - int(recovered.sum())
    overlap = min(float(np.minimum(p, q).sum()), 1.0)
    residual = recovered_law(p, q)
    emitted_test = stats.pooled_chi2(emitted, p)
    draft_test = stats.pooled_chi2(drafts, q)
    recovered_test = stats.pooled_chi2(recovered, residual)
    tests = (
        TestResult(name="emitted", stat=emitted_test.stat, dof=emitted_test.dof, p_value=emitted_test.p_value),
        TestResult(name="drafts", stat=draft_test.stat, dof=draft_test.dof, p_value=draft_test.p_value),
        TestResult(
            name="accepted", stat=float(accepted), dof=1, p_value=stats.binomial_p_value(accepted, steps, overlap)
        ),
        TestResult(name="recovered", stat=recovered_test.stat, dof=recovered_test.dof, p_value=recovered_test.p_value),
    )
    detectable = stats.detectable_tv(samples=steps, dof=emitted_test.dof, alpha=TEST_ALPHA, power=POWER)
    return Soundness(tests=tests, detectable_tv=detectable)
