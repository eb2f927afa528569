# SPDX-License-Identifier: Apache-2.0
"""The law of the drafts as exact integers: the one q that ratio and residual share."""

import operator
from bisect import bisect_left
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

WEIGHT_LIMIT = (1 << 64) - 1
"""Largest weight that a uint64 holds."""


def _integers(field: str, values: npt.ArrayLike, low: int, high: int) -> list[int]:
    """Entries as ints, each in [low, high]; an array of integers is checked by its smallest and largest."""
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "iu" and values.size:
        if low <= int(values.min()) and int(values.max()) <= high:
            entries: list[int] = values.tolist()
            return entries
    return [check_int(field, value, low, high) for value in values]  # type: ignore[union-attr]  # iterable, or TypeError


@dataclass(frozen=True, kw_only=True, eq=False)
class DraftLaw:
    """q as integers: `weights[k] / total` for ids[k], `tail_weight / (total * spread)` for any other token.

    Parameters
    ----------
    ids : integer array of shape (K,)
        Strictly increasing, below `vocab_size`. Stored as read-only uint32.
    weights : integer array of shape (K,)
        w_k >= 1. Stored as read-only uint64.
    tail_weight : int
        T >= 0: weight of all V - K tail tokens together; 0 when V = K.
    vocab_size : int
        V.
    shift : int
        Right shift h that the weights already went through.

    Attributes
    ----------
    total : int
        Z = sum of the weights + T.
    spread : int
        V - K: the number of tokens that share T.

    Raises
    ------
    SpecError
        A field is outside its range.
    """

    ids: npt.NDArray[np.uint32]
    weights: npt.NDArray[np.uint64]
    tail_weight: int
    vocab_size: int
    shift: int = 0
    total: int = field(init=False)
    spread: int = field(init=False)

    def __post_init__(self) -> None:
        vocab_size = check_int("vocab_size", self.vocab_size, 1, VOCAB_LIMIT)
        tail_weight = check_int("tail_weight", self.tail_weight, 0, WEIGHT_LIMIT)
        shift = check_int("shift", self.shift, 0, 63)
        ids = _integers("ids", self.ids, 0, vocab_size - 1)
        weights = _integers("weights", self.weights, 1, WEIGHT_LIMIT)
        if not ids or len(ids) != len(weights):
            raise SpecError("len(weights)", len(weights), f"K = len(ids) = {len(ids)}, at least 1")
        if any(map(operator.ge, ids, ids[1:])):
            raise SpecError("ids", ids, "strictly increasing")
        if tail_weight and vocab_size == len(ids):
            raise SpecError("tail_weight", tail_weight, f"0, because vocab_size = K = {vocab_size}")
        stored = {
            "ids": np.frombuffer(np.array(ids, dtype=np.uint32).tobytes(), dtype=np.uint32),
            "weights": np.frombuffer(np.array(weights, dtype=np.uint64).tobytes(), dtype=np.uint64),
            "tail_weight": tail_weight,
            "vocab_size": vocab_size,
            "shift": shift,
            "total": sum(weights) + tail_weight,
            "spread": vocab_size - len(ids),
        }
        for name, value in stored.items():
            object.__setattr__(self, name, value)

    @property
    def k(self) -> int:
        """K: number of top-K ids."""
        return len(self.ids)

    def q(self, token: int) -> Fraction:
        """Exact probability of `token`.

        Raises
        ------
        SpecError
            `token` is outside the vocabulary.
        """
        token = check_int("token", token, 0, self.vocab_size - 1)
        k = bisect_left(self.ids, token)
        if k < self.k and self.ids[k] == token:
            return Fraction(int(self.weights[k]), self.total)
        return Fraction(self.tail_weight, self.total * self.spread)

    def probabilities(self) -> npt.NDArray[np.float64]:
        """q of every token, each entry within 2 units of the last place of the fraction; read-only float64 (V,)."""
        return self._probabilities

    @property
    def tail_probability(self) -> float:
        """q of one tail token; 0 where there is none."""
        return self.tail_weight / (self.total * max(1, self.spread))

    @cached_property
    def head_probabilities(self) -> npt.NDArray[np.float64]:
        """q of the ids, float64 (K,)."""
        q: npt.NDArray[np.float64] = self.weights.astype(np.float64) / float(self.total)
        return q

    @cached_property
    def _probabilities(self) -> npt.NDArray[np.float64]:
        q = np.full(self.vocab_size, self.tail_probability)
        q[self.ids] = self.head_probabilities
        q.flags.writeable = False
        return q

    def probability(self, token: int) -> float:
        """q of one token, the float nearest to the fraction; see `q`."""
        token = check_int("token", token, 0, self.vocab_size - 1)
        k = bisect_left(self.ids, token)
        if k < self.k and self.ids[k] == token:
            return int(self.weights[k]) / self.total
        return self.tail_probability

    def excess(self, masses: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(masses - q)+ of every token, float64 (V,), with the bits of `probabilities` and without making it."""
        left: npt.NDArray[np.float64] = masses - self.tail_probability
        left[self.ids] = masses[self.ids] - self.head_probabilities
        return np.maximum(left, 0.0, out=left)

    def weight_of(self, tokens: npt.ArrayLike) -> npt.NDArray[np.uint64]:
        """Integer weight of each token's bucket, uint64: w_k of a top-K id, T of a tail token.

        Parameters
        ----------
        tokens : integer array of any shape, every entry in [0, V)
        """
        index, is_head = self._bucket(tokens)
        weights: npt.NDArray[np.uint64] = np.where(is_head, self.weights[index], np.uint64(self.tail_weight))
        return weights

    def spread_of(self, tokens: npt.ArrayLike) -> npt.NDArray[np.uint32]:
        """Number of tokens that share each token's weight, uint32: 1 for a top-K id, V - K for a tail token."""
        _, is_head = self._bucket(tokens)
        spreads: npt.NDArray[np.uint32] = np.where(is_head, np.uint32(1), np.uint32(self.spread))
        return spreads

    def log_q(self, tokens: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Natural logarithm of q of each token, float64; -inf for a tail token when T = 0."""
        weights, spreads = self.weight_of(tokens).astype(np.float64), self.spread_of(tokens).astype(np.float64)
        log_q = np.full(weights.shape, -np.inf)
        np.log(weights, out=log_q, where=weights > 0)
        log_q -= np.log(float(self.total)) + np.log(spreads)
        return log_q

    def _bucket(self, tokens: npt.ArrayLike) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """For each token, an index into `ids` and whether ids[index] is that token."""
        array = np.asarray(tokens)
        if array.dtype.kind not in "iu":
            raise SpecError("tokens.dtype", str(array.dtype), "an integer dtype")
        if array.size and not (array.min() >= 0 and array.max() < self.vocab_size):
            wrong = array[(array < 0) | (array >= self.vocab_size)].flat[0]
            raise SpecError("tokens", int(wrong), f"integers in [0, {self.vocab_size - 1}]")
        index = np.minimum(np.searchsorted(self.ids, array), self.k - 1)
        return index, self.ids[index] == array
