# SPDX-License-Identifier: Apache-2.0
"""The token tree under a node budget that is expected to give the most tokens per target call.

The drafts below a node are independent draws of the node's law, and at most one of them is accepted: draft k of n with
probability s_(n,k) (`host.plan.acceptance`). So a tree gives

    E = 1 + sum over its drafts of the product of s along the path to the draft

tokens per target call, the one behind the accepted drafts included, and the best tree follows from the best subtrees:

    value(b, d) = 1 + max over n, b_1 + ... + b_n <= b - n of sum_k s_(n,k) value(b_k, d + 1)

for b drafts below a node of depth d. It is exact where all contexts of one depth accept alike (a fixed target, M0);
elsewhere tables are means over contexts, and E an estimate. Trees of this kind for drafts that are accepted one after
the other are in Chen et al., Sequoia (NeurIPS 2024, arXiv:2402.12374); here any shares will do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from hw.spec.errors import SpecError, check_int

from .acceptance import AcceptanceTable
from .checks import NODES_MAX
from .shape import Nested, TreeShape, breadth_first

Values = npt.NDArray[np.float64]
"""Entry b: of at most b drafts."""

GAIN = 1e-12
"""What a larger tree must give more than a smaller one to be taken: more than rounding does."""


@dataclass(frozen=True, kw_only=True)
class TreePlan:
    """A tree and what it is expected to give.

    Parameters
    ----------
    shape : TreeShape
    tokens_per_call : float
        E, the token behind the accepted drafts included.
    """

    shape: TreeShape
    tokens_per_call: float


def reach(shape: TreeShape, tables: Sequence[AcceptanceTable]) -> tuple[float, ...]:
    """Probability that each node is accepted; 1 of the root.

    Parameters
    ----------
    shape : TreeShape
    tables : sequence of AcceptanceTable, at least one
        Entry d is of the drafts below nodes of depth d; the last is of all further depths, too.

    Raises
    ------
    SpecError
        There is no table, or a node has more children than its table knows.
    """
    check_tables(tables)
    reached = [1.0]
    for parent, place, depth in shape:
        shares = tables[min(depth - 1, len(tables) - 1)].shares
        count = check_int(f"children[{parent}]", shape.children[parent], 0, len(shares) - 1)
        reached.append(reached[parent] * shares[count][place])
    return tuple(reached)


def tokens_of_shape(shape: TreeShape, tables: Sequence[AcceptanceTable]) -> float:
    """E of a tree: the sum of `reach`, whose parameters and errors these are."""
    return math.fsum(reach(shape, tables))


def deviation_of_shape(shape: TreeShape, tables: Sequence[AcceptanceTable]) -> float:
    """Standard deviation of the tokens of one target call. Parameters and errors are those of `reach`."""
    reached = reach(shape, tables)
    expected = math.fsum(reached)
    # sum over i of P(tokens > i) (2 i + 1) is the mean square: tokens > i where some node of depth i is accepted
    square = math.fsum(chance * (2 * depth + 1) for chance, depth in zip(reached, shape.depths, strict=True))
    return math.sqrt(max(0.0, square - expected**2))


def plan_tree(*, tables: Sequence[AcceptanceTable], budget: int, depth_max: int | None = None) -> TreePlan:
    """The tree of at most `budget` drafts with the largest E; no node has a child without gain, so it may be a chain.

    Parameters
    ----------
    tables : sequence of AcceptanceTable, at least one
        Entry d is of the drafts below nodes of depth d; the last is of all further depths, too.
    budget : int
        N: most drafts of the tree, in [0, 256].
    depth_max : int or None
        L: most drafts of a path, in [0, 256]; None: as many as the budget.

    Raises
    ------
    SpecError
        There is no table, or a number is outside its range.
    """
    return plan_trees(tables=tables, budgets=[budget], depth_max=depth_max)[0]


def plan_trees(
    *, tables: Sequence[AcceptanceTable], budgets: Sequence[int], depth_max: int | None = None
) -> list[TreePlan]:
    """`plan_tree` for several budgets at the price of the largest. Parameters and errors are those of `plan_tree`."""
    check_tables(tables)
    most = max([check_int("budget", budget, 0, NODES_MAX) for budget in budgets], default=0)
    levels = most if depth_max is None else min(most, check_int("depth_max", depth_max, 0, NODES_MAX))
    search = _Search(tables=tables, levels=levels, budget=most)
    plans = []
    for budget in budgets:
        shape = breadth_first(search.subtrees(0, budget))
        plans.append(TreePlan(shape=shape, tokens_per_call=tokens_of_shape(shape, tables)))
    return plans


def check_tables(tables: Sequence[AcceptanceTable]) -> None:
    """Raise `SpecError` unless there is a table."""
    if not tables:
        raise SpecError("tables", len(tables), "at least one AcceptanceTable")


class _Search:
    """Values of all budgets at every depth, from the deepest up; then the trees that have them."""

    def __init__(self, *, tables: Sequence[AcceptanceTable], levels: int, budget: int) -> None:
        self._tables, self._budget = tables, budget
        none = np.zeros(budget + 1, dtype=np.intp)
        self._values: list[Values] = [np.ones(budget + 1)] * (levels + 1)
        self._counts: list[npt.NDArray[np.intp]] = [none] * (levels + 1)
        settled = False  # all depths up to that of the last table are alike
        for depth in range(levels - 1, -1, -1):
            below = self._values[depth + 1]
            if settled and depth >= len(tables) - 1:
                self._values[depth], self._counts[depth] = below, self._counts[depth + 1]
                continue
            self._values[depth], self._counts[depth] = self._best(depth, below)
            settled = np.array_equal(self._values[depth], below)

    def _table(self, depth: int) -> AcceptanceTable:
        return self._tables[min(depth, len(self._tables) - 1)]

    def _best(self, depth: int, below: Values) -> tuple[Values, npt.NDArray[np.intp]]:
        """Value and number of children of a node of this depth for every budget."""
        values, counts = np.ones(self._budget + 1), np.zeros(self._budget + 1, dtype=np.intp)
        table = self._table(depth)
        for n in range(1, min(table.children_max, self._budget) + 1):
            found = 1 + _suffixes(table.shares[n], below[: self._budget + 1 - n])[0]
            better = found > values[n:] + GAIN
            values[n:][better], counts[n:][better] = found[better], n
        return values, counts

    def subtrees(self, depth: int, budget: int) -> Nested:
        """The best subtrees of a node of this depth with at most `budget` drafts below it."""
        n = int(self._counts[depth][budget])
        if n == 0:
            return ()
        left, children = budget - n, []
        shares, below = self._table(depth).shares[n], self._values[depth + 1][: left + 1]
        for share, others in zip(shares, _suffixes(shares, below)[1:], strict=True):
            sums = share * below[: left + 1] + others[left::-1]  # entry b: this child has b drafts below it
            given = int(np.flatnonzero(sums >= sums.max() - GAIN)[-1])
            children.append(self.subtrees(depth + 1, given))
            left -= given
        return tuple(children)


def _suffixes(shares: Sequence[float], values: Values) -> list[Values]:
    """For each k, what children k, k + 1, ... give together with at most b drafts below them, at entry b.

    `values` are those of one child.
    """
    size = len(values)
    padded = np.concatenate([values[::-1], np.full(size - 1, -np.inf)])
    child = sliding_window_view(padded, size)[::-1]  # entry (b, j): values[b - j], and -inf where j > b
    sums: list[Values] = [np.zeros(size)]
    work = np.empty((size, size))
    for share in reversed(shares):
        if share > 0:
            np.multiply(child, share, out=work)
            work += sums[-1]
            sums.append(work.max(axis=1))
        else:
            sums.append(sums[-1])
    return sums[::-1]
