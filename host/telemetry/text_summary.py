# SPDX-License-Identifier: Apache-2.0
"""Counts of a run over one text, and the summary that summary.json and the command line show."""

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from host import stats
from host.decode.one_text import TextStep
from host.soundness import FAMILY_ALPHA, POWER
from host.text_soundness import TextAssessment
from host.verify.multi import optimal_acceptance

from .spec_decode import COUNTS_PRINTED, SpecDecodeCounts
from .summary import CONFIDENCE, SUMMARY_SCHEMA_VERSION, Summary, ratio

PARTS = ("proposer", "target", "law", "tsu", "verifier")
"""What the time of a step goes to, as `TextStep` names it."""

TEXT_PRINTED = (
    "backend", "noise", "lanes", "weights", "spec_id", "seed", "target", "dtype", "temperature", "proposer",
    "vocab_size", "prompt_tokens", "L", "n_drafts", "tree_nodes", "verify", "tokens", "drafts", "ended", "complete",
    "accept_rate", "accept_low", "accept_high", "overlap", "optimum", *COUNTS_PRINTED, "psi_bytes_mean",
    "target_passes", "tokens_per_pass", "tokens_per_s", *(f"{part}_ms" for part in PARTS), "detectable_bias", "sound",
)  # fmt: skip
"""Values of the summary that the command line prints."""


@dataclass
class TextTally:
    """Counts and seconds of a run over one text; memory does not grow with its length."""

    steps: int = 0
    tokens: int = 0
    accepted: int = 0
    overlap: float = 0.0
    optimum: float = 0.0
    psi_bytes: int = 0
    counts: SpecDecodeCounts = field(default_factory=SpecDecodeCounts)
    elapsed_s: float = 0.0
    counting_s: float = 0.0
    """Seconds that the counting itself took, with what it works out: overlap, optimum, and the tests' probabilities."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    assessment: TextAssessment = field(default_factory=TextAssessment)

    def add(self, step: TextStep) -> None:
        """Count the drafts of one position and the tokens that came of them."""
        begin = time.perf_counter()
        tree, first = step.tree, step.judged[0]
        self.steps += 1
        self.tokens += len(step.tokens)
        self.accepted += first.accepted
        q, drafts = tree.places[0].law.probabilities(), len(tree.places[0].drafts)
        overlap = min(1.0, float(np.minimum(first.p, q).sum()))
        self.overlap += overlap
        self.optimum += overlap if drafts == 1 else optimal_acceptance(first.p, q, drafts)
        self.psi_bytes += tree.psi_bytes
        self.assessment.add(step)
        self.counts.add(draft_tokens=tree.size, accepted=step.accepted, length=tree.shape.depth)
        for judged in step.judged:
            if judged.verifier is not None:
                self.counts.add_chance(judged.verifier.acceptance)
            elif judged.place is not None:  # of a block: what it would be token by token
                self.counts.add_chance(float(np.minimum(judged.p, judged.place.law.probabilities()).sum()))
        for part in PARTS:
            self.seconds[part] += getattr(step, f"{part}_s")
        self.counting_s += time.perf_counter() - begin


def summarise_text(tally: TextTally, *, complete: bool, passes: int | None, facts: dict[str, Any]) -> Summary:
    """Test the counts and collect every figure of the run.

    Parameters
    ----------
    tally : TextTally
    complete : bool
        Whether the text has all the tokens asked for, or came to its own end.
    passes : int or None
        Passes of the target; None where it does not count them.
    facts : dict
        What identifies the run.
    """
    soundness = tally.assessment.finish(tally.steps)
    low, high = stats.binomial_interval(tally.accepted, tally.steps, CONFIDENCE)
    values: dict[str, Any] = {
        "schema_version": SUMMARY_SCHEMA_VERSION,
        "complete": complete,
        "sound": soundness.sound,
        **facts,
        "tokens": tally.tokens,
        "drafts": tally.steps,
        "accepted": tally.accepted,
        "accept_rate": ratio(tally.accepted, tally.steps),
        "accept_low": low,
        "accept_high": high,
        "accept_confidence": CONFIDENCE,
        "overlap": ratio(tally.overlap, tally.steps),
        "optimum": ratio(tally.optimum, tally.steps),
        **tally.counts.values(),
        "psi_bytes_mean": ratio(tally.psi_bytes, tally.steps),
        "target_passes": passes,
        "tokens_per_pass": None if passes is None else ratio(tally.tokens, passes),
        "tokens_per_s": ratio(tally.tokens, tally.elapsed_s),
        "elapsed_s": tally.elapsed_s,
        **{f"{part}_ms": ratio(1e3 * tally.seconds[part], tally.steps) for part in PARTS},
        "family_alpha": FAMILY_ALPHA,
        "detectable_bias": soundness.detectable_tv,
        "detectable_power": POWER,
        "tests": {
            test.name: {"stat": test.stat, "p_value": test.p_value, "passed": test.passed} for test in soundness.tests
        },
    }
    return Summary(values=values, soundness=soundness, printed=TEXT_PRINTED)
