# SPDX-License-Identifier: Apache-2.0
"""The tail for n drafts: near the best of all tails, found by search, and what a race makes of it."""

import numpy as np
import pytest

from host.golden.real import probabilities
from host.psi.craft import craft_psi
from host.psi.tail import tail_share
from host.verify.multi import optimal_acceptance
from host.verify.race import fit_race
from hw.spec.errors import SpecError

V, K = 1000, 64


def targets() -> dict[str, np.ndarray]:
    zipf = 1 / np.arange(1, V + 1) ** 1.1
    return {"zipf": zipf / zipf.sum(), "dirichlet": np.random.default_rng(0).dirichlet(np.ones(V))}


def law_with(p: np.ndarray, share: float) -> np.ndarray:
    """The K best tokens as p has them, and a tail of this share."""
    carried = np.zeros(len(p), dtype=bool)
    carried[np.argsort(-p)[:K]] = True
    return np.where(carried, p / p[carried].sum() * (1 - share), share / (len(p) - K))


@pytest.mark.parametrize("n", [2, 3, 4, 8])
@pytest.mark.parametrize("name", ["zipf", "dirichlet"])
def test_no_other_tail_gives_a_better_optimum(name: str, n: int) -> None:
    p = targets()[name]
    others = np.sort(p)[: V - K]
    found = optimal_acceptance(p, law_with(p, tail_share(others, n)), n)
    best = max(optimal_acceptance(p, law_with(p, share), n) for share in np.linspace(0.002, 0.998, 500))
    assert found > best - 1e-3
    assert found >= optimal_acceptance(p, law_with(p, others.sum()), n) - 1e-9


@pytest.mark.parametrize(("name", "bar", "single"), [("zipf", 0.984, 0.954), ("dirichlet", 0.947, 0.935)])
def test_two_drafts_through_psi(name: str, bar: float, single: float) -> None:
    """The bars of the issue at K = 64; with the tail for one draft they are missed."""
    p = targets()[name]
    q = probabilities(craft_psi(p, K, drafts=2))
    accepted = fit_race(p, q, 2).acceptance(p)
    assert accepted >= max(bar, 0.999 * optimal_acceptance(p, q, 2))
    assert optimal_acceptance(p, probabilities(craft_psi(p, K)), 2) < single


def test_one_draft_leaves_the_tail_as_it_is() -> None:
    p = targets()["zipf"]
    assert craft_psi(p, K, drafts=1) == craft_psi(p, K)
    others = np.sort(p)[: V - K]
    at_leftover, found = (optimal_acceptance(p, law_with(p, s), 1) for s in (others.sum(), tail_share(others, 1)))
    assert found - 1e-3 < at_leftover <= found + 1e-12
    assert craft_psi(p, K, eps=1e-4, drafts=4) == craft_psi(p, K, eps=1e-4)


def test_limits() -> None:
    assert tail_share(np.empty(0), 4) == 0.0
    assert craft_psi(np.array([0.5, 0.5]), 2, drafts=4).tail == 0.0
    for drafts in (0, 65):
        with pytest.raises(SpecError, match=f"drafts = {drafts} is not legal"):
            craft_psi(np.array([0.5, 0.5]), 2, drafts=drafts)
