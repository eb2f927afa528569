# SPDX-License-Identifier: Apache-2.0
"""Exact draws from a chain, with the joint q of each: forward filter, backward sample.

The filter carries f_i(x) = ln sum over x_1..x_(i-1) of exp(everything up to node i). The last node is drawn from
exp(f_L), then each node given its right neighbour: P(x_i | x_(i+1)) ~ exp(f_i(x_i) + couplings[i, x_i, x_(i+1)]).
Each of these laws is rounded once, to integers; the draws follow the integers without any error, and q is the product
of their quotients.

Source: the forward-backward recursions of Baum et al. (1970) with sampling on the way back, Carter and Kohn, Biometrika
81 (1994).
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from hw.spec.errors import check_int

from .model import ChainModel, Floats

WEIGHT_BITS = 61
"""Of a row's weights: K <= 256 of them, each rounded and at least 1, have a sum below 2^62."""

CHUNK_DRAWS = 1 << 16
"""Draws that are made together: the comparisons with a row's prefix sums take K bytes of each."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ChainDraws:
    """n draws of L tokens; draw j has probability prod_i weights[j, i] / totals[j, i].

    Parameters
    ----------
    states : int64 ndarray of shape (n, L)
    weights, totals : int64 ndarray of shape (n, L)
        Of the law that each node was drawn from, given the nodes drawn before it.
    """

    states: Integers
    weights: Integers
    totals: Integers

    @property
    def log_q(self) -> Floats:
        """Natural logarithm of each draw's joint probability, float64 of shape (n,)."""
        logs: Floats = (np.log(self.weights.astype(np.float64)) - np.log(self.totals.astype(np.float64))).sum(axis=1)
        return logs

    def q(self, draw: int) -> Fraction:
        """Exact joint probability of one draw."""
        pairs = zip(self.weights[draw].tolist(), self.totals[draw].tolist(), strict=True)
        return math.prod((Fraction(weight, total) for weight, total in pairs), start=Fraction(1))


class ExactSampler:
    """Independent draws from a chain.

    Parameters
    ----------
    model : ChainModel
    left_to_right : bool
        False filters forwards and samples backwards, the last node first. True does the same to the reversed chain: the
        first token is drawn first, and column i of weights and totals is q(x_i | x_1..x_(i-1)), which a verifier of
        blocks asks for. The joint law is the same.
    """

    def __init__(self, *, model: ChainModel, left_to_right: bool = False) -> None:
        self.model = model
        self.left_to_right = left_to_right
        chain = model.reversed() if left_to_right else model
        filtered = [chain.biases[0]]
        for bias, coupling in zip(chain.biases[1:], chain.couplings, strict=True):
            filtered.append(bias + _log_sum_exp(filtered[-1][:, None] + coupling))
        # Rows by the state of the right neighbour, from left to right; the last node has one row.
        logs = [(f[:, None] + coupling).T for f, coupling in zip(filtered, chain.couplings, strict=False)]
        self._weights = [_integer_rows(rows) for rows in [*logs, filtered[-1][None]]]
        self._ends = [np.cumsum(rows, axis=1) for rows in self._weights]

    def sample(self, n: int, rng: np.random.Generator) -> ChainDraws:
        """Draw n joint states.

        Raises
        ------
        SpecError
            `n` is negative.
        """
        check_int("n", n, 0, 1 << 40)
        states, weights, totals = (np.empty((n, self.model.length), dtype=np.int64) for _ in range(3))
        for start in range(0, n, CHUNK_DRAWS):
            part = slice(start, min(start + CHUNK_DRAWS, n))
            row = np.zeros(part.stop - start, dtype=np.int64)
            for node in range(self.model.length - 1, -1, -1):
                column = self.model.length - 1 - node if self.left_to_right else node
                ends = self._ends[node]
                total = ends[row, -1]
                u = rng.integers(0, total)  # by rejection, so exactly uniform
                drawn = (ends[row] <= u[:, None]).sum(axis=1)
                states[part, column], totals[part, column] = drawn, total
                weights[part, column] = self._weights[node][row, drawn]
                row = drawn
        return ChainDraws(states=states, weights=weights, totals=totals)

    def law_of(self, states: npt.NDArray[np.integer]) -> ChainDraws:
        """The integers that draws of these states, of shape (n, L), would come with."""
        ordered = states[:, ::-1] if self.left_to_right else states
        right = np.concatenate([ordered[:, 1:], np.zeros((len(ordered), 1), dtype=ordered.dtype)], axis=1)
        nodes = range(self.model.length)
        weights = np.stack([self._weights[i][right[:, i], ordered[:, i]] for i in nodes], axis=1)
        totals = np.stack([self._ends[i][right[:, i], -1] for i in nodes], axis=1)
        if self.left_to_right:
            weights, totals = weights[:, ::-1], totals[:, ::-1]
        return ChainDraws(states=states.astype(np.int64), weights=weights, totals=totals)


def _log_sum_exp(logs: Floats) -> Floats:
    """ln of the sum over the first axis of exp(logs)."""
    top = logs.max(axis=0)
    sums: Floats = top + np.log(np.exp(logs - top).sum(axis=0))
    return sums


def _integer_rows(logs: Floats) -> Integers:
    """Rows of probabilities proportional to exp(logs), as integers of at least 1 that add up to about 2^61."""
    weights = np.exp(logs - logs.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    rows: Integers = np.maximum(np.rint(weights * 2.0**WEIGHT_BITS), 1).astype(np.int64)
    return rows
