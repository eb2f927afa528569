# SPDX-License-Identifier: Apache-2.0
"""Shapes of token trees and the search for the best one, against all ordered trees of up to 7 drafts."""

from functools import cache
from itertools import product

import numpy as np
import pytest

from host.plan import tree as tree_module
from host.plan.acceptance import AcceptanceTable
from host.plan.predict import tokens_per_call
from host.plan.shape import TreeShape, breadth_first
from host.plan.tree import deviation_of_shape, plan_tree, plan_trees, reach, tokens_of_shape
from hw.spec.errors import SpecError

# --- shapes -----------------------------------------------------------------------------------------------------------


def test_a_shape_by_hand() -> None:
    """Root with drafts 1 and 2; below 1 the drafts 3, 4, 5; below 2 draft 6; below 4 draft 7."""
    shape = TreeShape(children=(2, 3, 1, 0, 1, 0, 0, 0))
    assert (shape.nodes, shape.depth, shape.is_chain) == (7, 3, False)
    assert shape.parents == (-1, 0, 0, 1, 1, 1, 2, 4)
    assert shape.depths == (0, 1, 1, 2, 2, 2, 2, 3)
    assert (shape.inner_per_level, shape.drafts_per_level) == ((1, 2, 1), (2, 4, 1))
    assert [shape.child(1, place) for place in range(3)] == [3, 4, 5]
    assert list(shape) == [(0, 0, 1), (0, 1, 1), (1, 0, 2), (1, 1, 2), (1, 2, 2), (2, 0, 2), (4, 0, 3)]
    assert breadth_first([[(), [()], ()], [()]]) == shape


def test_chains() -> None:
    assert TreeShape.chain(3) == TreeShape(children=(1, 1, 1, 0))
    assert TreeShape.chain(0) == TreeShape(children=(0,))
    assert TreeShape.chain(3).is_chain


@pytest.mark.parametrize(
    ("children", "message"),
    [
        ((), "children = ()"),
        ([1, 0], "children = [1, 0]"),
        ((1,), "len(children) = 1"),
        ((0, 0), "children[1] = 0"),
        ((1, 0, 1, 0), "children[2] = 1"),
        ((2, 0), "len(children) = 2"),
        ((17, *[0] * 17), "children[0] = 17"),
        ((-1, 0), "children[0] = -1"),
        ((1.5, 0), "children[0] = 1.5"),
        ((1,) * 257 + (0,), "nodes = 257"),
    ],
)
def test_counts_of_no_tree(children, message: str) -> None:
    with pytest.raises(SpecError) as error:
        TreeShape(children=children)
    assert str(error.value).startswith(message)


def test_a_missing_child_is_refused() -> None:
    shape = TreeShape(children=(2, 0, 0))
    for node, place in ((1, 0), (0, 2), (3, 0), (0, -1)):
        with pytest.raises(SpecError):
            shape.child(node, place)


# --- all trees --------------------------------------------------------------------------------------------------------


@cache
def forests(nodes: int, roots: int) -> tuple:
    """All ordered forests of so many trees with so many nodes below their roots, nested."""
    if roots == 0:
        return ((),) if nodes == 0 else ()
    return tuple(
        (first, *others)
        for below in range(nodes + 1)
        for count in range(below + 1)
        for first in (forests(below - count, count) if (count or not below) else ())
        for others in forests(nodes - below, roots - 1)
    )


def all_shapes(nodes: int) -> list[TreeShape]:
    return [breadth_first(forest[0]) for forest in tree_of(nodes)]


def tree_of(nodes: int) -> tuple:
    return forests(nodes, 1)


def test_all_trees_are_counted() -> None:
    """Catalan numbers, and no shape twice."""
    assert [len(all_shapes(nodes)) for nodes in range(8)] == [1, 1, 2, 5, 14, 42, 132, 429]
    assert len({shape for nodes in range(8) for shape in all_shapes(nodes)}) == 626


def by_hand(trees, tables, depth: int = 0) -> float:
    """E of nested subtrees, from the subtrees' own."""
    shares = tables[min(depth, len(tables) - 1)].shares[len(trees)]
    return 1 + sum(share * by_hand(tree, tables, depth + 1) for share, tree in zip(shares, trees, strict=True))


def random_tables(rng: np.random.Generator, kind: str, count: int) -> list[AcceptanceTable]:
    tables = []
    for _ in range(count):
        if kind == "any":
            rows = [np.sort(rng.dirichlet(np.full(n + 1, 0.7)))[::-1][:n] for n in range(8)]
            tables.append(AcceptanceTable(shares=tuple(tuple(row.tolist()) for row in rows)))
        else:
            rising = [0.0, *np.sort(rng.beta(4, 1.5, 7)).tolist()]
            make = AcceptanceTable.symmetric if kind == "symmetric" else AcceptanceTable.sequential
            tables.append(make(rising))
    return tables


@pytest.mark.parametrize("kind", ["symmetric", "sequential", "any"])
@pytest.mark.parametrize("levels", [1, 3])
def test_the_plan_is_the_best_of_all_trees(kind: str, levels: int) -> None:
    """Every budget up to 7, every depth limit: the tokens of the best of all 626 trees, by a tree that has them."""
    rng = np.random.default_rng([levels, len(kind)])
    shapes = [(breadth_first(forest[0]), forest[0]) for nodes in range(8) for forest in tree_of(nodes)]
    for _ in range(2):
        tables = random_tables(rng, kind, levels)
        tokens = [(shape.nodes, shape.depth, by_hand(nested, tables)) for shape, nested in shapes]
        assert [tokens_of_shape(shape, tables) for shape, _ in shapes] == pytest.approx([t for *_, t in tokens])
        for budget, limit in product(range(8), (0, 1, 2, 3, None)):
            most = max(t for nodes, depth, t in tokens if nodes <= budget and (limit is None or depth <= limit))
            plan = plan_tree(tables=tables, budget=budget, depth_max=limit)
            assert plan.tokens_per_call == pytest.approx(most, abs=1e-11)
            assert plan.shape.nodes <= budget
            assert limit is None or plan.shape.depth <= limit


def test_all_trees_see_a_search_that_splits_budgets_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded bug: the children of a node get equal budgets, as in a symmetric tree."""

    def equal(shares, values):
        whole = [values[b // len(shares)] * sum(shares) for b in range(len(values))]
        return [np.array(whole)] + [np.zeros(len(values))] * len(shares)

    rng = np.random.default_rng(5)
    tables = random_tables(rng, "sequential", 1)
    right = plan_tree(tables=tables, budget=7).tokens_per_call
    monkeypatch.setattr(tree_module, "_suffixes", equal)
    assert plan_tree(tables=tables, budget=7).tokens_per_call < right - 1e-3


# --- what is known of the best ----------------------------------------------------------------------------------------


def test_a_chain_where_second_drafts_gain_too_little() -> None:
    """a_2 = a_1: nothing is gained by siblings, and the chain's closed form is the value."""
    plan = plan_tree(tables=[AcceptanceTable.symmetric([0.0, 0.8, 0.8, 0.8])], budget=20)
    assert plan.shape == TreeShape.chain(20)
    assert plan.tokens_per_call == pytest.approx(tokens_per_call(acceptance=0.8, length=20), abs=1e-12)


def test_a_star_where_depth_is_limited_to_one() -> None:
    table = AcceptanceTable.symmetric([0.0, 0.5, 0.7, 0.8, 0.8])
    assert plan_tree(tables=[table], budget=9, depth_max=1).shape == TreeShape(children=(3, 0, 0, 0))


def test_no_drafts_where_none_is_accepted() -> None:
    assert plan_tree(tables=[AcceptanceTable.symmetric([0.0, 0.0])], budget=9).shape == TreeShape(children=(0,))
    assert plan_tree(tables=[AcceptanceTable.symmetric([0.0, 0.9])], budget=0).tokens_per_call == 1.0


def test_a_sequential_rule_expands_the_first_child_more() -> None:
    plan = plan_tree(tables=[AcceptanceTable.sequential([0.0, 0.7, 0.9])], budget=9)
    below = [sum(1 for node in range(3, 10) if ancestor(plan.shape, node) == child) for child in (1, 2)]
    assert plan.shape.children[0] == 2
    assert below[0] > below[1] > 0


def ancestor(shape: TreeShape, node: int) -> int:
    while shape.depths[node] > 1:
        node = shape.parents[node]
    return node


def test_tables_of_depths_are_used_at_their_depth() -> None:
    """Only the second draft of a path is ever doubtful: siblings stand there."""
    sure, doubtful = AcceptanceTable.symmetric([0.0, 1.0, 1.0]), AcceptanceTable.symmetric([0.0, 0.2, 1.0])
    plan = plan_tree(tables=[sure, doubtful, sure], budget=5)
    assert (plan.shape.nodes, plan.shape.children[:2]) == (5, (1, 2))
    assert plan.tokens_per_call == 4.0


def test_budgets_together_are_budgets_alone() -> None:
    table = AcceptanceTable.symmetric([0.0, 0.75, 0.95, 1.0])
    together = plan_trees(tables=[table], budgets=[1, 5, 30, 12], depth_max=6)
    assert together == [plan_tree(tables=[table], budget=budget, depth_max=6) for budget in (1, 5, 30, 12)]


def test_a_large_budget_takes_seconds_at_most() -> None:
    """256 drafts: values grow with the budget, and the shape has them."""
    plans = plan_trees(tables=[AcceptanceTable.symmetric([0.0, 0.75, 0.95])], budgets=range(0, 257, 32))
    tokens = [plan.tokens_per_call for plan in plans]
    assert tokens == sorted(tokens)
    assert plans[-1].shape.nodes == 256


def test_deviation_is_that_of_the_enumerated_depths() -> None:
    shape = TreeShape(children=(2, 1, 2, 0, 0, 0))
    table = AcceptanceTable(shares=((), (0.6,), (0.5, 0.2)))
    reached = reach(shape, [table])
    assert reached == pytest.approx([1, 0.5, 0.2, 0.3, 0.1, 0.04])
    ends = {1: 1 - 0.7, 2: 0.7 - 0.44, 3: 0.44}
    mean = sum(tokens * chance for tokens, chance in ends.items())
    variance = sum((tokens - mean) ** 2 * chance for tokens, chance in ends.items())
    assert tokens_of_shape(shape, [table]) == pytest.approx(mean)
    assert deviation_of_shape(shape, [table]) == pytest.approx(variance**0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda table: plan_tree(tables=[], budget=3), "tables = 0"),
        (lambda table: plan_tree(tables=[table], budget=257), "budget = 257"),
        (lambda table: plan_tree(tables=[table], budget=3, depth_max=-1), "depth_max = -1"),
        (lambda table: tokens_of_shape(TreeShape(children=(3, 0, 0, 0)), [table]), "children[0] = 3"),
        (lambda table: reach(TreeShape.chain(1), []), "tables = 0"),
    ],
)
def test_bad_arguments(call, message: str) -> None:
    with pytest.raises(SpecError) as error:
        call(AcceptanceTable.symmetric([0.0, 0.5, 0.6]))
    assert str(error.value).startswith(message)
