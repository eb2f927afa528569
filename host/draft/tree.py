# SPDX-License-Identifier: Apache-2.0
"""Drafts behind one context, as they were drawn: a chain, n drafts of one position, or a tree.

Node 0 is the context. The drafts of a node are independent draws from one law; equal ones are one node, whose own
drafts are those planned for the first of them.
"""

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from host.golden.exact import draft_law
from host.plan.shape import TreeShape
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.psi.wire import psi_bytes
from host.tsu.base import Draws
from hw.spec.config import TsuConfig


class LazyLaw:
    """F_hw(psi), worked out when it is asked for.

    Parameters
    ----------
    psi : Psi
    config, mode : TsuConfig and str
        What the TSU makes the law with.
    """

    def __init__(self, *, psi: Psi, config: TsuConfig, mode: str) -> None:
        self.psi, self._config, self._mode = psi, config, mode
        self.seconds = 0.0
        """What it took, so far."""

    @cached_property
    def value(self) -> DraftLaw:
        """The law."""
        begin = time.perf_counter()
        law = draft_law(self.psi, self._config, self._mode)
        self.seconds = time.perf_counter() - begin
        return law


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """The drafts of one node.

    Parameters
    ----------
    node : int
    draws : Draws
        n drafts, in the order in which they were drawn.
    children : tuple of n ints
        Node of each.
    lazy : LazyLaw
        Of the drafts. A place that is not judged needs none.
    """

    node: int
    draws: Draws
    children: tuple[int, ...]
    lazy: LazyLaw

    @property
    def psi(self) -> Psi:
        """The payload that the drafts were drawn from."""
        return self.lazy.psi

    @property
    def law(self) -> DraftLaw:
        """F_hw(psi)."""
        return self.lazy.value

    @cached_property
    def drafts(self) -> list[int]:
        """The tokens drawn."""
        tokens: list[int] = self.draws.tokens.tolist()
        return tokens


@dataclass(frozen=True, kw_only=True, eq=False)
class DraftTree:
    """Drafts and where they are.

    Parameters
    ----------
    tokens : int64 ndarray of shape (size,)
        Token of node 1, 2, ...
    parents : intp ndarray of shape (size,)
        Node that each of them is behind.
    places : dict of int to Place
        Of every node with drafts, by node.
    shape : TreeShape
        What was planned.
    proposer_s, tsu_s : float
        Seconds spent on psi and in the TSU.
    """

    tokens: npt.NDArray[np.int64]
    parents: npt.NDArray[np.intp]
    places: dict[int, Place]
    shape: TreeShape
    proposer_s: float = 0.0
    tsu_s: float = 0.0

    @property
    def size(self) -> int:
        """Different drafts: nodes but the context."""
        return len(self.tokens)

    @cached_property
    def psi_bytes(self) -> int:
        """Wire bytes of all psi."""
        return sum(psi_bytes(place.psi) for place in self.places.values())


class GrowingTree:
    """A tree while its drafts are drawn, level by level.

    Parameters
    ----------
    shape : TreeShape
        What is planned.
    """

    def __init__(self, shape: TreeShape) -> None:
        self._shape = shape
        self._tokens: list[int] = []
        self._parents: list[int] = []
        self._planned = [0]  # node of the shape that each node stands for
        self._places: dict[int, Place] = {}

    def drafts(self, node: int) -> int:
        """Drafts that are planned for a node."""
        return self._shape.children[self._planned[node]]

    def token(self, node: int) -> int:
        """Token of a draft."""
        return self._tokens[node - 1]

    def add(self, node: int, draws: Draws, lazy: LazyLaw) -> list[int]:
        """Take the drafts of a node; returns the new nodes, equal drafts as one."""
        known: dict[int, int] = {}
        tokens: list[int] = draws.tokens.tolist()
        for place, token in enumerate(tokens):
            if token not in known:
                self._tokens.append(token)
                self._parents.append(node)
                self._planned.append(self._shape.child(self._planned[node], place))
                known[token] = len(self._tokens)
        children = tuple(known[token] for token in tokens)
        self._places[node] = Place(node=node, draws=draws, children=children, lazy=lazy)
        return list(known.values())

    def finish(self, *, proposer_s: float = 0.0, tsu_s: float = 0.0) -> DraftTree:
        """The tree, with the seconds that psi and the TSU took."""
        return DraftTree(
            tokens=np.array(self._tokens, dtype=np.int64), parents=np.array(self._parents, dtype=np.intp),
            places=self._places, shape=self._shape, proposer_s=proposer_s, tsu_s=tsu_s,
        )  # fmt: skip
