# SPDX-License-Identifier: Apache-2.0
"""Counts of speculative decoding by the names that vLLM gives them, and what Leviathan's formula predicts.

    num_drafts                   steps: times that drafts were verified
    num_draft_tokens             drafts that were verified, equal ones of a position once
    num_accepted_tokens          drafts that were emitted
    num_accepted_tokens_per_pos  of these, how many were first, second, ... of their step
    mean_acceptance_length       tokens of a step, the recovered or bonus token included: 1 + accepted / drafts
    draft_acceptance_rate        accepted / draft tokens

vLLM: v1/spec_decode/metrics.py. With a the probability that a position's drafts hold the token that is emitted, the
same at each of L positions, a step gives (1 - a^(L + 1)) / (1 - a) tokens (Leviathan et al., arXiv:2211.17192, eq. 1).
"""

from dataclasses import dataclass, field
from typing import Any

from host.plan.predict import tokens_per_call

from .summary import ratio

COUNTS_PRINTED = (
    "num_draft_tokens", "num_accepted_tokens", "num_accepted_tokens_per_pos", "mean_acceptance_length",
    "predicted_acceptance_length", "draft_acceptance_rate",
)  # fmt: skip
"""Of these, what command lines print."""


@dataclass
class SpecDecodeCounts:
    """Counts of a run; all start at 0."""

    num_drafts: int = 0
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0
    num_accepted_tokens_per_pos: list[int] = field(default_factory=list)
    chance: float = 0.0
    """Sum over positions of the probability that one of its drafts is accepted."""
    chances: int = 0
    """Positions that it is known of."""
    length: int = 0
    """L: positions of a step, at most."""

    def add(self, *, draft_tokens: int, accepted: int, length: int) -> None:
        """Count a step."""
        self.num_drafts += 1
        self.num_draft_tokens += draft_tokens
        self.num_accepted_tokens += accepted
        self.length = max(self.length, length)
        self.num_accepted_tokens_per_pos += [0] * (length - len(self.num_accepted_tokens_per_pos))
        for position in range(accepted):
            self.num_accepted_tokens_per_pos[position] += 1

    def add_chance(self, chance: float) -> None:
        """Count a position where one of the drafts is accepted with this probability."""
        self.chance += chance
        self.chances += 1

    def values(self) -> dict[str, Any]:
        """Everything, for summary.json; ratios are None where nothing was drafted or no chance is known."""
        chance = ratio(self.chance, self.chances)
        return {
            "num_drafts": self.num_drafts,
            "num_draft_tokens": self.num_draft_tokens,
            "num_accepted_tokens": self.num_accepted_tokens,
            "num_accepted_tokens_per_pos": list(self.num_accepted_tokens_per_pos),
            "mean_acceptance_length": 1 + self.num_accepted_tokens / self.num_drafts if self.num_drafts else None,
            "draft_acceptance_rate": ratio(self.num_accepted_tokens, self.num_draft_tokens),
            "predicted_acceptance": chance,
            "predicted_acceptance_length": None
            if chance is None
            else tokens_per_call(acceptance=min(1.0, chance), length=self.length),
        }
