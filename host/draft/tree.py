# SPDX-License-Identifier: Apache-2.0
"""Drafts behind one context, as they were drawn: a chain, n drafts of one position, or a tree.

Node 0 is the context. The drafts of a node are independent draws from one law; equal ones are one node, whose own
drafts are those planned for the first of them.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from host.golden.exact import draft_law
from host.plan.shape import TreeShape
from host.propose.base import Proposer, ProposerState
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.tsu.base import Draws, Tsu
from hw.spec.config import TsuConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Place:
    """The drafts of one node.

    Parameters
    ----------
    node : int
    psi : Psi
    draws : Draws
        n drafts, in the order in which they were drawn.
    children : tuple of n ints
        Node of each.
    config, mode : TsuConfig and str
        What the TSU made the law with.
    """

    node: int
    psi: Psi
    draws: Draws
    children: tuple[int, ...]
    config: TsuConfig
    mode: str

    @cached_property
    def _law(self) -> tuple[DraftLaw, float]:
        begin = time.perf_counter()
        law = draft_law(self.psi, self.config, self.mode)
        return law, time.perf_counter() - begin

    @property
    def law(self) -> DraftLaw:
        """F_hw(psi); worked out where the place is judged."""
        return self._law[0]

    @property
    def law_s(self) -> float:
        """Seconds that the law took, so far."""
        return self._law[1] if "_law" in self.__dict__ else 0.0

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
    proposer_s: float = field(default=0.0)
    tsu_s: float = field(default=0.0)

    @property
    def size(self) -> int:
        """Different drafts: nodes but the context."""
        return len(self.tokens)

    def path(self, node: int) -> list[int]:
        """Nodes from the context (not among them) to a node."""
        nodes: list[int] = []
        while node:
            nodes.append(node)
            node = int(self.parents[node - 1])
        return nodes[::-1]

    def text(self, node: int) -> npt.NDArray[np.int64]:
        """Tokens on the path to a node."""
        path = np.array(self.path(node), dtype=np.intp)
        return self.tokens[path - 1] if len(path) else np.empty(0, dtype=np.int64)


def draft_tree(
    *,
    proposer: Proposer,
    state: ProposerState,
    context: npt.NDArray[np.int64],
    shape: TreeShape,
    tsu: Tsu,
    mode: str,
) -> DraftTree:
    """Draw the drafts of a shape, level by level.

    Parameters
    ----------
    proposer : Proposer
    state : ProposerState
        Of one text, which ends with the context; it is left as it is.
    context : int64 ndarray of shape (length,)
        The text so far.
    shape : TreeShape
        At most `proposer.horizon` levels.
    tsu : Tsu
    mode : str
        Weight mode of the TSU.
    """
    return _Growth(proposer=proposer, context=context, shape=shape, tsu=tsu, mode=mode).run(state)


class _Growth:
    """A tree while it grows."""

    def __init__(
        self, *, proposer: Proposer, context: npt.NDArray[np.int64], shape: TreeShape, tsu: Tsu, mode: str
    ) -> None:
        self._proposer, self._context, self._shape, self._tsu, self._mode = proposer, context, shape, tsu, mode
        self._tokens: list[int] = []
        self._parents: list[int] = []
        self._planned = [0]  # node of the shape that each node stands for
        self._places: dict[int, Place] = {}
        self._seconds = [0.0, 0.0]

    def run(self, state: ProposerState) -> DraftTree:
        level, contexts = [0], self._context[None]
        while True:
            open_ = [i for i, node in enumerate(level) if self._shape.children[self._planned[node]]]
            if not open_:
                break
            if len(open_) < len(level):
                level, contexts, state = [level[i] for i in open_], contexts[open_], state.take(open_)
            self._draw(level, self._psis(level, contexts, state))
            rows = [row for row, node in enumerate(level) for _ in dict.fromkeys(self._places[node].children)]
            level = [child for node in level for child in dict.fromkeys(self._places[node].children)]
            if not any(self._shape.children[self._planned[node]] for node in level):
                break
            tokens = np.array([self._tokens[node - 1] for node in level], dtype=np.int64)
            contexts = np.concatenate([contexts[rows], tokens[:, None]], axis=1)
            state = state.take(rows)
            state.advance(tokens)
        return DraftTree(
            tokens=np.array(self._tokens, dtype=np.int64), parents=np.array(self._parents, dtype=np.intp),
            places=self._places, shape=self._shape, proposer_s=self._seconds[0], tsu_s=self._seconds[1],
        )  # fmt: skip

    def _psis(self, level: list[int], contexts: npt.NDArray[np.int64], state: ProposerState) -> list[Psi]:
        """psi of each node of a level, made for the number of drafts behind it."""
        begin = time.perf_counter()
        counts = [self._shape.children[self._planned[node]] for node in level]
        found: dict[int, Psi] = {}
        for drafts in dict.fromkeys(counts):
            rows = [row for row, count in enumerate(counts) if count == drafts]
            every = len(rows) == len(level)
            part, of = (contexts, state) if every else (contexts[rows], state.take(rows))
            found |= zip(rows, self._proposer.emit(of, part, drafts), strict=True)
        self._seconds[0] += time.perf_counter() - begin
        return [found[row] for row in range(len(level))]

    def _draw(self, level: list[int], psis: Sequence[Psi]) -> None:
        begin = time.perf_counter()
        for node, psi in zip(level, psis, strict=True):
            planned = self._planned[node]
            draws = self._tsu.sample(psi, self._shape.children[planned])
            known: dict[int, int] = {}
            for place, token in enumerate(draws.tokens.tolist()):
                if token not in known:
                    self._tokens.append(token)
                    self._parents.append(node)
                    self._planned.append(self._shape.child(planned, place))
                    known[token] = len(self._tokens)
            self._places[node] = Place(
                node=node, psi=psi, draws=draws, children=tuple(known[token] for token in draws.tokens.tolist()),
                config=self._tsu.config, mode=self._mode,
            )  # fmt: skip
        self._seconds[1] += time.perf_counter() - begin
