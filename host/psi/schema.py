# SPDX-License-Identifier: Apache-2.0
"""The payload of the proposer: top-K ids with quantised scores, a temperature and one tail mass."""

import math
import struct
from dataclasses import dataclass
from numbers import Real
from typing import Self

import numpy as np
import numpy.typing as npt

from hw.spec.config import K_LIMIT, VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int
from hw.spec.psi_layout import SCORE_MAX_Q, SCORE_MIN_Q, TAIL_MAX, TAIL_MIN

_EXP_LIMIT = math.log(np.finfo(np.float64).max)


def round_binary32(field: str, value: object, legal: str) -> float:
    """`value` rounded to the nearest binary32 (ties to even), as a Python float that equals it exactly.

    Raises
    ------
    SpecError
        `value` is no real number, is NaN or infinite, or rounds to infinity.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpecError(field, value, legal)
    number = float(value)
    try:
        rounded: float = struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        raise SpecError(field, number, f"{legal}, within binary32") from None
    if not math.isfinite(rounded):
        raise SpecError(field, number, legal)
    return rounded + 0.0  # -0.0 becomes 0.0


def _integers(field: str, values: object) -> npt.NDArray[np.integer]:
    """`values` as an integer array of shape (K,), 1 <= K <= K_LIMIT."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise SpecError(field, type(values).__name__, "integers of shape (K,)") from None
    if array.ndim != 1:
        raise SpecError(f"{field}.shape", array.shape, "(K,)")
    if not 1 <= array.size <= K_LIMIT:
        raise SpecError(f"K = len({field})", array.size, f"an integer in [1, {K_LIMIT}]")
    if array.dtype.kind not in "iu":
        raise SpecError(f"{field}.dtype", str(array.dtype), "an integer dtype")
    return array


def _within(field: str, array: npt.NDArray[np.integer], low: int, high: int) -> npt.NDArray[np.int64]:
    """`array` as int64, every entry checked to be in [low, high]."""
    wrong = np.flatnonzero((array < low) | (array > high))
    if wrong.size:
        raise SpecError(f"{field}[{wrong[0]}]", int(array[wrong[0]]), f"an integer in [{low}, {high}]")
    return array.astype(np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Psi:
    """One payload, checked at construction; equal and hashed by content.

    The weight of id k is exp(s_k / tau) with s_k = scale * (scores_q[k] - zero_point) nats; the V - K other
    tokens share `tail` times the weight of the best id.

    Parameters
    ----------
    ids : integer array of shape (K,), 1 <= K <= 1024
        Top-K token ids, strictly increasing, below `vocab_size`. Stored as read-only uint32.
    scores_q : integer array of shape (K,)
        Score codes in [-128, 127]. Stored as read-only int8.
    scale : float
        Nats per code, finite, >= 0. Rounded to binary32.
    zero_point : int
        Code of score 0, in [-128, 127].
    tau : float
        Temperature, finite, > 0. Rounded to binary32.
    tail : float
        Mass of the whole tail over the weight of the best id: 0, or in [2**-64, 2**24]; 0 when V = K.
        Rounded to binary32.
    vocab_size : int
        V, in [K, 2**20].

    Raises
    ------
    SpecError
        A field is outside its legal range.
    """

    ids: npt.NDArray[np.uint32]
    scores_q: npt.NDArray[np.int8]
    scale: float
    zero_point: int
    tau: float
    tail: float
    vocab_size: int

    def __post_init__(self) -> None:
        vocab_size = check_int("vocab_size", self.vocab_size, 1, VOCAB_LIMIT)
        raw_ids = _integers("ids", self.ids)
        check_int("vocab_size", vocab_size, len(raw_ids), VOCAB_LIMIT)
        ids = _within("ids", raw_ids, 0, vocab_size - 1)
        scores_q = _within("scores_q", _integers("scores_q", self.scores_q), SCORE_MIN_Q, SCORE_MAX_Q)
        if len(scores_q) != len(ids):
            raise SpecError("len(scores_q)", len(scores_q), f"K = len(ids) = {len(ids)}")
        wrong = np.flatnonzero(np.diff(ids) <= 0)
        if wrong.size:
            i = int(wrong[0]) + 1
            raise SpecError(f"ids[{i}]", int(ids[i]), f"above ids[{i - 1}] = {ids[i - 1]}: ids strictly increase")
        zero_point = check_int("zero_point", self.zero_point, SCORE_MIN_Q, SCORE_MAX_Q)
        scale = round_binary32("scale", self.scale, "a finite number >= 0")
        if scale < 0:
            raise SpecError("scale", scale, "a finite number >= 0")
        tau = round_binary32("tau", self.tau, "a finite number > 0")
        if tau <= 0:
            raise SpecError("tau", self.tau, "a finite number > 0")
        tail = round_binary32("tail", self.tail, "0, or a number in [2^-64, 2^24]")
        # A tail below binary32's smallest number rounds to 0: refused with the other tails below 2^-64.
        if self.tail != 0 and not TAIL_MIN <= tail <= TAIL_MAX:
            raise SpecError("tail", self.tail, "0, or a number in [2^-64, 2^24]")
        if tail > 0 and vocab_size == len(ids):
            raise SpecError("tail", tail, f"0, because vocab_size = K = {vocab_size} leaves no tail")
        # Arrays over immutable bytes: nobody can make them writable again.
        stored = {
            "ids": np.frombuffer(ids.astype(np.uint32).tobytes(), dtype=np.uint32),
            "scores_q": np.frombuffer(scores_q.astype(np.int8).tobytes(), dtype=np.int8),
            "scale": scale,
            "zero_point": zero_point,
            "tau": tau,
            "tail": tail,
            "vocab_size": vocab_size,
        }
        for name, value in stored.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_unsorted(
        cls,
        *,
        ids: npt.ArrayLike,
        scores_q: npt.ArrayLike,
        scale: float,
        zero_point: int,
        tau: float,
        tail: float,
        vocab_size: int,
    ) -> Self:
        """The psi whose ids come in any order; scores_q[j] belongs to ids[j]."""
        id_array, score_array = np.asarray(ids), np.asarray(scores_q)
        if id_array.ndim == 1 and id_array.shape == score_array.shape:
            order = np.argsort(id_array, kind="stable")
            id_array, score_array = id_array[order], score_array[order]
        return cls(
            ids=id_array,
            scores_q=score_array,
            scale=scale,
            zero_point=zero_point,
            tau=tau,
            tail=tail,
            vocab_size=vocab_size,
        )

    def _content(self) -> tuple[object, ...]:
        arrays = (self.ids.tobytes(), self.scores_q.tobytes())
        return (*arrays, self.scale, self.zero_point, self.tau, self.tail, self.vocab_size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Psi):
            return NotImplemented
        return self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    @property
    def k(self) -> int:
        """K: number of top-K ids."""
        return len(self.ids)

    @property
    def spread(self) -> int:
        """V - K: number of tail tokens."""
        return self.vocab_size - len(self.ids)

    @property
    def score_max_q(self) -> int:
        """Largest score code."""
        return int(self.scores_q.max())

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """De-quantised scores s_k = scale * (scores_q - zero_point), nats, float64 of shape (K,)."""
        return self.scale * (self.scores_q.astype(np.float64) - self.zero_point)

    @property
    def distances(self) -> npt.NDArray[np.uint8]:
        """Code distances d_k = score_max_q - scores_q[k], uint8 of shape (K,)."""
        return (self.score_max_q - self.scores_q.astype(np.int16)).astype(np.uint8)

    @property
    def eps(self) -> float:
        """Per-token floor of F: tail * exp(s_max / tau) / (V - K); 0 without a tail.

        Infinite where it exceeds float64. `host.golden.real` works with `tail` and never needs it.
        """
        if self.tail == 0:
            return 0.0
        exponent = self.scale * (self.score_max_q - self.zero_point) / self.tau
        log_eps = exponent + math.log(self.tail) - math.log(self.spread)
        return math.exp(log_eps) if log_eps < _EXP_LIMIT else math.inf
