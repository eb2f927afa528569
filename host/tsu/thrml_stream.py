# SPDX-License-Identifier: Apache-2.0
"""The draws of one psi as a stream of blocks: where it is cut into requests makes no difference."""

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi

from .thrml_program import ABSENT, draw_block

BLOCK_DRAWS = (16, 128, 1024, 8192)
"""Draws of the first blocks of a stream; the last size goes on. Few draws stay cheap, many come in large blocks."""

BLOCK_CELLS = 1 << 19
"""Most draws of a block times its ids: 8192 at K = 64. Words of larger blocks leave the cache, at half the rate."""

STATES_MIN = 17
"""States of the smallest bucket: 16 ids and the tail."""

TAIL_STREAM = 3
"""Tail tokens come from PCG64(SeedSequence([seed, 3, stream])): independent of a run's other generators."""


def state_bucket(k: int) -> int:
    """States that are compiled for a psi of K = `k`: its ids and a tail, K rounded up to a power of two."""
    return max(STATES_MIN, (1 << (k - 1).bit_length()) + 1)


def block_draws(states: int, index: int) -> int:
    """Draws of block `index` (0, 1, ...) of a stream of `states` states."""
    return min(BLOCK_DRAWS[min(index, len(BLOCK_DRAWS) - 1)], BLOCK_CELLS // (states - 1))


def bucket_log_weights(weights: npt.NDArray[np.uint64], tail_weight: int) -> npt.NDArray[np.float32]:
    """Log-weights of the states of a bucket, the largest 0; float32 of shape (states,).

    The K ids come first, then the tail where it has a weight; what is left is `ABSENT`.
    """
    present = [*weights.tolist(), tail_weight] if tail_weight else weights.tolist()
    logs = np.log(np.array(present, dtype=np.float64))
    padded = np.full(state_bucket(len(weights)), ABSENT, dtype=np.float32)
    padded[: len(present)] = logs - logs.max()
    return padded


class DrawStream:
    """Draws of one psi, in the order of its blocks.

    Parameters
    ----------
    psi : Psi
    weights : uint64 ndarray of shape (K,)
        Integer weights of the ids.
    tail_weight : int
        T.
    total : int
        Z.
    seed : int
        Of the TSU, 64 bits.
    number : int
        Of this stream: no two streams of one seed share it, so none repeats another's draws.
    """

    def __init__(
        self,
        *,
        psi: Psi,
        weights: npt.NDArray[np.uint64],
        tail_weight: int,
        total: int,
        seed: int,
        number: int,
    ) -> None:
        self.total = total
        self._log_weights = bucket_log_weights(weights, tail_weight)
        self._tokens = np.append(psi.ids, np.uint32(0))  # of each state; the tail's is drawn
        self._weights = np.append(weights, np.uint64(tail_weight))
        self._k, self._spread = psi.k, psi.spread
        self._ranks = psi.ids - np.arange(psi.k, dtype=np.uint32)
        self._seed, self._number = seed, number
        self._tail: np.random.Generator | None = None
        self._blocks = 0
        self._ready: npt.NDArray[np.uint16] = np.empty(0, dtype=np.uint16)

    def take(
        self, tokens: npt.NDArray[np.uint32], weights: npt.NDArray[np.uint64], spreads: npt.NDArray[np.uint32]
    ) -> None:
        """Fill three arrays of shape (n,) with the next n draws."""
        done, n = 0, len(tokens)
        while done < n:
            if not len(self._ready):
                self._ready = self._next_block()
            states = self._ready[: n - done]
            part = slice(done, done + len(states))
            np.take(self._tokens, states, out=tokens[part])
            np.take(self._weights, states, out=weights[part])
            spreads[part] = 1
            in_tail = np.flatnonzero(states == self._k)
            if len(in_tail):
                tokens[part][in_tail] = self._tail_tokens(len(in_tail))
                spreads[part][in_tail] = self._spread
            self._ready = self._ready[len(states) :]
            done += len(states)

    def _next_block(self) -> npt.NDArray[np.uint16]:
        states = len(self._log_weights)
        draw = draw_block(states, block_draws(states, self._blocks))
        address = np.array([self._seed >> 32, self._seed & 0xFFFF_FFFF, self._number, self._blocks], dtype=np.uint32)
        drawn = np.asarray(draw(self._log_weights, address))
        self._blocks += 1
        return drawn

    def _tail_tokens(self, n: int) -> npt.NDArray[np.uint32]:
        """n tokens, uniform over the V - K that are no id: the r-th of them is r + #{i : id_i - i <= r}."""
        if self._tail is None:
            entropy = np.random.SeedSequence([self._seed, TAIL_STREAM, self._number])
            self._tail = np.random.Generator(np.random.PCG64(entropy))
        r = self._tail.integers(0, self._spread, n)  # by rejection, so exactly uniform
        tokens: npt.NDArray[np.uint32] = (r + np.searchsorted(self._ranks, r, side="right")).astype(np.uint32)
        return tokens
