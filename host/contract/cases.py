# SPDX-License-Identifier: Apache-2.0
"""The psi of the contract suite, made to fit the capacity of any TSU."""

import math
from dataclasses import replace

import numpy as np

from host.psi.schema import Psi
from hw.spec.config import TsuConfig
from hw.spec.psi_layout import SCORE_MAX_Q, SCORE_MIN_Q, TAIL_MAX, TAIL_MIN

RARE_LOG2 = -24
"""Base-2 logarithm of a rare id's weight over that of the best."""

_RARE_DISTANCE = 200


def make_psi(
    ids: object, scores_q: object, *, vocab_size: int, scale: float = 0.05, tail: float = 0.0, tau: float = 1.0
) -> Psi:
    """A psi with zero point 0."""
    return Psi(ids=ids, scores_q=scores_q, scale=scale, zero_point=0, tau=tau, tail=tail, vocab_size=vocab_size)  # type: ignore[arg-type]  # Psi checks and converts


def spread_ids(k: int, vocab_size: int) -> list[int]:
    """k ids from 0 to V - 1, as even as they can be; for k = 1 the one in the middle."""
    if k == 1:
        return [vocab_size // 2]
    return [i * (vocab_size - 1) // (k - 1) for i in range(k)]


def small(config: TsuConfig) -> Psi:
    """At most 4 ids among 11 tokens, q between 0.03 and 0.42, a tail: every token is a cell of its own."""
    vocab = min(11, config.vocab_max)
    k = min(4, config.k_max, vocab)
    tail = 0.75 if vocab > k else 0.0
    return make_psi(spread_ids(k, vocab), [127, 110, 93, 76][:k], vocab_size=vocab, tail=tail)


def whole(config: TsuConfig) -> Psi:
    """K = V = k_max: every leaf of the tree is a cell; weights from 1 to 0.08 in no order."""
    k = min(config.k_max, config.vocab_max)
    codes = [SCORE_MAX_Q - (37 * i * 255 // k) % 256 for i in range(k)]
    return make_psi(range(k), codes, vocab_size=k, scale=0.01)


def one_id(config: TsuConfig) -> Psi:
    """K = 1 and a tail."""
    vocab = min(12, config.vocab_max)
    return make_psi([vocab // 2], [5], vocab_size=vocab, tail=2.0)


def one_token() -> Psi:
    """V = K = 1."""
    return make_psi([0], [-3], vocab_size=1)


def all_ids(config: TsuConfig) -> Psi:
    """K = V, at most 8."""
    k = min(8, config.k_max, config.vocab_max)
    return make_psi(range(k), [100 - 9 * i for i in range(k)], vocab_size=k)


def one_tail_token(config: TsuConfig) -> Psi:
    """V = K + 1, the only tail token between two ids where K allows it."""
    k = min(7, config.k_max, config.vocab_max - 1)
    ids = [i for i in range(k + 1) if i != k // 2]
    return make_psi(ids, [20 * (i % 3) for i in range(k)], vocab_size=k + 1, tail=0.5)


def crowded(config: TsuConfig) -> Psi:
    """A heavy tail around ids at both ends and in a row: every rank of the tail's index is met."""
    vocab = min(64, config.vocab_max)
    k = min(8, config.k_max, max(1, vocab // 3))
    middle = vocab // 2
    ids = sorted({0, vocab - 1, *range(middle, middle + max(0, k - 2))})[:k]
    return make_psi(ids, [0] * len(ids), vocab_size=vocab, tail=64.0)


def largest(config: TsuConfig, *, tail: float = 2.0**10) -> Psi:
    """Every id and every token that the TSU has room for, and a heavy tail."""
    k = min(config.k_max, max(1, config.vocab_max // 2))
    rng = np.random.default_rng(3)
    ids = np.sort(rng.choice(config.vocab_max, k, replace=False))
    return make_psi(ids, rng.integers(SCORE_MIN_Q, SCORE_MAX_Q + 1, k), vocab_size=config.vocab_max, tail=tail)


def rare(config: TsuConfig) -> Psi:
    """One id of weight 1, all others of weight 2^-24, no tail."""
    k = min(config.k_max, config.vocab_max)
    codes = [SCORE_MAX_Q - _RARE_DISTANCE] * k
    codes[k // 2] = SCORE_MAX_Q
    return make_psi(range(k), codes, vocab_size=k, scale=-RARE_LOG2 * math.log(2) / _RARE_DISTANCE)


def corners(config: TsuConfig) -> dict[str, Psi]:
    """Psi at the limits of what is legal, by name; neighbours differ in as little as can be."""
    base = small(config)
    return {
        "V = 1": one_token(),
        "K = V": all_ids(config),
        "K = 1": one_id(config),
        "V = K + 1": one_tail_token(config),
        "few ids": base,
        "the same ids, other scores": replace(base, scores_q=base.scores_q[::-1]),
        "the same ids, another temperature": replace(base, tau=2.5),
        "the same ids, another tail": replace(base, tail=base.tail / 3),
        "equal weights": replace(base, scale=0.0),
        "steep": replace(base, scale=3.0, tail=TAIL_MIN if base.spread else 0.0),
        "k_max ids": whole(config),
        "largest": largest(config),
        "heaviest tail": largest(config, tail=TAIL_MAX),
    }
