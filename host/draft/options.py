# SPDX-License-Identifier: Apache-2.0
"""The drafts of a run as the command line asks for them: how many, where, and how they are verified."""

from dataclasses import dataclass

from host.plan.checks import CHILDREN_MAX, NODES_MAX
from host.plan.shape import TreeShape
from host.verify.walk import GUMBEL, check_walk_method, default_method
from hw.spec.errors import SpecError, check_int

from .drafting import LENGTH_MAX, Drafting, FixedDrafting, TreeDrafting

TREE_LENGTH = 4
"""Most levels of a tree, unless L says otherwise."""


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
            ("L", self.length, LENGTH_MAX),
            ("drafts", self.drafts, CHILDREN_MAX),
            ("tree_nodes", self.tree_nodes, NODES_MAX),
        ):
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
    def one_draft(self) -> bool:
        """Whether a step has one draft, and any rule for one draft will do."""
        single = self.tree_nodes is None and (self.length or 1) == (self.drafts or 1) == 1
        return single and self.verify != GUMBEL

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
