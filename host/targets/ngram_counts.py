# SPDX-License-Identifier: Apache-2.0
"""The n-grams of a text as sorted arrays: which there are, how often, and what follows them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NgramLevel:
    """Every n-gram of one length, in the order of its prefix and last token; a place in that order is its node.

    Parameters
    ----------
    vocab_size : int
        V.
    keys : int64 ndarray of shape (grams,)
        Node of the prefix (in the level below; 0 for length 1) times V, plus the last token; ascending.
    counts : int64 ndarray of shape (grams,)
        How often each occurs.
    first : int64 ndarray of shape (prefixes + 1,)
        The n-grams of prefix i are first[i] to first[i + 1] - 1.
    """

    vocab_size: int
    keys: IntArray
    counts: IntArray
    first: IntArray

    def find(self, prefixes: IntArray, last: IntArray) -> IntArray:
        """Nodes of the n-grams with these prefixes and last tokens; -1 where the text has none, or the prefix is -1."""
        if not len(self.keys):
            return np.full(len(last), -1, dtype=np.int64)
        wanted = prefixes * self.vocab_size + last
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found: IntArray = np.where((prefixes >= 0) & (self.keys[places] == wanted), places, -1)
        return found

    def interpolate(self, p: npt.NDArray[np.float64], *, rows: IntArray, nodes: IntArray) -> None:
        """Replace p[rows], laws behind shorter contexts, by the laws behind the prefixes `nodes`.

        p : float64 ndarray of shape (batch, vocab_size); each row sums to 1 before and after.
        """
        start = self.first[nodes]
        kinds = self.first[nodes + 1] - start
        seen = kinds > 0  # the last tokens of a text may have no successor
        rows, start, kinds = rows[seen], start[seen], kinds[seen]
        if not len(rows):
            return
        ends = np.cumsum(kinds)
        children = np.arange(ends[-1]) + np.repeat(start - (ends - kinds), kinds)
        counts = self.counts[children]
        mass = np.add.reduceat(counts, ends - kinds) + kinds
        p[rows] *= (kinds / mass)[:, None]
        p[np.repeat(rows, kinds), self.keys[children] % self.vocab_size] += counts / np.repeat(mass, kinds)


def count_ngrams(text: IntArray, *, vocab_size: int, n: int) -> list[NgramLevel]:
    """Levels of the lengths 1 to n.

    Each pass sorts one key a position: the node of the (k - 1)-gram that starts there, times V, plus the next token.
    A key stays below 2**28 * 2**20, however long the n-gram.

    Parameters
    ----------
    text : int64 ndarray of shape (length,), length >= 1
        Tokens in [0, vocab_size - 1].
    vocab_size, n : int
        V and the longest length.

    Returns
    -------
    list of NgramLevel
        Level k - 1 holds the k-grams; lengths above the text's are empty.
    """
    levels: list[NgramLevel] = []
    nodes = np.zeros(len(text), dtype=np.int64)  # of the (k - 1)-gram at each position
    prefixes = 1
    for k in range(1, n + 1):
        windows = max(0, len(text) - k + 1)
        keys, nodes, counts = np.unique(
            nodes[:windows] * vocab_size + text[k - 1 :], return_inverse=True, return_counts=True
        )
        first = np.searchsorted(keys, np.arange(prefixes + 1, dtype=np.int64) * vocab_size)
        levels.append(
            NgramLevel(vocab_size=vocab_size, keys=keys, counts=counts.astype(np.int64), first=first.astype(np.int64))
        )
        prefixes = len(keys)
    return levels
