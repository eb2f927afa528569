# SPDX-License-Identifier: Apache-2.0
"""Verdict on runs over contexts: formulas by hand, false alarms, and biases everywhere or in one context."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from host.context_soundness import (
    CONTEXT_ALPHA,
    MIN_EXPECTED_CONTEXT,
    NAMES,
    ContextAssessment,
    ContextCounts,
    assess_contexts,
)

P = np.array([0.4, 0.3, 0.2, 0.1])
Q = np.array([0.25, 0.25, 0.25, 0.25])
OVERLAP = 0.25 + 0.25 + 0.2 + 0.1


def counts(rng: np.random.Generator, steps: int, *, p: np.ndarray = P, accept: float = OVERLAP) -> ContextCounts:
    """Counts of one context as the verifier makes them; emitted tokens follow `p` where it is given."""
    accepted = rng.binomial(steps, accept)
    recovered = rng.multinomial(steps - accepted, np.maximum(P - Q, 0) / np.maximum(P - Q, 0).sum())
    return ContextCounts(
        p=P, q=Q, drafts=rng.multinomial(steps, Q), emitted=rng.multinomial(steps, p), recovered=recovered
    )


def test_sums_and_worst_by_hand() -> None:
    """The statistic together is the sum over contexts; the worst p-value is multiplied by their number."""
    rng = np.random.default_rng(0)
    rows = [counts(rng, 1000) for _ in range(5)]
    assessment = ContextAssessment()
    for row in rows:
        assessment.add(row)
    verdict = assessment.finish()
    each = [float((((row.emitted - 1000 * P) ** 2) / (1000 * P)).sum()) for row in rows]
    assert verdict["emitted"].stat == pytest.approx(sum(each))
    assert verdict["emitted"].dof == 15
    assert verdict["emitted"].p_value == pytest.approx(scipy_stats.chi2.sf(sum(each), 15))
    assert assessment.p_values == pytest.approx([scipy_stats.chi2.sf(stat, 3) for stat in each])
    assert verdict["worst_emitted"].p_value == pytest.approx(min(1, 5 * min(assessment.p_values)))
    z = [(row.drafts.sum() - row.recovered.sum() - 1000 * OVERLAP) / math.sqrt(1000 * OVERLAP * 0.2) for row in rows]
    assert verdict["accepted"].stat == pytest.approx(float(np.square(z).sum()))
    assert verdict["accepted"].dof == 5
    assert [test.name for test in verdict.tests] == [*NAMES, *(f"worst_{name}" for name in NAMES)]
    assert {test.alpha for test in verdict.tests} == {CONTEXT_ALPHA}


def test_contexts_with_few_steps_are_taken_together() -> None:
    """A context that expects too few of a kind adds to one common cell; with nothing to test, p = 1."""
    rng = np.random.default_rng(1)
    few = [counts(rng, 10) for _ in range(50)]
    verdict = assess_contexts(few)
    accepted = sum(int(row.drafts.sum() - row.recovered.sum()) for row in few)
    assert verdict["accepted"].dof == 1
    assert verdict["accepted"].stat == pytest.approx((accepted - 400) ** 2 / (400 * 0.2))
    assert verdict["emitted"].p_value == 1.0
    assessment = ContextAssessment()
    assessment.add(few[0])
    assert assessment.p_values == [None]
    nothing = ContextCounts(p=P, q=Q, drafts=np.zeros(4, int), emitted=np.zeros(4, int), recovered=np.zeros(4, int))
    assert assess_contexts([nothing]).sound
    assert assess_contexts([]).detectable_tv == 1.0
    assert MIN_EXPECTED_CONTEXT > 10


def test_p_values_are_uniform_without_bias() -> None:
    """1,200 unbiased runs of 8 contexts: at level 0.01 each test alarms in about 1 % (binomial bound of 1e-6)."""
    rng = np.random.default_rng(2)
    runs = 1200
    alarms = dict.fromkeys((*NAMES, *(f"worst_{name}" for name in NAMES)), 0)
    for _ in range(runs):
        verdict = assess_contexts(counts(rng, 400) for _ in range(8))
        for test in verdict.tests:
            alarms[test.name] += test.p_value < 0.01
    bound = scipy_stats.binom.isf(1e-6 / 8, runs, 0.013)
    assert all(count <= bound for count in alarms.values()), alarms
    assert all(count >= runs * 0.002 for name, count in alarms.items() if "worst" not in name), alarms


def test_a_bias_everywhere_and_a_bias_in_one_context() -> None:
    """`together` sees what is small and everywhere, `worst` what is large and in one of many contexts."""
    rng = np.random.default_rng(3)
    slight = P * np.array([1.02, 0.98, 1.0, 0.98])
    everywhere = assess_contexts(counts(rng, 2000, p=slight / slight.sum()) for _ in range(500))
    assert "emitted" in everywhere.failed
    assert "worst_emitted" not in everywhere.failed
    wrong = P[[1, 0, 2, 3]]
    one = assess_contexts(counts(rng, 2000, p=wrong if i == 77 else P) for i in range(500))
    assert one.failed[-1] == "worst_emitted"
    assert assess_contexts(counts(rng, 2000) for i in range(500)).sound


def test_a_wrong_acceptance_rate_is_seen() -> None:
    rng = np.random.default_rng(4)
    assert "accepted" in assess_contexts(counts(rng, 2000, accept=OVERLAP + 0.01) for _ in range(500)).failed


def test_an_impossible_token_is_unsound() -> None:
    emitted = np.array([500, 500, 0, 0])
    sure = ContextCounts(
        p=np.array([1.0, 0, 0, 0]), q=Q, drafts=np.full(4, 250), emitted=emitted, recovered=np.array([750, 0, 0, 0])
    )
    assert {"emitted", "worst_emitted"} <= set(assess_contexts([sure]).failed)
