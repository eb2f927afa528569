# SPDX-License-Identifier: Apache-2.0
"""Is a run over one text statistically sound, where every context is seen once?

At each position some event has a probability that is known before the draw, so that the number of events is a sum of
Bernoullis whose means are known. Four events are counted:

emitted   the first token of a step is one of A = {x: p(x) > q(x)}; probability p(A)
drafts    a draft of its position is one of A; probability q(A), each of them
accepted  a draft is accepted; probability sum min(p, q) of one draft, that of the rule of several (`SiblingVerifier`)
further   a token behind the first is one of B = {x: p(x) > sum p^2}, the more probable ones; probability p(B)

A text that follows q in place of p misses the first by TV(p, q) at each step, more than by any other event. Where a
chain is verified as a block, how far it goes and what is drawn depend on each other: that a draft is accepted is then
not tested, and the last event is counted for every token of the text, whose law given the text before is p. The
p-value is Freedman's bound (Annals of Probability 3 (1975), theorem 1.6) for martingale differences of at most 1,

    P(|sum - mean| >= d) <= 2 exp(-d^2 / (2 (v + d / 3))),

v the sum of the variances: no approximation for few positions, and contexts may depend on what was drawn before. (The
theorem bounds v; the v of the run is taken.) A run is sound when the four p-values are at least `FAMILY_ALPHA` / 4.
"""

import math
from dataclasses import dataclass

import numpy as np

from host.decode.one_text import TextStep
from host.soundness import FAMILY_ALPHA, POWER, Soundness, TestResult

NAMES = ("emitted", "drafts", "accepted", "further")
"""The tests."""

TEXT_ALPHA = FAMILY_ALPHA / len(NAMES)
"""Level of each."""


def freedman_p_value(deviation: float, variance: float) -> float:
    """min(1, 2 exp(-d^2 / (2 (v + d / 3)))) of a deviation d from the mean and a variance v."""
    d = abs(deviation)
    return 1.0 if d == 0 else min(1.0, 2 * math.exp(-d * d / (2 * (variance + d / 3))))


@dataclass
class Events:
    """How often an event came, how often it was to be expected, and the variance of that."""

    seen: int = 0
    expected: float = 0.0
    variance: float = 0.0

    def add(self, came: bool, probability: float) -> None:
        """Count one chance of the event."""
        probability = min(max(probability, 0.0), 1.0)
        self.seen += came
        self.expected += probability
        self.variance += probability * (1 - probability)

    def result(self, name: str, alpha: float) -> TestResult:
        """The test of this level: Freedman's bound."""
        p_value = freedman_p_value(self.seen - self.expected, self.variance)
        return TestResult(name=name, stat=float(self.seen), dof=1, p_value=p_value, alpha=alpha)


class TextAssessment:
    """Takes one step after the other; `finish` gives the verdict."""

    def __init__(self) -> None:
        self._events = {name: Events() for name in NAMES}

    def add(self, step: TextStep) -> None:
        """Count one step."""
        first = step.judged[0]
        root = step.tree.places[0]
        q = root.law.probabilities()
        above = first.p > q
        p_above, q_above = float(first.p[above].sum()), float(q[above].sum())
        self._events["emitted"].add(bool(above[first.token]), p_above)
        for draft in root.drafts:
            self._events["drafts"].add(bool(above[draft]), q_above)
        for judged in step.judged:
            if judged.verifier is not None:
                self._events["accepted"].add(judged.accepted, judged.verifier.acceptance)
        for judged in step.judged[0 if first.verifier is None else 1 :]:
            common = judged.p > np.square(judged.p).sum()  # a BLAS product would leave threads that spin
            self._events["further"].add(bool(common[judged.token]), float(judged.p[common].sum()))

    def finish(self, steps: int) -> Soundness:
        """The tests, and the mean difference per step at which the `emitted` one fails with `POWER`.

        Both tails by the bound: with a sum whose deviation has mean N t, the test fails with the power wanted where
        N t exceeds the d of the level and the d of 1 - `POWER` together.
        """
        tests = tuple(events.result(name, TEXT_ALPHA) for name, events in self._events.items())
        variance = self._events["emitted"].variance
        needed = sum(_deviation(variance, level) for level in (TEXT_ALPHA, 1 - POWER))
        return Soundness(tests=tests, detectable_tv=min(1.0, needed / steps) if steps else 1.0)


def _deviation(variance: float, level: float) -> float:
    """The d whose p-value is `level`: the positive root of d^2 - 2 c d / 3 - 2 c v with c = ln(2 / level)."""
    c = math.log(2 / level)
    return c / 3 + math.sqrt(c * c / 9 + 2 * c * variance)
