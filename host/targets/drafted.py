# SPDX-License-Identifier: Apache-2.0
"""Drafts of one pass of a language model: their logits, and which of them a text goes on with."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .log_rows import LogRows


@dataclass(frozen=True, kw_only=True, eq=False)
class DraftedNodes:
    """Drafts in the slots of a cache behind a context.

    Parameters
    ----------
    start : int
        Length of the context; node i has slot start + i - 1.
    tokens : int64 ndarray of shape (size,)
    parents : intp ndarray of shape (size,)
    rows : LogRows
        By node.
    """

    start: int
    tokens: npt.NDArray[np.int64]
    parents: npt.NDArray[np.intp]
    rows: LogRows

    def follow(self, tokens: Iterable[int]) -> list[int]:
        """The longest path of nodes from the context that has these tokens."""
        path, node = [], 0
        for token in tokens:
            found = np.flatnonzero((self.parents == node) & (self.tokens == token))
            if not len(found):
                break
            node = int(found[0]) + 1
            path.append(node)
        return path
