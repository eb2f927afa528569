# SPDX-License-Identifier: Apache-2.0
"""What every target offers: the distribution of the next token for a batch of contexts.

A context is the tokens so far, oldest first. All contexts of a batch are equally long; the length may be 0, the start
of a text. A target whose distribution is decided by the last few tokens says so in `order`: whoever asks may then keep
what it was told, or ask once for all contexts that end alike.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

Contexts = npt.NDArray[np.int64]
"""Token ids of shape (batch, length), oldest first."""

LogProbs = npt.NDArray[np.float64]
"""Natural logarithms of probabilities, shape (batch, vocab_size); the exponentials of a row sum to 1."""


class Target(Protocol):
    """The law that emitted tokens must follow."""

    @property
    def vocab_size(self) -> int:
        """V."""
        ...

    @property
    def order(self) -> int | None:
        """Number of last tokens that decide the distribution; None where all may."""
        ...

    def logprobs(self, contexts: Contexts) -> LogProbs:
        """ln p of the next token for each context.

        Parameters
        ----------
        contexts : int64 ndarray of shape (batch, length)

        Returns
        -------
        float64 ndarray of shape (batch, vocab_size)
            -inf where p = 0.

        Raises
        ------
        SpecError
            The shape or a token is not legal.
        """
        ...


def check_contexts(contexts: npt.ArrayLike, vocab_size: int) -> Contexts:
    """Return the contexts as int64, or raise `SpecError` unless they are token ids of shape (batch, length)."""
    array = np.asarray(contexts)
    if array.ndim != 2:
        raise SpecError("contexts.shape", array.shape, "(batch, length)")
    if array.size == 0:
        return array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise SpecError("contexts.dtype", str(array.dtype), "an integer dtype")
    low, high = int(array.min()), int(array.max())
    if low < 0 or high >= vocab_size:
        raise SpecError("contexts", low if low < 0 else high, f"token ids in [0, {vocab_size - 1}]")
    return array.astype(np.int64, copy=False)


def check_tokens(tokens: npt.ArrayLike, vocab_size: int) -> npt.NDArray[np.int64]:
    """Return a text as int64 token ids of shape (length,), or raise `SpecError`."""
    check_int("vocab_size", vocab_size, 1, VOCAB_LIMIT)
    array = np.asarray(tokens)
    if array.ndim != 1:
        raise SpecError("tokens.shape", array.shape, "(length,)")
    text: npt.NDArray[np.int64] = check_contexts(array[None, :], vocab_size)[0]
    return text
