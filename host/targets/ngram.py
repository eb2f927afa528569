# SPDX-License-Identifier: Apache-2.0
"""n-gram targets counted in a text, of any length up to 8, smoothed by interpolation with the shorter ones."""

import numpy as np
import numpy.typing as npt

from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import check_int

from .base import Contexts, LogProbs, check_contexts, check_tokens
from .ngram_counts import NgramLevel, count_ngrams

N_MAX = 8
"""Longest n-gram."""

TEXT_LIMIT = 1 << 28
"""Most tokens of a text that is counted."""


class NgramTarget:
    """p(x | last n - 1 tokens) of a text: interpolated Witten-Bell.

    p(x | c) = (n(c, x) + t(c) p(x | c')) / (n(c) + t(c)), where c' is c without its oldest token, n(c, x) counts the
    n-gram, n(c) is its sum over x and t(c) the number of different x behind c; p(x) is interpolated with the uniform
    law in the same way (Witten and Bell, IEEE Trans. IT 37 (1991), method C, in the interpolated form of Chen and
    Goodman, TR-10-98, section 2.4). A context that the text does not have is that much shorter, and so is one of the
    first n - 2 tokens of a text. With n = 2 this is `corpus_bigram`.

    Parameters
    ----------
    tokens : integer array of shape (length,), length >= 1
        The text.
    vocab_size : int
        V; every token is below it.
    n : int
        Longest n-gram, in [1, 8]. 1 is the unigram: contexts do not matter.

    Raises
    ------
    SpecError
        A token, the vocabulary or n is not legal.
    """

    def __init__(self, *, tokens: npt.ArrayLike, vocab_size: int, n: int) -> None:
        self.order: int = check_int("n", n, 1, N_MAX) - 1
        """n - 1."""
        self.vocab_size: int = check_int("vocab_size", vocab_size, 1, VOCAB_LIMIT)
        text = check_tokens(tokens, self.vocab_size)
        check_int("len(tokens)", len(text), 1, TEXT_LIMIT)
        self._levels: list[NgramLevel] = count_ngrams(text, vocab_size=self.vocab_size, n=n)
        counts = np.bincount(text, minlength=self.vocab_size).astype(np.float64)
        kinds = np.count_nonzero(counts)
        self.unigram: npt.NDArray[np.float64] = (counts + kinds / self.vocab_size) / (len(text) + kinds)
        """p(x) without a context, float64 of shape (vocab_size,)."""

    def logprobs(self, contexts: Contexts) -> LogProbs:
        """ln p(. | last n - 1 tokens), float64 of shape (batch, vocab_size); see `Target.logprobs`.

        Finite everywhere: interpolation with the uniform law leaves no zero.
        """
        contexts = check_contexts(contexts, self.vocab_size)
        batch, length = contexts.shape
        p = np.repeat(self.unigram[None], batch, axis=0)
        for depth in range(1, min(length, self.order) + 1):
            nodes = self._nodes(contexts[:, length - depth :])
            rows = np.flatnonzero(nodes >= 0)
            self._levels[depth].interpolate(p, rows=rows, nodes=nodes[rows])
        p /= p.sum(axis=1, keepdims=True)
        logs: LogProbs = np.log(p, out=p)
        return logs

    def _nodes(self, ends: Contexts) -> npt.NDArray[np.int64]:
        """Place of each row of `ends` among the n-grams of that length that have a successor; -1 where it is none."""
        nodes = self._levels[0].find(np.zeros(len(ends), dtype=np.int64), ends[:, 0])
        for depth in range(1, ends.shape[1]):
            nodes = self._levels[depth].find(nodes, ends[:, depth])
        return nodes
