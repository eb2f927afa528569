# SPDX-License-Identifier: Apache-2.0
"""Drafts of one pass of a language model: their rows, and which of them a text goes on with."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch


class BlockRows:
    """Rows by node, from logits; see `host.targets.block.Rows`. One is worked out when it is asked for.

    Parameters
    ----------
    temperature : float
    """

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature
        self._logits: dict[int, torch.Tensor] = {}

    def put(self, node: int, logits: torch.Tensor) -> None:
        """Logits of shape (vocab_size,) behind a node."""
        self._logits[node] = logits

    def logits(self, node: int) -> torch.Tensor:
        """What was put."""
        return self._logits[node]

    def p(self, node: int) -> npt.NDArray[np.float64]:
        """softmax(logits / temperature) in float64, of shape (vocab_size,)."""
        p: npt.NDArray[np.float64] = torch.softmax(self._logits[node].double() / self._temperature, dim=-1).numpy()
        return p


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
