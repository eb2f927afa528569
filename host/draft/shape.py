# SPDX-License-Identifier: Apache-2.0
"""How many drafts go where: a tree of drafts behind one context, before any of them is drawn.

Node 0 is the context; the other nodes are drafts, numbered level by level, the children of a node next to each other.
A chain of L drafts has one child at each node but the last, n drafts of one position are n children of the context.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError, check_int

LENGTH_MAX = 8
"""Longest chain of drafts, L."""

DRAFTS_MAX = 16
"""Most drafts of one position, n."""

NODES_MAX = 256
"""Most drafts of a tree."""


@dataclass(frozen=True)
class TreeShape:
    """Number of drafts behind each node.

    Parameters
    ----------
    children : tuple of int
        Of node 0, 1, 2, ...: each in [0, `DRAFTS_MAX`]. A draft without an entry has no children.

    Raises
    ------
    SpecError
        A number is outside its range, a node is missing, or the tree is deeper or larger than the limits.
    """

    children: tuple[int, ...]

    def __post_init__(self) -> None:
        for node, count in enumerate(self.children):
            check_int(f"children[{node}]", count, 0, DRAFTS_MAX)
        size = sum(self.children)
        check_int("nodes of the tree", size, 1, NODES_MAX)
        if len(self.children) > size + 1:
            raise SpecError("children", self.children, f"entries of at most {size + 1} nodes")
        object.__setattr__(self, "children", (*self.children, *(0,) * (size + 1 - len(self.children))))
        if any(parent >= node for node, parent in enumerate(self.parents.tolist(), 1)):
            raise SpecError("children", self.children, "nodes whose parents come before them")
        check_int("depth of the tree", self.depth, 1, NODES_MAX)

    @classmethod
    def chain(cls, length: int) -> "TreeShape":
        """L drafts, one behind the other."""
        return cls((1,) * check_int("L", length, 1, LENGTH_MAX))

    @classmethod
    def siblings(cls, drafts: int) -> "TreeShape":
        """n drafts of one position."""
        return cls((check_int("drafts", drafts, 1, DRAFTS_MAX),))

    @property
    def size(self) -> int:
        """Drafts."""
        return len(self.children) - 1

    @cached_property
    def parents(self) -> npt.NDArray[np.intp]:
        """Node that each draft is behind, shape (size,): entry i - 1 is that of node i."""
        return np.repeat(np.arange(len(self.children)), self.children)

    @cached_property
    def depths(self) -> npt.NDArray[np.intp]:
        """Distance of each node from the context, shape (size + 1,); 0 for node 0."""
        depths = np.zeros(self.size + 1, dtype=np.intp)
        for node, parent in enumerate(self.parents.tolist(), 1):
            depths[node] = depths[parent] + 1
        return depths

    @property
    def depth(self) -> int:
        """Longest chain of drafts."""
        return int(self.depths.max())

    @property
    def is_chain(self) -> bool:
        """Whether no node has two children."""
        return max(self.children) == 1

    def first_child(self, node: int) -> int:
        """Number of the first child of a node; the others follow it."""
        return 1 + sum(self.children[:node])

    def cut(self, *, depth: int, size: int) -> "TreeShape":
        """The part of at most so many levels and drafts, at least 1 of each: the first drafts level by level."""
        kept = min(size, int(np.count_nonzero(self.depths[1:] <= depth)))
        if kept == self.size:
            return self
        children = np.bincount(self.parents[:kept], minlength=1)
        return TreeShape(tuple(children.tolist()))
