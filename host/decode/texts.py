# SPDX-License-Identifier: Apache-2.0
"""A batch of texts that grow by a token at a time, and which of them end alike."""

import numpy as np
import numpy.typing as npt

from host.propose.base import Proposer, ProposerState
from host.targets.base import Contexts, check_contexts
from hw.spec.errors import check_int

_KEY_BITS = 62
"""Contexts whose tokens fit so many bits are compared as one integer."""


def started(proposer: Proposer, begin: npt.ArrayLike) -> ProposerState:
    """The state of a proposer that has seen how the texts begin, token by token; `begin` has shape (batch, length)."""
    tokens = check_contexts(begin, proposer.vocab_size)
    state = proposer.start(len(tokens))
    for column in tokens.T:
        state.advance(column)
    return state


class Texts:
    """Texts of equal length, as token ids.

    Parameters
    ----------
    begin : integer array of shape (batch, length)
        How they begin; length 0 is legal.
    vocab_size : int
    order : int or None
        Last tokens that are kept; None keeps all.

    Raises
    ------
    SpecError
        A token or the shape is not legal.
    """

    def __init__(self, *, begin: npt.ArrayLike, vocab_size: int, order: int | None) -> None:
        tokens = check_contexts(begin, vocab_size)
        check_int("texts", len(tokens), 1, 1 << 30)
        self._order = order
        self._vocab_size = vocab_size
        self._length = tokens.shape[1]
        self._kept = self._length if order is None else min(order, self._length)
        self._tokens = tokens[:, self._length - self._kept :].copy()
        self.position = self._length
        """Tokens of each text."""

    def __len__(self) -> int:
        return len(self._tokens)

    @property
    def contexts(self) -> Contexts:
        """The tokens kept of each text, oldest first; int64 of shape (batch, at most `order`). A view."""
        return self._tokens[:, : self._kept]

    def append(self, tokens: npt.NDArray[np.int64]) -> None:
        """One more token for each text; shape (batch,)."""
        if self._order is not None and self._kept == self._order:
            if self._order:
                self._tokens[:, :-1] = self._tokens[:, 1:]
                self._tokens[:, -1] = tokens
        else:
            if self._kept == self._tokens.shape[1]:
                room = max(16, 2 * self._kept) if self._order is None else self._order
                grown = np.zeros((len(self._tokens), room), dtype=np.int64)
                grown[:, : self._kept] = self.contexts
                self._tokens = grown
            self._tokens[:, self._kept] = tokens
            self._kept += 1
        self.position += 1

    def alike(self, count: int) -> tuple[Contexts, list[npt.NDArray[np.intp]]]:
        """Different contexts of the first `count` texts, in ascending order, and the texts at each of them."""
        contexts = self.contexts[:count]
        if contexts.shape[1] == 0:
            return contexts[:1], [np.arange(count)]
        if contexts.shape[1] * int(self._vocab_size).bit_length() <= _KEY_BITS:
            powers = self._vocab_size ** np.arange(contexts.shape[1] - 1, -1, -1, dtype=np.int64)
            keys = contexts @ powers
            order = np.argsort(keys, kind="stable")
            starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        else:
            order = np.lexsort(contexts.T[::-1])
            changed = (np.diff(contexts[order], axis=0) != 0).any(axis=1)
            starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
        return contexts[order[starts]], np.split(order, starts[1:])
