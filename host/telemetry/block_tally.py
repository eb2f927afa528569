# SPDX-License-Identifier: Apache-2.0
"""Counts of a run by blocks over contexts, and the figures of each context."""

import numpy as np
import numpy.typing as npt

from host import stats
from host.decode.block_loop import BlockStep, KnownContext
from host.psi.wire import psi_bytes
from host.text_soundness import Events
from host.verify.multi import optimal_acceptance
from hw.spec.errors import check_int

from .contexts import VOCAB_MAX, ContextRow
from .spec_decode import SpecDecodeCounts
from .summary import CONFIDENCE, ce_gap_nats

Law = npt.NDArray[np.float64]


class BlockTally:
    """Counts per context (the last token); memory does not grow with the number of steps.

    Parameters
    ----------
    vocab_size : int
        V, at most `VOCAB_MAX`.

    Attributes
    ----------
    emitted : uint32 ndarray of shape (V, V)
        Tokens of the texts at [context, token].
    counts : SpecDecodeCounts
    accepted : Events
        Places whose drafts hold the accepted one, where its probability is known.
    tokens, psi_bytes : int
        Emitted, and bytes of all psi.
    elapsed_s, tsu_s, verifier_s : float
        Seconds.
    """

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = check_int("vocab_size", vocab_size, 1, VOCAB_MAX)
        self.emitted = np.zeros((vocab_size, vocab_size), dtype=np.uint32)
        self.counts, self.accepted = SpecDecodeCounts(), Events()
        self.tokens = self.psi_bytes = 0
        self.elapsed_s = self.tsu_s = self.verifier_s = 0.0
        self._known: dict[int, KnownContext] = {}
        self._drafts: dict[tuple[int, int], npt.NDArray[np.uint32]] = {}  # by context and number of drafts
        self._first: dict[tuple[int, int], list[int]] = {}  # steps that began there, and those with an accepted draft
        self._bytes: dict[tuple[int, int], int] = {}
        self._optima: dict[tuple[int, int], float] = {}

    def add(self, step: BlockStep) -> None:
        """Count one step of a text."""
        tree, judged = step.tree, step.judged
        for context, found in zip(step.contexts, judged, strict=True):
            token = context.context[-1]
            self._known[token] = context
            self.emitted[token, found.token] += 1
            if found.verifier is not None:
                self.accepted.add(found.accepted, found.verifier.acceptance)
                self.counts.add_chance(found.verifier.acceptance)
            elif found.place is not None:  # of a block: what it would be token by token
                self.counts.add_chance(self._optimum(context, 1))
        tokens = [step.contexts[0].context[-1], *tree.tokens.tolist()]
        for node, place in tree.places.items():
            key = tokens[node], len(place.drafts)
            if key not in self._drafts:
                self._drafts[key] = np.zeros(self.vocab_size, dtype=np.uint32)
                self._bytes[key] = psi_bytes(place.psi)
            for draft in place.drafts:
                self._drafts[key][draft] += 1
            self.psi_bytes += self._bytes[key]
        first = self._first.setdefault((tokens[0], len(tree.places[0].drafts)), [0, 0])
        first[0] += 1
        first[1] += judged[0].accepted
        self.tokens += len(judged)
        self.tsu_s += step.tsu_s
        self.verifier_s += step.verifier_s
        self.counts.add(
            draft_tokens=tree.size, accepted=step.accepted,
            length=tree.shape.depth,
        )  # fmt: skip

    def targets(self) -> list[tuple[int, Law]]:
        """Last token and p of every context that a token was emitted at."""
        return [(token, self._known[token].p) for token in sorted(self._known)]

    def drafts(self) -> list[tuple[npt.NDArray[np.int64], Law]]:
        """Counts of the drafts of every context and number, and the law that they were drawn from; both (V,)."""
        return [
            (counts.astype(np.int64), self._known[token].laws[number].value.probabilities())
            for (token, number), counts in self._drafts.items()
            if token in self._known
        ]

    def rows(self, p_values: dict[int, float | None]) -> list[ContextRow]:
        """Figures of every context at which steps began, for its most frequent number of drafts.

        `accepted` are the steps whose first token is a draft, and `overlap` is the most that any rule can accept of so
        many drafts (`host.verify.multi`): sum min(p, q) for one.
        """
        numbers: dict[int, int] = {}
        for token, number in sorted(self._first, key=lambda key: self._first[key][0]):
            numbers[token] = number
        return [self._row(token, number, p_values.get(token)) for token, number in sorted(numbers.items())]

    def _row(self, token: int, number: int, p_value: float | None) -> ContextRow:
        known = self._known[token]
        psi, law = known.laws[number].psi, known.laws[number].value
        steps, accepted = self._first[token, number]
        low, high = stats.binomial_interval(accepted, steps, CONFIDENCE)
        drafts = self._drafts[token, number].astype(np.int64)
        seen = np.flatnonzero(drafts)
        return ContextRow(
            context=token, steps=steps, accepted=accepted, accept_rate=accepted / steps, accept_low=low,
            accept_high=high, overlap=self._optimum(known, number),
            ce_gap_nats=ce_gap_nats(known.p, law.probabilities()),
            mean_log_q=float(np.dot(drafts[seen], law.log_q(seen)) / drafts.sum()), emitted_p_value=p_value, k=psi.k,
            psi_bytes=self._bytes[token, number], tail=float(psi.tail), total=law.total,
        )  # fmt: skip

    def _optimum(self, known: KnownContext, number: int) -> float:
        """alpha*_n of a context."""
        key = known.context[-1], number
        if key not in self._optima:
            q = known.laws[number].value.probabilities()
            self._optima[key] = min(1.0, optimal_acceptance(known.p, q, number))
        return self._optima[key]
