# SPDX-License-Identifier: Apache-2.0
"""Modelled times: parts by hand, the published speed-up as a special case, the fastest of many trees."""

import math

import pytest

from host.plan.acceptance import AcceptanceTable
from host.plan.cost import ASSUMPTIONS, CostModel, fastest, price_trees
from host.plan.predict import tokens_per_call, walltime_speedup
from host.plan.shape import TreeShape
from hw.spec.errors import SpecError

TABLE = AcceptanceTable.symmetric([0.0, 0.75, 0.95, 1.0])

COST = CostModel(
    target_ms=20.0, node_ms=0.5, bytes_per_s=1e6, latency_ms=0.25, psi_bytes=100.0, draw_bytes=10.0,
    draws_per_s=1e6, proposer_ms=2.0, verifier_ms=0.125,
)  # fmt: skip


def test_parts_by_hand() -> None:
    """Root with 2 drafts, the first of them with 3: 2 levels, 2 psi, 5 draws."""
    call = COST.call(TreeShape(children=(2, 3, 0, 0, 0, 0)))
    assert call.proposer_ms == 4.0
    assert call.psi_ms == pytest.approx(0.2)
    assert call.latency_ms == 0.5
    assert call.sampling_ms == pytest.approx(0.005)
    assert call.reply_ms == pytest.approx(0.05)
    assert call.target_ms == 22.5
    assert call.verifier_ms == 0.125
    assert call.total_ms == pytest.approx(27.38)
    assert COST.speedup(TreeShape(children=(2, 3, 0, 0, 0, 0)), 2.5) == pytest.approx(50 / 27.38)


def test_without_drafts_nothing_is_gained_or_lost() -> None:
    assert COST.speedup(TreeShape(children=(0,)), 1.0) == 1.0


@pytest.mark.parametrize("length", [1, 3, 8])
@pytest.mark.parametrize("acceptance", [0.4, 0.75, 0.95])
def test_a_chain_is_the_published_case(acceptance: float, length: int) -> None:
    """c is all that a level takes, over a pass: proposer, one psi, one draw both ways, latency."""
    cost = CostModel(
        target_ms=20.0, bytes_per_s=1e6, latency_ms=0.25, psi_bytes=100.0, draw_bytes=10.0, draws_per_s=1e6,
        proposer_ms=2.0,
    )  # fmt: skip
    level_ms = 2.0 + 0.1 + 0.01 + 0.001 + 0.25
    tokens = tokens_per_call(acceptance=acceptance, length=length)
    wanted = walltime_speedup(acceptance=acceptance, length=length, cost=level_ms / 20)
    assert cost.speedup(TreeShape.chain(length), tokens) == pytest.approx(wanted, rel=1e-12)
    wrong = walltime_speedup(acceptance=acceptance, length=length, cost=(level_ms - 0.1) / 20)  # psi forgotten
    assert cost.speedup(TreeShape.chain(length), tokens) != pytest.approx(wrong, rel=1e-3)


def test_an_infinite_link_and_tsu_cost_nothing() -> None:
    call = CostModel(target_ms=1.0, psi_bytes=1e6, draw_bytes=1e6).call(TreeShape.chain(4))
    assert (call.psi_ms, call.reply_ms, call.sampling_ms, call.total_ms) == (0.0, 0.0, 0.0, 1.0)


def test_the_fastest_changes_with_the_price_of_a_draft() -> None:
    """A dear line wants few drafts, a free one many; what is best is at least as fast as every other."""
    found = []
    for bytes_per_s in (5e3, 1e6, math.inf):
        cost = CostModel(target_ms=20.0, bytes_per_s=bytes_per_s, psi_bytes=100.0, draw_bytes=10.0, proposer_ms=0.1)
        priced = price_trees(tables=[TABLE], cost=cost, budgets=[2, 4, 8, 16, 32], depths=range(1, 9))
        best = fastest(priced)
        assert best.speedup == max(tree.speedup for tree in priced)
        assert len({tree.plan.shape for tree in priced}) == len(priced)
        assert {TreeShape.chain(depth) for depth in range(1, 9)} <= {tree.plan.shape for tree in priced}
        found.append(best.plan.shape.nodes)
    assert found[0] < found[1] <= found[2] == 32


def test_every_number_and_assumption_is_shown() -> None:
    lines = COST.lines()
    assert lines[:3] == ["target_ms=20", "node_ms=0.5", "bytes_per_s=1e+06"]
    assert lines[-len(ASSUMPTIONS) :] == [f"assumption={sentence}" for sentence in ASSUMPTIONS]
    assert len(lines) == 9 + len(ASSUMPTIONS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: CostModel(target_ms=0.0), "target_ms = 0.0"),
        (lambda: CostModel(target_ms=math.inf), "target_ms = inf"),
        (lambda: CostModel(target_ms=1.0, node_ms=-1.0), "node_ms = -1.0"),
        (lambda: CostModel(target_ms=1.0, bytes_per_s=0.0), "bytes_per_s = 0.0"),
        (lambda: CostModel(target_ms=1.0, draws_per_s=math.nan), "draws_per_s = nan"),
        (lambda: CostModel(target_ms=1.0, proposer_ms=True), "proposer_ms = True"),
        (lambda: COST.speedup(TreeShape.chain(2), 3.5), "tokens_per_call = 3.5"),
        (lambda: price_trees(tables=[TABLE], cost=COST, budgets=[0], depths=[1]), "budget = 0"),
        (lambda: price_trees(tables=[TABLE], cost=COST, budgets=[1], depths=[0]), "depth_max = 0"),
    ],
)
def test_bad_arguments(call, message: str) -> None:
    with pytest.raises(SpecError) as error:
        call()
    assert str(error.value).startswith(message)
