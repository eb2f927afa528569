# SPDX-License-Identifier: Apache-2.0
"""How many drafts come next: L as it was asked for, or by what became of the drafts before."""

from host.draft.drafting import LENGTH_MAX
from hw.spec.errors import SpecError, check_int

SCHEDULES = ("constant", "heuristic")
"""Names that transformers gives them (`num_assistant_tokens_schedule`)."""


class DraftLength:
    """L of the next round.

    "constant" keeps L. "heuristic" adds 2 where every draft was accepted, and takes 1 away elsewhere, within
    [1, `most`]: the rule of `AssistedCandidateGenerator`. L depends on tokens that are emitted already: the law of the
    text is the target's with either.

    Parameters
    ----------
    length : int
        L of the first round, in [1, 8], at most the horizon.
    schedule : str
        One of `SCHEDULES`.
    horizon : int or None
        Longest chain that the proposer can propose; None for any.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """

    def __init__(self, *, length: int, schedule: str, horizon: int | None) -> None:
        self.most = LENGTH_MAX if horizon is None else min(horizon, LENGTH_MAX)
        """Largest L."""
        self.now = check_int("length", length, 1, self.most)
        """L of the next round."""
        if not isinstance(schedule, str) or schedule not in SCHEDULES:
            raise SpecError("schedule", schedule, "one of " + ", ".join(SCHEDULES))
        self._adapts = schedule == "heuristic"

    def update(self, *, drafts: int, accepted: int) -> None:
        """Take notice of a round."""
        if self._adapts:
            self.now = min(self.most, self.now + 2) if accepted == drafts else max(1, self.now - 1)
