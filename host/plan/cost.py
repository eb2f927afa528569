# SPDX-License-Identifier: Apache-2.0
"""Modelled time of one target call with a token tree, and the speed-up over decoding without drafts.

One call, its parts one after the other:

    for each level with drafts   proposer; psi of all its nodes to the TSU; draws; draws back; one latency
    then                         one target pass over the root and all drafts; verification

Levels wait for each other, since a proposer sees the tokens of the level before. Without drafts a token costs one pass
over one position. For a chain, with c the time of one level over that of a pass, a pass over more positions as long as
over one, and no time for verification, this is Leviathan et al. (arXiv:2211.17192), theorem 3.8: E / (c L + 1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from hw.spec.errors import check_int

from .acceptance import AcceptanceTable
from .checks import NODES_MAX, check_number, check_positive
from .shape import TreeShape
from .tree import TreePlan, plan_trees, tokens_of_shape

ASSUMPTIONS = (
    "levels follow one another: the proposer sees the tokens of the level before",
    "nothing overlaps: proposer, line, TSU, target and verifier take turns",
    "the line carries one psi for each node with children, and every draw back; each level waits for one latency",
    "a pass over the root and N drafts takes target_ms + N node_ms",
    "expected tokens: contexts of one depth accept alike, as the acceptance table says",
)
"""What the model takes for granted, a sentence each."""


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """What the parts of a call cost.

    Parameters
    ----------
    target_ms : float
        One target pass over one position, ms, > 0.
    node_ms : float
        Each further position of the same pass, ms.
    bytes_per_s : float
        Rate of the line in each direction, bytes per second, > 0; infinite for a TSU in process.
    latency_ms : float
        From the last psi byte sent to the first draw byte received, without TSU and line, ms; once a level.
    psi_bytes : float
        Bytes of one psi on the line.
    draw_bytes : float
        Bytes of one draw on the line.
    draws_per_s : float
        Rate of the TSU, > 0.
    proposer_ms : float
        Proposals for all nodes of one level, ms.
    verifier_ms : float
        Verification of one call, ms.

    Raises
    ------
    SpecError
        A number is outside its range.
    """

    target_ms: float
    node_ms: float = 0.0
    bytes_per_s: float = math.inf
    latency_ms: float = 0.0
    psi_bytes: float = 0.0
    draw_bytes: float = 0.0
    draws_per_s: float = math.inf
    proposer_ms: float = 0.0
    verifier_ms: float = 0.0

    def __post_init__(self) -> None:
        check_positive("target_ms", self.target_ms)
        for name in ("bytes_per_s", "draws_per_s"):
            if getattr(self, name) != math.inf:
                check_positive(name, getattr(self, name))
        for name in ("node_ms", "latency_ms", "psi_bytes", "draw_bytes", "proposer_ms", "verifier_ms"):
            check_number(name, getattr(self, name), 0.0, math.inf)

    def call(self, shape: TreeShape) -> "CallCost":
        """Time of one call with a tree of this shape."""
        levels, psis, drafts = shape.depth, sum(shape.inner_per_level), shape.nodes
        return CallCost(
            proposer_ms=levels * self.proposer_ms,
            psi_ms=1e3 * psis * self.psi_bytes / self.bytes_per_s,
            latency_ms=levels * self.latency_ms,
            sampling_ms=1e3 * drafts / self.draws_per_s,
            reply_ms=1e3 * drafts * self.draw_bytes / self.bytes_per_s,
            target_ms=self.target_ms + drafts * self.node_ms,
            verifier_ms=self.verifier_ms if drafts else 0.0,
        )

    def speedup(self, shape: TreeShape, tokens_per_call: float) -> float:
        """Over decoding without drafts, where each call with this tree gives so many tokens.

        Raises
        ------
        SpecError
            More tokens than a path of the tree can give, or fewer than 1.
        """
        tokens = check_number("tokens_per_call", tokens_per_call, 1.0, shape.depth + 1.0)
        return tokens * self.target_ms / self.call(shape).total_ms

    def lines(self) -> list[str]:
        """The numbers as name=value, then the assumptions."""
        numbers = [f"{field.name}={getattr(self, field.name):g}" for field in fields(self)]
        return [*numbers, *(f"assumption={sentence}" for sentence in ASSUMPTIONS)]


@dataclass(frozen=True, kw_only=True)
class CallCost:
    """Time of the parts of one target call, ms each; see `CostModel`."""

    proposer_ms: float
    psi_ms: float
    latency_ms: float
    sampling_ms: float
    reply_ms: float
    target_ms: float
    verifier_ms: float

    @property
    def total_ms(self) -> float:
        """All parts together."""
        return math.fsum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, kw_only=True)
class PricedTree:
    """A tree with its time.

    Parameters
    ----------
    plan : TreePlan
    call : CallCost
    speedup : float
        Over decoding without drafts.
    """

    plan: TreePlan
    call: CallCost
    speedup: float


def price_trees(
    *, tables: Sequence[AcceptanceTable], cost: CostModel, budgets: Sequence[int], depths: Sequence[int]
) -> list[PricedTree]:
    """The tree of most tokens for each budget and depth limit, and the chain of each depth, with their times.

    A tree of fewer drafts or levels may be faster than one of more tokens, so the fastest is looked for among all of
    these. Shapes that come again are left out.

    Parameters
    ----------
    tables : sequence of AcceptanceTable
        See `plan_tree`.
    cost : CostModel
    budgets : sequence of ints
        Node budgets, in [1, 256].
    depths : sequence of ints
        Depth limits, in [1, 256].

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    for budget in budgets:
        check_int("budget", budget, 1, NODES_MAX)
    plans: dict[TreeShape, TreePlan] = {}
    for depth in depths:
        chain = TreeShape.chain(check_int("depth_max", depth, 1, NODES_MAX))
        plans.setdefault(chain, TreePlan(shape=chain, tokens_per_call=tokens_of_shape(chain, tables)))
        for plan in plan_trees(tables=tables, budgets=budgets, depth_max=depth):
            plans.setdefault(plan.shape, plan)
    return [
        PricedTree(plan=plan, call=cost.call(plan.shape), speedup=cost.speedup(plan.shape, plan.tokens_per_call))
        for plan in plans.values()
    ]


def fastest(priced: Sequence[PricedTree]) -> PricedTree:
    """The tree of the largest speed-up; of equal ones the one with the fewest drafts."""
    return max(priced, key=lambda tree: (tree.speedup, -tree.plan.shape.nodes))
