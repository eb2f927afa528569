# SPDX-License-Identifier: Apache-2.0
"""The shape of a token tree: how many drafts each node has, fixed before any of them is drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from hw.spec.errors import SpecError, check_int

from .checks import CHILDREN_MAX, NODES_MAX


@dataclass(frozen=True, kw_only=True)
class TreeShape:
    """A token tree, its nodes in breadth-first order.

    Node 0 is the root, the text so far: no draft, and not counted in a budget. The children of a node are consecutive,
    and stand in the order of the children's parents. `children = (1,) * L + (0,)` is a chain of L drafts.

    Parameters
    ----------
    children : tuple of ints
        Drafts below each node, 0 to 16; 0 of a leaf.

    Raises
    ------
    SpecError
        The counts are those of no tree: a node that no count announced, a count of drafts that do not follow, or more
        than 256 drafts.
    """

    children: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.children, tuple) or not self.children:
            raise SpecError("children", self.children, "a tuple of at least one count")
        check_int("nodes", self.nodes, 0, NODES_MAX)
        announced = 1
        for node, count in enumerate(self.children):
            if node >= announced:
                raise SpecError(
                    f"children[{node}]", count, f"none: the counts before it announce {announced - 1} drafts"
                )
            announced += check_int(f"children[{node}]", count, 0, CHILDREN_MAX)
        if announced != len(self.children):
            raise SpecError("len(children)", len(self.children), f"{announced}: the root and the drafts announced")

    @classmethod
    def chain(cls, length: int) -> "TreeShape":
        """The chain of `length` drafts."""
        return cls(children=(1,) * check_int("length", length, 0, NODES_MAX) + (0,))

    @classmethod
    def siblings(cls, drafts: int) -> "TreeShape":
        """`drafts` drafts of one position."""
        return cls(children=(check_int("drafts", drafts, 0, CHILDREN_MAX),) + (0,) * drafts)

    @property
    def nodes(self) -> int:
        """Drafts: nodes without the root."""
        return len(self.children) - 1

    @cached_property
    def first_child(self) -> tuple[int, ...]:
        """Number of each node's first child, and of the next node where it has none."""
        starts = [1]
        for count in self.children[:-1]:
            starts.append(starts[-1] + count)
        return tuple(starts)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Parent of each node; -1 of the root."""
        return (-1, *(node for node, count in enumerate(self.children) for _ in range(count)))

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Depth of each node; 0 of the root."""
        depths = [0]
        for parent in self.parents[1:]:
            depths.append(depths[parent] + 1)
        return tuple(depths)

    @property
    def depth(self) -> int:
        """Most drafts that can be accepted."""
        return self.depths[-1]

    @property
    def is_chain(self) -> bool:
        """Whether no node has two children."""
        return max(self.children) <= 1

    @property
    def inner_per_level(self) -> tuple[int, ...]:
        """Nodes with children at depth 0, 1, ..., depth - 1: so many psi are made before the drafts of the next."""
        inner = [0] * self.depth
        for depth, count in zip(self.depths, self.children, strict=True):
            if count:
                inner[depth] += 1
        return tuple(inner)

    @property
    def drafts_per_level(self) -> tuple[int, ...]:
        """Drafts at depth 1, 2, ..., depth."""
        drafts = [0] * self.depth
        for depth in self.depths[1:]:
            drafts[depth - 1] += 1
        return tuple(drafts)

    def child(self, node: int, place: int) -> int:
        """Number of the child at `place`, counted from 0.

        Raises
        ------
        SpecError
            There is no such node or child.
        """
        count = self.children[check_int("node", node, 0, self.nodes)]
        if not count:
            raise SpecError("node", node, "a node with children")
        return self.first_child[node] + check_int("place", place, 0, count - 1)

    def cut(self, *, depth: int, nodes: int) -> "TreeShape":
        """The part of at most so many levels and drafts: the first ones, level by level."""
        kept = min(nodes, sum(1 for at in self.depths[1:] if at <= depth))
        if kept == self.nodes:
            return self
        children = [0] * (kept + 1)
        for parent in self.parents[1 : kept + 1]:
            children[parent] += 1
        return TreeShape(children=tuple(children))

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        """(parent, place among its siblings, depth) of the drafts, nodes 1, 2, ..."""
        for node in range(1, self.nodes + 1):
            parent = self.parents[node]
            yield parent, node - self.first_child[parent], self.depths[node]


def breadth_first(trees: Sequence["Nested"]) -> TreeShape:
    """The shape of a root with these subtrees, each a nested sequence of its own subtrees; () is a leaf."""
    counts, level = [], [trees]
    while level:
        counts += [len(node) for node in level]
        level = [subtree for node in level for subtree in node]
    return TreeShape(children=tuple(counts))


Nested = Sequence["Nested"]
"""Subtrees of a node, each given by its own."""
