# SPDX-License-Identifier: Apache-2.0
"""Which drafts a run draws: as it was asked, or a tree whose shape follows from the acceptance that was seen."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from host.plan.acceptance import AcceptanceTable
from host.plan.checks import CHILDREN_MAX, NODES_MAX
from host.plan.shape import TreeShape
from host.plan.tree import plan_tree
from host.psi.law import DraftLaw
from host.verify.multi import optimal_acceptances
from hw.spec.errors import check_int

LENGTH_MAX = 8
"""Longest chain of drafts of a run, L."""

SEEN_FIRST = 64
"""Positions that a tree's shape is chosen from first; again at twice as many, and so on."""

SEEN_THEN = 16
"""Behind these one of so many positions is looked at."""

SEEN_ENOUGH = 16
"""Positions of a depth from which its acceptance is known; until then that of the depth before is taken."""


class Drafting(Protocol):
    """What decides how many drafts come next."""

    @property
    def shape(self) -> TreeShape:
        """Drafts of the next step."""
        ...

    def observe(self, p: npt.NDArray[np.float64], law: DraftLaw, depth: int) -> None:
        """Take notice of a position that was verified.

        Parameters
        ----------
        p : float64 ndarray of shape (V,)
            Target.
        law : DraftLaw
            Of the drafts.
        depth : int
            Drafts between the context and the position.
        """
        ...


@dataclass(frozen=True)
class FixedDrafting:
    """The same shape at every step.

    Parameters
    ----------
    shape : TreeShape
    """

    shape: TreeShape

    def observe(self, p: npt.NDArray[np.float64], law: DraftLaw, depth: int) -> None:
        """Nothing depends on it."""


class TreeDrafting:
    """The tree of at most `nodes` drafts that is expected to give the most tokens, by what was seen so far.

    At every position that is verified, alpha*_n of n = 1, ..., `drafts` siblings follows from p and q;
    `plan_tree` takes the means. The first shape is a chain. A shape depends on what was emitted before it: the
    law of the text stays the target's.

    Parameters
    ----------
    nodes : int
        Most drafts of a tree, in [1, 256].
    length : int
        L: most levels, in [1, 8].
    drafts : int
        n: most drafts of a position, in [1, 16].
    """

    def __init__(self, *, nodes: int, length: int, drafts: int) -> None:
        self._nodes = check_int("tree_nodes", nodes, 1, NODES_MAX)
        self._length = check_int("L", length, 1, LENGTH_MAX)
        self._drafts = check_int("drafts", drafts, 1, CHILDREN_MAX)
        self._sums = np.zeros((self._length, self._drafts))  # alpha*_n at [depth, n - 1]
        self._counted = np.zeros(self._length, dtype=np.int64)
        self._seen, self._next = 0, SEEN_FIRST
        self.shape = TreeShape.chain(min(self._length, self._nodes))
        """Drafts of the next step."""

    def observe(self, p: npt.NDArray[np.float64], law: DraftLaw, depth: int) -> None:
        """See `Drafting`."""
        self._seen += 1
        if self._seen > SEEN_FIRST and self._seen % SEEN_THEN:
            return
        self._sums[depth] += optimal_acceptances(p, law.probabilities(), self._drafts)
        self._counted[depth] += 1
        if self._seen >= self._next:
            self._next = 2 * self._seen
            found = plan_tree(tables=self.tables(), budget=self._nodes, depth_max=self._length).shape
            self.shape = found if found.nodes else TreeShape.chain(1)

    def tables(self) -> list[AcceptanceTable]:
        """Mean acceptance by depth, of those depths that have been seen often enough; the context's in any case."""
        known = 1 + int(np.argmin([*(self._counted[1:] >= SEEN_ENOUGH), False]))
        return [
            AcceptanceTable.symmetric([0.0, *(sums / max(1, count)).tolist()])
            for sums, count in zip(self._sums[:known], self._counted[:known], strict=True)
        ]
