# SPDX-License-Identifier: Apache-2.0
"""Which drafts a run draws: as it was asked, or a tree whose shape follows from the acceptance that was seen."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from host.plan.acceptance import AcceptanceTable
from host.plan.tree import plan_tree
from host.verify.multi import optimal_acceptances
from host.verify.walk import check_walk_method, default_method
from hw.spec.errors import SpecError, check_int

from .shape import CHILDREN_MAX, LENGTH_MAX, NODES_MAX, TreeShape

TREE_LENGTH = 4
"""Most levels of a tree, unless L says otherwise."""

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

    def observe(self, p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], depth: int) -> None:
        """Take notice of a position's target and draft law, float64 of shape (V,), so many drafts behind the context."""
        ...


@dataclass(frozen=True)
class FixedDrafting:
    """The same shape at every step.

    Parameters
    ----------
    shape : TreeShape
    """

    shape: TreeShape

    def observe(self, p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], depth: int) -> None:
        """Nothing depends on it."""


class TreeDrafting:
    """The tree of at most `nodes` drafts that is expected to give the most tokens, by what was seen so far.

    At every position that is verified, alpha*_n of n = 1, ..., `drafts` siblings follows from p and q; `plan_tree` takes
    the means. The first shape is a chain. A shape depends on what was emitted before, and on nothing behind it: the
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

    def observe(self, p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], depth: int) -> None:
        """See `Drafting`."""
        self._seen += 1
        if self._seen > SEEN_FIRST and self._seen % SEEN_THEN:
            return
        self._sums[depth] += optimal_acceptances(p, q, self._drafts)
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


@dataclass(frozen=True, kw_only=True)
class DraftOptions:
    """Drafts of a step, as the command line asks for them; checked at construction.

    Parameters
    ----------
    length : int or None
        L, drafts one behind the other, in [1, 8]. None: 1, or `TREE_LENGTH` levels of a tree.
    drafts : int or None
        n, drafts of a position, in [1, 16]. None: 1, or up to 16 in a tree.
    tree_nodes : int or None
        Budget of a tree, drafts, in [1, 256]; None: a chain, or n drafts of one position.
    verify : str or None
        One of `host.verify.walk.METHODS`; None: a chain as a block, several drafts by the race.

    Raises
    ------
    SpecError
        A value is outside its range, or they do not go together.
    """

    length: int | None = None
    drafts: int | None = None
    tree_nodes: int | None = None
    verify: str | None = None

    def __post_init__(self) -> None:
        for name, value, most in (
            ("L", self.length, LENGTH_MAX), ("drafts", self.drafts, CHILDREN_MAX), ("tree_nodes", self.tree_nodes, NODES_MAX)
        ):  # fmt: skip
            if value is not None:
                check_int(name, value, 1, most)
        if self.tree_nodes is None and (self.length or 1) > 1 and (self.drafts or 1) > 1:
            raise SpecError("drafts", self.drafts, f"1 with L = {self.length}, or a tree with a budget (tree_nodes)")
        if self.verify is not None:
            check_walk_method(self.verify, chain=self.tree_nodes is None and (self.drafts or 1) == 1)

    def facts(self) -> dict[str, int | str | None]:
        """What was asked for, for a run's summary."""
        tree = self.tree_nodes is not None
        return {
            "L": self.length or (TREE_LENGTH if tree else 1),
            "n_drafts": self.drafts or (CHILDREN_MAX if tree else 1),
            "tree_nodes": self.tree_nodes,
            "verify": self.verify or default_method(chain=not tree and (self.drafts or 1) == 1),
        }

    @property
    def nodes(self) -> int:
        """Drafts of a step, at most."""
        return self.tree_nodes or (self.length or 1) * (self.drafts or 1)

    def drafting(self, horizon: int | None) -> Drafting:
        """What decides on the drafts of a run, with a proposer of this `horizon`.

        Raises
        ------
        SpecError
            L is beyond the horizon.
        """
        far = LENGTH_MAX if horizon is None else min(horizon, LENGTH_MAX)
        if self.tree_nodes is not None:
            length = check_int("L", self.length or min(TREE_LENGTH, far), 1, far)
            return TreeDrafting(nodes=self.tree_nodes, length=length, drafts=self.drafts or CHILDREN_MAX)
        if (self.drafts or 1) > 1:
            return FixedDrafting(TreeShape.siblings(self.drafts or 1))
        return FixedDrafting(TreeShape.chain(check_int("L", self.length or 1, 1, far)))
