# SPDX-License-Identifier: Apache-2.0
"""Where the tokens of one pass stand: one behind the other, or as a tree in which each sees its ancestors only."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Standing:
    """Positions and sight of n new tokens behind `start` others, which all of them see.

    Parameters
    ----------
    positions : int64 Tensor of shape (n,), or None
        Position of each; None: start, start + 1, ...
    mask : Tensor of shape (n, start + n), or None
        0 where a token looks, -inf elsewhere; None: n = 1. See `repeated`.
    """

    positions: Tensor | None
    mask: Tensor | None

    def repeated(self, times: int) -> Self:
        """With the rows of the mask so many times, one copy below the other."""
        return self if self.mask is None or times == 1 else replace(self, mask=self.mask.repeat(times, 1))


def in_line(count: int, start: int, dtype: torch.dtype) -> Standing:
    """Tokens that stand one behind the other."""
    if count == 1:
        return Standing(None, None)
    mask = torch.full((count, start + count), float("-inf"), dtype=dtype)
    return Standing(None, mask.triu_(start + 1))


def as_tree(parents: Sequence[int], start: int, dtype: torch.dtype) -> Standing:
    """Tokens of a tree; the last shapes are remembered.

    Parameters
    ----------
    parents : sequence of n ints
        Place of the token that each is behind, below its own; -1: the last of the `start` tokens.
    start : int
    dtype : torch.dtype
        Of the mask.
    """
    depths, mask = _sight(tuple(parents), dtype)
    return Standing(start + depths, functional.pad(mask, (start, 0)))


@lru_cache(maxsize=256)
def _sight(parents: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Depth of each token, and how the new tokens see each other."""
    count = len(parents)
    sees = torch.eye(count, dtype=torch.bool)
    depths: list[int] = []
    for place, parent in enumerate(parents):
        depths.append(0 if parent < 0 else depths[parent] + 1)
        if parent >= 0:
            sees[place] |= sees[parent]
    mask = torch.zeros(count, count, dtype=dtype).masked_fill_(~sees, float("-inf"))
    return torch.tensor(depths), mask
