# SPDX-License-Identifier: Apache-2.0
"""The n-grams of a text as sorted arrays: which there are, how often, and what comes before and behind them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NgramCounts:
    """Every n-gram of one length, in the order of its prefix and last token; its place in that order is its node.

    Parameters
    ----------
    vocab_size : int
        V.
    keys : int64 ndarray of shape (grams,)
        Node of the prefix (among the n-grams that are shorter by one; 0 for length 1) times V, plus the last token;
        ascending.
    first : int64 ndarray of shape (prefixes + 1,)
        The n-grams of prefix i are first[i] to first[i + 1] - 1.
    counts : int64 ndarray of shape (grams,)
        How often each occurs.
    lefts : int64 ndarray of shape (grams,)
        How many different tokens come before each; all 0 for the longest n-grams.
    """

    vocab_size: int
    keys: IntArray
    first: IntArray
    counts: IntArray
    lefts: IntArray

    def find(self, prefixes: IntArray, last: IntArray) -> IntArray:
        """Nodes of the n-grams with these prefixes and last tokens; -1 where the text has none, or the prefix is -1."""
        if not len(self.keys):
            return np.full(len(last), -1, dtype=np.int64)
        wanted = prefixes * self.vocab_size + last  # negative, and so no key, behind a prefix that is not there
        places = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        found: IntArray = np.where(self.keys[places] == wanted, places, -1)
        return found


def count_ngrams(text: IntArray, *, vocab_size: int, n: int) -> list[NgramCounts]:
    """Counts of the lengths 1 to n, in this order; lengths above the text's have no n-grams.

    Each pass sorts one key a position: the node of the (k - 1)-gram that starts there, times V, plus the next token.
    A key stays below the length of the text times V, however long the n-gram.

    Parameters
    ----------
    text : int64 ndarray of shape (length,), length >= 1
        Tokens in [0, vocab_size - 1].
    vocab_size, n : int
        V and the longest length; length * V is below 2**63.
    """
    found: list[NgramCounts] = []
    nodes = np.zeros(len(text), dtype=np.int64)  # of the (k - 1)-gram that starts at each position
    prefixes = 1
    for k in range(1, n + 1):
        windows = max(0, len(text) - k + 1)
        keys, places, counts = np.unique(
            nodes[:windows] * vocab_size + text[k - 1 :], return_inverse=True, return_counts=True
        )
        if k > 1:
            somewhere = np.empty(len(keys), dtype=np.int64)
            somewhere[places] = np.arange(windows)
            np.add.at(found[-1].lefts, nodes[somewhere + 1], 1)  # the n-gram without its first token
        first = np.searchsorted(keys, np.arange(prefixes + 1, dtype=np.int64) * vocab_size).astype(np.int64)
        lefts = np.zeros(len(keys), dtype=np.int64)
        found.append(
            NgramCounts(vocab_size=vocab_size, keys=keys, first=first, counts=counts.astype(np.int64), lefts=lefts)
        )
        nodes = places.astype(np.int64, copy=False)
        prefixes = len(keys)
    return found
