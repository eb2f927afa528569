# SPDX-License-Identifier: Apache-2.0
"""n-gram targets counted in a text, of any length up to 8, smoothed by interpolation with the shorter ones."""

import numpy as np
import numpy.typing as npt

from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

from .base import Contexts, LogProbs, check_contexts, check_tokens
from .ngram_counts import IntArray, count_ngrams

N_MAX = 8
"""Longest n-gram."""

TEXT_LIMIT = 1 << 28
"""Most tokens of a text that is counted."""

NGRAM_SMOOTHINGS = ("witten-bell", "kneser-ney")
"""How probabilities are made from counts, by name."""

FloatArray = npt.NDArray[np.float64]


class NgramTarget:
    """p(x | last n - 1 tokens) of a text, interpolated with the laws behind shorter contexts.

    c' is the context c without its oldest token; the law without a context is interpolated with the uniform one. A
    context that nothing follows in the text is shorter by its oldest token, and so is one at the start of a text.

    witten-bell: p(x | c) = (n(c, x) + t(c) p(x | c')) / (n(c) + t(c)): n(c, x) counts the n-gram, n(c) is its sum over
    x, t(c) the number of different x behind c (Witten and Bell, IEEE Trans. IT 37 (1991), method C, in the
    interpolated form of Chen and Goodman, TR-10-98, section 2.4). With n = 2 this is `corpus_bigram`.
    kneser-ney: p(x | c) = (max(n(c, x) - D, 0) + D t(c) p(x | c')) / n(c). For the longest n-grams n(c, x) counts as
    above; for a shorter one it is the number of different tokens before (c, x). D = n1 / (n1 + 2 n2) for each length,
    n1 and n2 being the n-grams with n(c, x) = 1 and 2 (Chen and Goodman, sections 2.6 and 2.7); 1/2 where n1 = 0.

    Parameters
    ----------
    tokens : integer array of shape (length,), length >= 1
        The text.
    vocab_size : int
        V; every token is below it.
    n : int
        Longest n-gram, in [1, 8]. 1 is the unigram: contexts do not matter.
    smoothing : str
        One of `NGRAM_SMOOTHINGS`.

    Raises
    ------
    SpecError
        A token, the vocabulary, n or the smoothing is not legal.
    """

    def __init__(self, *, tokens: npt.ArrayLike, vocab_size: int, n: int, smoothing: str = "witten-bell") -> None:
        self.order: int = check_int("n", n, 1, N_MAX) - 1
        """n - 1."""
        self.vocab_size: int = check_int("vocab_size", vocab_size, 1, VOCAB_LIMIT)
        text = check_tokens(tokens, self.vocab_size)
        check_int("len(tokens)", len(text), 1, TEXT_LIMIT)
        if smoothing not in NGRAM_SMOOTHINGS:
            raise SpecError("smoothing", smoothing, "one of " + ", ".join(NGRAM_SMOOTHINGS))
        self._levels = count_ngrams(text, vocab_size=self.vocab_size, n=n)
        if smoothing == "witten-bell":
            self._shares = [_witten_bell(level.counts, level.first) for level in self._levels]
        else:
            *shorter, longest = self._levels
            self._shares = [_kneser_ney(level.lefts, level.first) for level in shorter]
            self._shares.append(_kneser_ney(longest.counts, longest.first))
        unigram = np.full((1, self.vocab_size), 1 / self.vocab_size)
        self._interpolate(unigram, depth=0, rows=np.zeros(1, dtype=np.int64), nodes=np.zeros(1, dtype=np.int64))
        self.unigram: FloatArray = unigram[0]
        """p(x) without a context, float64 of shape (vocab_size,)."""

    def logprobs(self, contexts: Contexts) -> LogProbs:
        """ln p(. | last n - 1 tokens), float64 of shape (batch, vocab_size), finite; see `Target.logprobs`."""
        contexts = check_contexts(contexts, self.vocab_size)
        batch, length = contexts.shape
        p = np.repeat(self.unigram[None], batch, axis=0)
        for depth in range(1, min(length, self.order) + 1):
            nodes = self._nodes(contexts[:, length - depth :])
            rows = np.flatnonzero(nodes >= 0)
            self._interpolate(p, depth=depth, rows=rows, nodes=nodes[rows])
        logs: LogProbs = np.log(p, out=p)
        return logs

    def _nodes(self, ends: Contexts) -> IntArray:
        """Node of each row of `ends`, an n-gram of the length of the row; -1 where the text does not have it."""
        nodes = np.zeros(len(ends), dtype=np.int64)
        for depth in range(ends.shape[1]):
            nodes = self._levels[depth].find(nodes, ends[:, depth])
        return nodes

    def _interpolate(self, p: FloatArray, *, depth: int, rows: IntArray, nodes: IntArray) -> None:
        """Replace p[rows], laws behind depth - 1 tokens, by those behind the contexts `nodes` of depth tokens."""
        level, (gain, back) = self._levels[depth], self._shares[depth]
        start = level.first[nodes]
        kinds = level.first[nodes + 1] - start
        steps = np.cumsum(kinds) - kinds
        grams = np.arange(kinds.sum()) + np.repeat(start - steps, kinds)
        p[rows] *= back[nodes, None]
        p[np.repeat(rows, kinds), level.keys[grams] % self.vocab_size] += gain[grams]


def _witten_bell(counts: IntArray, first: IntArray) -> tuple[FloatArray, FloatArray]:
    """What each n-gram adds to its probability, and the weight of the shorter context for each prefix."""
    kinds = np.diff(first)
    mass = _sums(counts, first) + kinds
    return counts / np.repeat(mass, kinds), np.where(kinds > 0, kinds / np.maximum(mass, 1), 1.0)


def _kneser_ney(counts: IntArray, first: IntArray) -> tuple[FloatArray, FloatArray]:
    """The same by absolute discounting. An n-gram may have no count: the first of a text has no token before it."""
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    discount = once / (once + 2 * twice) if once else 0.5
    mass = _sums(counts, first)
    behind = _sums((counts > 0).astype(np.int64), first)
    gain = np.maximum(counts - discount, 0) / np.maximum(np.repeat(mass, np.diff(first)), 1)
    return gain, np.where(mass > 0, discount * behind / np.maximum(mass, 1), 1.0)


def _sums(values: IntArray, first: IntArray) -> IntArray:
    """Sum of the values of each prefix."""
    return np.diff(np.concatenate([[0], np.cumsum(values)])[first])
