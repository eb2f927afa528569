# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of crafting, for many distributions at once: rows of p become codes, scales and tails.

`host.psi.craft` states what a psi of p is. A row is computed alike whether it stands alone or among others: every
sum runs along one contiguous row.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError
from hw.spec.psi_layout import SCORE_MAX_Q, SCORE_MIN_Q, TAIL_MAX, TAIL_MIN

from .schema import Psi
from .tail import tail_share

MAX_SPAN_NATS = 15.0
"""Scores further below the best one are raised to this distance."""

CODE_SPAN = SCORE_MAX_Q - SCORE_MIN_Q
"""Largest code distance."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisedRows:
    """B distributions over V tokens as B psi, as arrays; K is the most ids of any.

    Parameters
    ----------
    ids : int64 ndarray of shape (B, K)
        Row r is strictly increasing in its first `counts[r]` entries; the others are 0.
    counts : int64 ndarray of shape (B,)
        Ids of each row, at least 1.
    distances : int64 ndarray of shape (B, K)
        Code distances from the best id; 0 behind the count.
    scale : float64 ndarray of shape (B,)
        Nats per code, each a binary32.
    zero_point : int64 ndarray of shape (B,)
    tail : float64 ndarray of shape (B,)
        Mass of the tail over the weight of the best id, each a binary32.
    tau : float
        Temperature, a binary32.
    vocab_size : int
        V.
    """

    ids: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    distances: npt.NDArray[np.int64]
    scale: npt.NDArray[np.float64]
    zero_point: npt.NDArray[np.int64]
    tail: npt.NDArray[np.float64]
    tau: float
    vocab_size: int

    @property
    def carried(self) -> npt.NDArray[np.bool_]:
        """Which entries of `ids` count, shape (B, K)."""
        return np.arange(self.ids.shape[1]) < self.counts[:, None]

    def psi(self, row: int) -> Psi:
        """One row as a payload."""
        k = int(self.counts[row])
        return Psi(
            ids=self.ids[row, :k].astype(np.uint32),
            scores_q=(SCORE_MAX_Q - self.distances[row, :k]).astype(np.int8),
            scale=float(self.scale[row]),
            zero_point=int(self.zero_point[row]),
            tau=self.tau,
            tail=float(self.tail[row]),
            vocab_size=self.vocab_size,
        )


def quantise_rows(
    p: npt.NDArray[np.float64], *, k: int, tau: float, floor: float | None, tokens: npt.NDArray[np.int64] | None = None,
    vocab_size: int | None = None,
    rest: npt.NDArray[np.float64] | None = None, drafts: int = 1,
) -> QuantisedRows:  # fmt: skip
    """Quantise distributions that were checked before.

    Parameters
    ----------
    p : float64 ndarray of shape (B, V)
        Each row sums to 1.
    k : int
        Most ids of a row, in [1, V].
    tau : float
        Temperature, a binary32 above 0.
    floor : float or None
        Floor of a tail token, see `craft_psi`; None: the tail carries the leftover mass.
    tokens, vocab_size : int64 ndarray of shape (V,) and int, or None
        Where p is over some tokens only: their ids, increasing, and the size of the whole vocabulary.
    rest : float64 ndarray of shape (B,), or None
        Mass of the other tokens of the vocabulary together; None: 0.
    drafts : int
        Drafts of a position: with more than one, a tail without floor is what suits them. Not together with `tokens`.

    Raises
    ------
    SpecError
        The floor makes a tail above 2^24 times the weight of the best id.
    """
    p = np.ascontiguousarray(p, dtype=np.float64)
    vocab_size = p.shape[1] if vocab_size is None else vocab_size
    chosen = _top(p, k)
    counts = chosen.sum(axis=1)
    carried = np.arange(k) < counts[:, None]
    ids = np.zeros(carried.shape, dtype=np.int64)
    ids[carried] = np.nonzero(chosen)[1]  # row by row, increasing
    head = np.where(carried, np.take_along_axis(p, ids, axis=1), 0.0)
    scores = np.log(head, out=np.full(head.shape, -np.inf), where=carried)
    best = scores.max(axis=1)
    below = np.minimum(best[:, None] - scores, MAX_SPAN_NATS, out=np.zeros(head.shape), where=carried)
    scale = (below.max(axis=1) / CODE_SPAN).astype(np.float32).astype(np.float64)
    coded = scale > 0
    steps = np.divide(below, scale[:, None], out=np.zeros(below.shape), where=coded[:, None])
    distances = np.minimum(np.rint(steps), CODE_SPAN).astype(np.int64)
    zero = SCORE_MAX_Q - np.divide(best, scale, out=np.zeros(best.shape), where=coded)
    zero_point = np.clip(np.rint(zero), SCORE_MIN_Q, SCORE_MAX_Q).astype(np.int64)
    if floor is None:
        weights = np.where(carried, np.exp(-distances * (scale / tau)[:, None]), 0.0)
        left = np.where(chosen, 0.0, p).sum(axis=1) + (0.0 if rest is None else rest)
        odds = left / head.sum(axis=1)
        if drafts > 1:
            shares = np.array([tail_share(row[~held], drafts) for row, held in zip(p, chosen, strict=True)])
            odds = shares / (1 - shares)
        tail = odds * weights.sum(axis=1)
    else:
        tail = _floor_tail(floor, best / tau, vocab_size - counts)
    tail = np.where(counts < vocab_size, tail, 0.0)
    tail = np.where(tail > 0, np.maximum(tail, TAIL_MIN), 0.0).astype(np.float32).astype(np.float64)
    return QuantisedRows(
        ids=ids if tokens is None else np.where(carried, tokens[ids], 0),
        counts=counts,
        distances=distances,
        scale=scale,
        zero_point=zero_point,
        tail=tail,
        tau=tau,
        vocab_size=vocab_size,
    )


def _top(p: npt.NDArray[np.float64], k: int) -> npt.NDArray[np.bool_]:
    """Marks the k largest non-zero entries of each row, ties broken by the lower id; bool (B, V)."""
    threshold = np.partition(p, p.shape[1] - k, axis=1)[:, p.shape[1] - k, None]
    chosen = (p >= threshold) & (p > 0)
    crowded = np.flatnonzero(chosen.sum(axis=1) > k)
    if crowded.size:
        above = p[crowded] > threshold[crowded]
        ties = chosen[crowded] & ~above
        places = k - above.sum(axis=1, keepdims=True)
        chosen[crowded] = above | (ties & (ties.cumsum(axis=1) <= places))
    return chosen


def _floor_tail(
    floor: float, log_best: npt.NDArray[np.float64], spread: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Tail of each row whose tokens weigh `floor`, over the weight exp(log_best) of its best id."""
    tail = np.zeros(log_best.shape)
    rows = np.flatnonzero(spread > 0)
    if floor == 0 or not rows.size:
        return tail
    log_tail = math.log(floor) + np.log(spread[rows]) - log_best[rows]
    if log_tail.max() > math.log(TAIL_MAX):
        raise SpecError("eps", floor, f"a tail of at most {TAIL_MAX:.0f} times the weight of the best id")
    tail[rows] = np.exp(log_tail)
    return tail
