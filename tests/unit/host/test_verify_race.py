# SPDX-License-Identifier: Apache-2.0
"""The weighted race: the law to reach, the law of the chosen draft, acceptance on psi for n drafts and on odd laws."""

import math

import numpy as np
import pytest

from host.golden.exact import draft_law
from host.psi.craft import craft_psi
from host.verify.multi import optimal_acceptance
from host.verify.race import CELLS, cell_masses, fit_race, fit_race_of_law, ratio_cells
from host.verify.race_fit import MARGIN, levels
from host.verify.race_law import LAW_STEP, chosen_law
from hw.spec.config import TsuConfig


def psi_law(p: np.ndarray, n: int) -> np.ndarray:
    """F(psi) of K = 64 with the tail for n drafts."""
    return draft_law(craft_psi(p, min(64, len(p)), drafts=n), TsuConfig(), "table").probabilities()


def bar_targets(vocab_size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng([vocab_size, 1])
    zipf = rng.permutation(1 / np.arange(1, vocab_size + 1) ** 1.1)
    return {"dirichlet": rng.dirichlet(np.ones(vocab_size)), "zipf": zipf / zipf.sum()}


@pytest.mark.parametrize("n", [2, 3, 4, 8, 16])
@pytest.mark.parametrize("vocab_size", [500, 1000, 32_000])
def test_acceptance_is_that_of_the_optimum_on_a_psi_for_n_drafts(vocab_size: int, n: int) -> None:
    for p in bar_targets(vocab_size).values():
        q = psi_law(p, n)
        most = optimal_acceptance(p, q, n)
        race = fit_race(p, q, n)
        assert 0.999 * most <= race.acceptance(p) <= most + 1e-12
        assert abs(math.fsum(race.chosen) - 1) < 1e-12


def odd_case(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """Laws with zeros, one token, equal entries, huge ratios."""
    size = int(rng.choice([1, 2, 3, 5, 20, 64, 300, 2000]))
    p = [
        rng.dirichlet(np.full(size, rng.choice([0.05, 0.3, 1, 5]))),
        np.exp(rng.normal(size=size) * rng.uniform(0.2, 6)),
        rng.dirichlet(np.ones(size)) * (rng.random(size) < 0.5) + 1e-12,
        np.ones(size),
        np.eye(size)[rng.integers(size)],
    ][rng.integers(5)]
    p = p / p.sum()
    n = int(rng.choice([1, 2, 3, 4, 8, 16, 64]))
    q = [
        rng.dirichlet(np.full(size, rng.choice([0.3, 1, 5]))),
        p * np.exp(rng.normal(size=size) * rng.uniform(0.1, 3)) + 1e-9,
        rng.dirichlet(np.ones(size)) * (rng.random(size) < 0.5) + 0.01 * np.eye(size)[rng.integers(size)],
        p.copy(),
    ][rng.integers(4)]
    return p, q / q.sum(), n


def test_odd_laws_lose_little_and_raise_no_warning() -> None:
    rng = np.random.default_rng(11)
    for _ in range(300):
        p, q, n = odd_case(rng)
        race, most = fit_race(p, q, n), optimal_acceptance(p, q, n)
        assert 0.998 * most - 1e-9 <= race.acceptance(p) <= most + 1e-12
        assert abs(math.fsum(race.chosen) - 1) < 1e-12
        assert not race.chosen[q == 0].any()
        assert race.log_weights.max() <= 0


@pytest.mark.parametrize("n", [2, 3, 8])
def test_the_law_to_reach_keeps_every_bound_and_misses_no_more_than_any_rule(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(200):
        size = int(rng.choice([1, 2, 5, 60]))
        p, q = rng.dirichlet(np.full(size, 0.6)), rng.dirichlet(np.full(size, 2.0))
        order = np.argsort(p / q)
        p, q = p[order], q[order]
        low, high, optimum = levels(p, q, n)
        assert optimum == pytest.approx(optimal_acceptance(p, q, n), abs=1e-12)
        if low >= high:  # then q itself is nearer than the margin
            assert np.abs(p - q).sum() / 2 <= 1 - optimum + MARGIN * optimum + 1e-12
            continue
        reached = np.clip(p / q, low, high) * q
        assert reached.sum() == pytest.approx(1, abs=1e-12)
        assert (np.cumsum(reached) - np.cumsum(q) ** n).min() > -1e-12
        assert np.minimum(p, reached).sum() == pytest.approx(optimum * (1 - MARGIN), abs=1e-12)


def ref_two_tokens(q: float, w: float, n: int) -> float:
    """r of a token of weight w and probability q beside one of weight 1: a sum over how many drafts are that token."""
    return math.fsum(
        math.comb(n, k) * q**k * (1 - q) ** (n - k) * (k * w / (k * w + (n - k))) for k in range(1, n + 1)
    )  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 5, 16, 64, 200])
def test_law_of_the_chosen_draft_of_two_tokens(n: int) -> None:
    """Against the binomial sum, to 1e-12; a step of 0.45 in ln t is seen."""
    coarse = 0.0
    for q in (1e-6, 0.03, 0.5, 0.97):
        for log_weight in (0.0, -0.4, -3.0, -12.0, -30.0):
            wanted = ref_two_tokens(q, math.exp(log_weight), n)
            weights, masses = np.array([log_weight, 0.0]), np.array([q, 1 - q])
            assert np.abs(chosen_law(weights, masses, n) - [wanted, 1 - wanted]).max() < 1e-12
            coarse = max(coarse, abs(chosen_law(weights, masses, n, step=0.45)[0] - wanted))
    assert coarse > 1e-11 > 0 < LAW_STEP < 0.45


def test_cells_are_in_the_order_of_the_ratios() -> None:
    rng = np.random.default_rng(3)
    p, q = rng.dirichlet(np.full(5000, 0.3)), rng.dirichlet(np.full(5000, 0.3))
    q = np.maximum(q, 1e-30)
    p[:50] = 0.0
    cells = ratio_cells(p, q, 4)
    order = np.argsort(p / q)
    assert (np.diff(cells[order]) >= 0).all()
    assert cells.min() == 0
    assert (cells[p / q >= 4] == CELLS - 1).all()
    inner = (cells > 0) & (cells < CELLS - 1)
    low, high = ((p / q)[inner & (cells == c)] for c in np.unique(cells[inner])[[0, -1]])
    assert low.max() / low.min() - 1 < 1 / 256 > high.max() / high.min() - 1


def test_masses_of_equal_probabilities_do_not_drift() -> None:
    q = np.full(1 << 18, 1 / 3 / (1 << 18))
    q[0] += 2 / 3
    cells = np.zeros(len(q), dtype=np.int64)
    wanted = math.fsum(q)
    assert abs(cell_masses(cells, q, np.empty(len(q)))[0] - wanted) < 4e-16
    assert abs(np.bincount(cells, q)[0] - wanted) > 1e-13  # what it is there for


@pytest.mark.parametrize("n", [2, 4, 8, 16])
def test_the_race_of_a_psis_law(n: int) -> None:
    """Masses of the tail by counting its tokens: the race of all tokens, and r is the integral of its own weights."""
    rng = np.random.default_rng(n)
    logits = rng.normal(0, 3.5, 20_000)
    p, guess = (np.exp(x - x.max()) for x in (logits, logits + rng.normal(0, 1.0, len(logits))))
    p, guess = p / p.sum(), guess / guess.sum()
    law = draft_law(craft_psi(guess, 64, drafts=n), TsuConfig(k_max=64), "exp2")
    q = law.probabilities()
    whole, race = fit_race(p, q, n), fit_race_of_law(p, law, n)
    tokens = [int(law.ids[3]), 0, 19_999, int(p.argmax())]
    assert race.log_weights_of(tokens).tolist() == race.log_weights[tokens].tolist()
    assert [race.chosen_of(token) for token in tokens] == race.chosen[tokens].tolist()
    assert race.chosen.sum() == pytest.approx(1, abs=1e-12)
    assert race.acceptance(p) >= 0.999 * optimal_acceptance(p, q, n)
    assert race.acceptance(p) == pytest.approx(whole.acceptance(p), abs=1e-9)
    weights, group = np.unique(race.log_weights, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.searchsorted(group[order], np.arange(len(weights)))
    masses = np.add.reduceat(q[order].astype(np.longdouble), starts).astype(np.float64)
    wanted = chosen_law(weights, masses, n) / masses
    assert np.abs(race.chosen - q * wanted[group]).max() <= 1e-12
