# SPDX-License-Identifier: Apache-2.0
"""Drafts of one pass of a language model: their rows, and which of them a text goes on with."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from .log_rows import LogRows


class BlockRows:
    """ln p by node; see `host.targets.block.Rows`.

    Parameters
    ----------
    temperature : float
    """

    def __init__(self, temperature: float) -> None:
        self._own = LogRows(temperature)
        self._context: tuple[LogRows, int] | None = None

    def put(self, node: int, logits: torch.Tensor) -> None:
        """Logits of shape (vocab_size,) behind a draft."""
        self._own.put(node, logits)

    def behind(self, rows: LogRows, length: int) -> None:
        """Node 0 is the context of this length, whose row `rows` has."""
        self._context = rows, length

    def logits(self, node: int) -> torch.Tensor:
        """Logits behind a draft."""
        return self._own.logits(node)

    def __getitem__(self, node: int) -> npt.NDArray[np.float64]:
        """ln p of what follows a node, read-only float64 of shape (vocab_size,)."""
        if node == 0 and self._context is not None:
            rows, length = self._context
            row: npt.NDArray[np.float64] = rows[length][0]
        else:
            row = self._own[node][0]
        return row


@dataclass(frozen=True, kw_only=True, eq=False)
class DraftedNodes:
    """Drafts in the slots of a cache behind a context.

    Parameters
    ----------
    start : int
        Length of the context; node i has slot start + i - 1.
    tokens : int64 ndarray of shape (size,)
    parents : intp ndarray of shape (size,)
    rows : BlockRows
    """

    start: int
    tokens: npt.NDArray[np.int64]
    parents: npt.NDArray[np.intp]
    rows: BlockRows

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
