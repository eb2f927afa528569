# SPDX-License-Identifier: Apache-2.0
"""Rows of p of a target behind a context and behind every draft of a tree.

A target whose pass over several tokens costs little more than over one (`BlockTarget`) works them out in one pass. Any
other target that looks at its last tokens only is asked for all rows in one call; one that does neither is asked for a
row when it is wanted, so that refused drafts cost nothing.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .base import Contexts, LogProbs, Target


class Rows(Protocol):
    """Probabilities by node: 0 is the context, 1, 2, ... the drafts."""

    def p(self, node: int) -> npt.NDArray[np.float64]:
        """p of what follows a node, float64 of shape (vocab_size,)."""
        ...


@runtime_checkable
class BlockTarget(Target, Protocol):
    """A target that takes a whole tree of drafts into one pass: this is what speculation gains by."""

    def rows(
        self, context: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64], parents: npt.NDArray[np.intp]
    ) -> Rows:
        """Rows behind a context and its drafts. What becomes of the drafts is seen in the next call's context.

        Parameters
        ----------
        context : int64 ndarray of shape (length,)
        tokens : int64 ndarray of shape (size,)
            Drafts, the nodes 1, 2, ...; size may be 0.
        parents : intp ndarray of shape (size,)
            Node that each is behind, below its own number.

        Returns
        -------
        Rows
            Good until the next call.

        Raises
        ------
        SpecError
            The context or a token is not legal, or there is no room for so many tokens.
        """
        ...


def block_rows(
    target: Target,
    context: npt.NDArray[np.int64],
    tokens: npt.NDArray[np.int64],
    parents: npt.NDArray[np.intp],
) -> Rows:
    """Rows of any target; see `BlockTarget.rows`."""
    if isinstance(target, BlockTarget):
        return target.rows(context, tokens, parents)
    texts = texts_of(context, tokens, parents)
    order = target.order
    if order is None or len(context) < order:  # texts of different length
        return AskedRows(target, texts)
    ends: Contexts = np.stack([text[len(text) - order :] for text in texts])
    return LogRowsOf(target.logprobs(ends))


def texts_of(
    context: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64], parents: npt.NDArray[np.intp]
) -> list[npt.NDArray[np.int64]]:
    """The text that ends with each node."""
    texts = [context]
    for token, parent in zip(tokens.tolist(), parents.tolist(), strict=True):
        texts.append(np.append(texts[parent], token))
    return texts


class LogRowsOf:
    """Rows that are known as ln p.

    Parameters
    ----------
    logs : float64 ndarray of shape (nodes, vocab_size), or a sequence of such rows
    """

    def __init__(self, logs: Sequence[npt.NDArray[np.float64]] | LogProbs) -> None:
        self._logs = logs

    def p(self, node: int) -> npt.NDArray[np.float64]:
        """See `Rows`."""
        p: npt.NDArray[np.float64] = np.exp(self._logs[node])
        return p


class AskedRows:
    """Rows that are worked out one by one.

    Parameters
    ----------
    target : Target
    texts : list of int64 ndarray
        By node.
    """

    def __init__(self, target: Target, texts: list[npt.NDArray[np.int64]]) -> None:
        self._target, self._texts = target, texts

    def p(self, node: int) -> npt.NDArray[np.float64]:
        """See `Rows`."""
        p: npt.NDArray[np.float64] = np.exp(self._target.logprobs(self._texts[node][None])[0])
        return p
