# SPDX-License-Identifier: Apache-2.0
"""Is a run over many contexts statistically sound? The four tests of `host.soundness`, context by context.

Given the context, emitted tokens are independent draws of p(. | context), whatever the texts visit: for a Markov chain
the sum of the contexts' chi-squared statistics is asymptotically chi-squared, with the sum of their degrees of freedom
(Billingsley, Annals of Mathematical Statistics 32 (1961)). Two tests are made of each of the four:

together  the sum over contexts: sees a small bias that is everywhere
worst     the smallest p-value times the number of contexts (Bonferroni): sees a bias in one context

A run is sound when all eight p-values are at least `FAMILY_ALPHA` / 8. Bins are pooled to an expected count of
`MIN_EXPECTED_CONTEXT`, larger than that of M0: a worst p-value lies far out in the tail, where the chi-squared law is
less exact (docs/reference/statistics.md, section 6).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import special

from host import stats
from host.soundness import FAMILY_ALPHA, POWER, Soundness, TestResult, recovered_law

MIN_EXPECTED_CONTEXT = 20.0
"""Smallest expected count of a bin of one context."""

NAMES = ("emitted", "drafts", "accepted", "recovered")
"""The four tests; `worst_` before the name is the worst context's."""

CONTEXT_ALPHA = FAMILY_ALPHA / (2 * len(NAMES))
"""Level of each of the eight tests."""


@dataclass(frozen=True, kw_only=True)
class ContextCounts:
    """Counts per token at one context.

    Parameters
    ----------
    p, q : float64 ndarray of shape (vocab_size,)
        Target, and law of the drafts as the TSU reports it.
    drafts, emitted, recovered : int64 ndarray of shape (vocab_size,)
    """

    p: npt.NDArray[np.float64]
    q: npt.NDArray[np.float64]
    drafts: npt.NDArray[np.int64]
    emitted: npt.NDArray[np.int64]
    recovered: npt.NDArray[np.int64]


@dataclass
class Together:
    """Sum of the chi-squared tests of contexts, and the worst of them, each of level `alpha`."""

    alpha: float = CONTEXT_ALPHA
    stat: float = 0.0
    dof: int = 0
    contexts: int = 0
    smallest: float = 1.0

    def add(self, result: stats.Chi2Result) -> float | None:
        """Take the test of one context; returns its p-value, None where it has too few tokens."""
        if result.dof == 0:
            return None
        self.stat += result.stat
        self.dof += result.dof
        self.note(result.p_value)
        return result.p_value

    def note(self, p_value: float) -> None:
        """Take a p-value of one context for the worst."""
        self.contexts += 1
        self.smallest = min(self.smallest, p_value)

    def results(self, name: str) -> tuple[TestResult, TestResult]:
        """Both tests, `name` and `worst_` with it."""
        p_value = float(special.chdtrc(self.dof, self.stat)) if self.dof else 1.0
        return (
            TestResult(name=name, stat=self.stat, dof=self.dof, p_value=p_value, alpha=self.alpha),
            TestResult(
                name=f"worst_{name}",
                stat=self.smallest,
                dof=self.contexts,
                p_value=min(1.0, self.smallest * max(self.contexts, 1)),
                alpha=self.alpha,
            ),
        )


@dataclass
class ContextAssessment:
    """Takes one context after the other; `finish` gives the verdict.

    Attributes
    ----------
    p_values : list of float or None
        Of the emitted tokens of each context, in the order given; None where a context has too few to test.
    """

    p_values: list[float | None] = field(default_factory=list)
    _tests: dict[str, Together] = field(default_factory=lambda: {name: Together() for name in NAMES})
    _steps: int = 0
    _few: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])  # accepted, expected, steps of small contexts

    def add(self, counts: ContextCounts) -> None:
        """Test one context."""
        steps, recovered = int(counts.drafts.sum()), int(counts.recovered.sum())
        if steps == 0:
            self.p_values.append(None)
            return
        self._steps += steps
        for name, seen, law in (
            ("drafts", counts.drafts, counts.q),
            ("recovered", counts.recovered, recovered_law(counts.p, counts.q)),
        ):
            self._tests[name].add(stats.pooled_chi2(seen, law, MIN_EXPECTED_CONTEXT))
        emitted = stats.pooled_chi2(counts.emitted, counts.p, MIN_EXPECTED_CONTEXT)
        self.p_values.append(self._tests["emitted"].add(emitted))
        overlap = min(float(np.minimum(counts.p, counts.q).sum()), 1.0)
        self._add_accepted(steps - recovered, steps, overlap)

    def _add_accepted(self, accepted: int, steps: int, overlap: float) -> None:
        """Accepted drafts of one context are Binomial(steps, overlap): exact for the worst, two cells together."""
        test = self._tests["accepted"]
        test.note(stats.binomial_p_value(accepted, steps, overlap))
        expected = steps * overlap
        if min(expected, steps - expected) < MIN_EXPECTED_CONTEXT:
            self._few[0] += accepted
            self._few[1] += expected
            self._few[2] += steps
            return
        test.stat += (accepted - expected) ** 2 / (expected * (1 - overlap))
        test.dof += 1

    def finish(self) -> Soundness:
        """The eight tests, and what the run can see: `detectable_tv` of the emitted tokens together."""
        accepted, expected, steps = self._few
        test = self._tests["accepted"]
        if (
            min(expected, steps - expected) >= MIN_EXPECTED_CONTEXT
        ):  # a sum of Bernoullis varies no more than a binomial
            test.stat += (accepted - expected) ** 2 / (expected * (1 - expected / steps))
            test.dof += 1
        pairs = [self._tests[name].results(name) for name in NAMES]
        tests = (*(pair[0] for pair in pairs), *(pair[1] for pair in pairs))
        detectable = stats.detectable_tv(
            samples=self._steps, dof=self._tests["emitted"].dof, alpha=CONTEXT_ALPHA, power=POWER
        )
        return Soundness(tests=tests, detectable_tv=detectable)


def assess_contexts(contexts: Iterable[ContextCounts]) -> Soundness:
    """The verdict on all contexts of a run."""
    assessment = ContextAssessment()
    for counts in contexts:
        assessment.add(counts)
    return assessment.finish()
