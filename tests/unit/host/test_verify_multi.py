# SPDX-License-Identifier: Apache-2.0
"""n drafts of one position: output laws enumerated in rationals, the optimum by all subsets, the race near to it."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from host.psi.batch import craft_laws
from host.verify import multi
from host.verify.multi import (
    k_seq_acceptance,
    k_seq_gamma,
    k_seq_masses,
    optimal_acceptance,
    recursive_acceptance,
    verify_k_seq,
    verify_recursive,
)
from host.verify.race import Race, fit_race, verify_race
from host.verify.race_law import chosen_law
from host.verify.single import accept_probability, residual

Row = list[Fraction]


def random_pair(rng: np.random.Generator, vocab_size: int) -> tuple[Row, Row]:
    """Laws in twelfths, zeros among them."""
    return tuple(
        [Fraction(int(c), 12) for c in rng.multinomial(12, rng.dirichlet(np.full(vocab_size, rng.choice([0.6, 3.0]))))]
        for _ in range(2)
    )


def pairs(vocab_size: int, count: int):
    rng = np.random.default_rng(vocab_size)
    return [random_pair(rng, vocab_size) for _ in range(count)]


def tokens_of(run, masses: Row) -> dict[int, Fraction]:
    """Law of the token that `run(v)` gives, from its values at the beginnings of the intervals of `masses`."""
    law: dict[int, Fraction] = {}
    total, before = sum(masses), Fraction(0)
    for mass in masses:
        if mass > 0:
            token = run(before / total).token
            law[token] = law.get(token, Fraction(0)) + mass / total
            before += mass
    return law


def drafts_of(q: Row, n: int):
    for drafts in itertools.product(range(len(q)), repeat=n):
        chance = Fraction(1)
        for x in drafts:
            chance *= q[x]
        if chance:
            yield drafts, chance


def recursive_law(p: Row, q: Row, n: int) -> tuple[Row, Fraction]:
    """Output law of `verify_recursive` and its acceptance, by running it on all drafts and decisions."""
    law, accepted = [Fraction(0)] * len(p), Fraction(0)
    for drafts, chance in drafts_of(q, n):
        left, still, u = p, chance, []
        for place, x in enumerate(drafts):
            a = accept_probability(left[x], q[x])
            done = verify_recursive(drafts=drafts, p=p, q=q, u=[*u, Fraction(0), *[Fraction(1)] * n][:n], v=Fraction(0))
            if a > 0:
                assert (done.token, done.accepted) == (x, place)
                law[x] += still * a
                accepted += still * a
            still, u = still * (1 - a), [*u, a]
            if still == 0:
                break
            masses = residual(left, q)
            left = [mass / sum(masses) for mass in masses]
        if still:
            end = lambda v, d=drafts, u=u: verify_recursive(drafts=d, p=p, q=q, u=u, v=v)  # noqa: E731
            assert end(Fraction(0)).accepted is None
            for token, share in tokens_of(end, left).items():
                law[token] += still * share
    return law, accepted


def k_seq_law(p: Row, q: Row, n: int, gamma: Fraction) -> tuple[Row, Fraction]:
    law, accepted = [Fraction(0)] * len(p), Fraction(0)
    for drafts, chance in drafts_of(q, n):
        still, u = chance, []
        for place, x in enumerate(drafts):
            a = accept_probability(p[x], gamma * q[x])
            if a > 0:
                passing = [*u, Fraction(0), *[Fraction(1)] * n][:n]
                done = verify_k_seq(drafts=drafts, p=p, q=q, gamma=gamma, u=passing, v=Fraction(0))
                assert (done.token, done.accepted) == (x, place)
                law[x] += still * a
                accepted += still * a
            still, u = still * (1 - a), [*u, a]
        if still:
            end = lambda v, d=drafts, u=u: verify_k_seq(drafts=d, p=p, q=q, gamma=gamma, u=u, v=v)  # noqa: E731
            masses = k_seq_masses(p, q, gamma, n)
            for token, share in tokens_of(end, masses if any(masses) else p).items():
                law[token] += still * share
    return law, accepted


def floats(*rows: Row) -> list[np.ndarray]:
    return [np.array([float(x) for x in row]) for row in rows]


@pytest.mark.parametrize(("vocab_size", "n", "count"), [(2, 1, 30), (3, 2, 30), (4, 2, 20), (3, 3, 15), (4, 4, 3)])
def test_output_laws_are_p_exactly(vocab_size: int, n: int, count: int) -> None:
    for p, q in pairs(vocab_size, count):
        law, accepted = recursive_law(p, q, n)
        assert law == p
        assert recursive_acceptance(*floats(p, q), n) == pytest.approx(float(accepted), abs=1e-12)
        root = k_seq_gamma(*floats(p, q), n)
        gamma = Fraction(-(-root * 1000 // 1).__int__(), 1000) if n > 1 else Fraction(1)  # rounded up: still legal
        law, accepted = k_seq_law(p, q, n, gamma)
        assert law == p
        assert k_seq_acceptance(*floats(p, q), n) == pytest.approx(float(accepted), abs=2e-3)


def test_enumeration_sees_a_gamma_that_is_too_small() -> None:
    """Seeded bug: gamma = 1 for two drafts accepts more than the residual can make good."""
    wrong = [k_seq_law(p, q, 2, Fraction(1))[0] != p for p, q in pairs(3, 30)]
    assert sum(wrong) > 5


def test_enumeration_sees_a_residual_that_is_not_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded bug: the second draft meets p again in place of the residual."""
    cases = [(p, q) for p, q in pairs(3, 30) if sum(residual(p, q)) > 0]
    monkeypatch.setattr(multi, "correction", lambda p, q: list(p))
    wrong = 0
    for p, q in cases:
        try:
            wrong += recursive_law(p, q, 2)[0] != p
        except AssertionError:
            wrong += 1
    assert wrong > 5


@pytest.mark.parametrize("vocab_size", [1, 2, 3, 5])
def test_optimum_is_the_least_over_all_sets(vocab_size: int) -> None:
    for p, q in pairs(vocab_size, 60):
        for n in (1, 2, 3, 8):
            sets = itertools.chain.from_iterable(
                itertools.combinations(range(vocab_size), size) for size in range(vocab_size + 1)
            )
            least = min(sum(p[x] for x in held) - sum(q[x] for x in held) ** n for held in sets)
            assert optimal_acceptance(*floats(p, q), n) == pytest.approx(float(1 + least), abs=1e-12)


def test_gamma_is_the_least_legal_one() -> None:
    """At gamma the refused mass makes good what is accepted, and at a gamma 1e-6 smaller it does not."""
    rng = np.random.default_rng(9)
    seen = 0
    for _ in range(300):
        size, n = int(rng.choice([1, 2, 5, 300])), int(rng.choice([1, 2, 3, 8, 16]))
        p, q = rng.dirichlet(np.full(size, 0.5)), rng.dirichlet(np.full(size, 0.5))
        gamma = k_seq_gamma(p, q, n)
        assert 1 <= gamma <= n

        def excess(at: float, p: np.ndarray = p, q: np.ndarray = q, n: int = n) -> float:
            beta = np.minimum(q, p / at).sum()
            return float(1 - (1 - beta) ** n - at * beta)

        assert excess(gamma) < 1e-14
        if 1 + 1e-5 < gamma and (1 - np.minimum(q, p / gamma).sum()) ** n > 1e-6:
            seen += 1
            assert excess(gamma * (1 - 1e-6)) > 1e-14
    assert seen > 50
    nothing = np.array([1.0, 0.0])
    assert 1 <= k_seq_gamma(nothing, nothing[::-1], 4) <= 4


def targets(vocab_size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(vocab_size)
    zipf = 1 / np.arange(1, vocab_size + 1) ** 1.1
    return {"dirichlet": rng.dirichlet(np.ones(vocab_size)), "sparse": rng.dirichlet(np.full(vocab_size, 0.5)),
            "zipf": zipf / zipf.sum()}  # fmt: skip


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("vocab_size", [500, 1000])
def test_the_race_accepts_nearly_the_optimum(vocab_size: int, n: int) -> None:
    """At K = 64: 0.999 of the optimum, where the two baselines reach 0.84 to 0.99 and never more than it."""
    for p in targets(vocab_size).values():
        q = craft_laws(p[None], 64)[0]
        most = optimal_acceptance(p, q, n)
        fitted = fit_race(p, q, n)
        assert abs(fitted.chosen.sum() - 1) < 1e-12
        assert 0.999 * most <= fitted.acceptance(p) <= most + 1e-12
        for baseline in (recursive_acceptance(p, q, n), k_seq_acceptance(p, q, n)):
            assert baseline <= most + 1e-12
            assert n == 1 or baseline < fitted.acceptance(p)


def chosen_by_enumeration(q: np.ndarray, weights: np.ndarray, n: int) -> np.ndarray:
    """r from its definition: over all drafts."""
    law = np.zeros(len(q))
    for drafts in itertools.product(range(len(q)), repeat=n):
        chance, total = np.prod(q[list(drafts)]), weights[list(drafts)].sum()
        for x in drafts:
            law[x] += chance * weights[x] / total
    return law


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("vocab_size", [1, 2, 3, 4])
def test_law_of_the_chosen_draft_is_that_of_its_definition(vocab_size: int, n: int) -> None:
    """The quadrature against all draft tuples, to 1e-12: fitted weights, and ones that are far apart."""
    rng = np.random.default_rng([vocab_size, n])
    for _ in range(25):
        p, q = rng.dirichlet(np.full(vocab_size, 0.5)), rng.dirichlet(np.full(vocab_size, 0.5))
        fitted = fit_race(p, q, n)
        wanted = chosen_by_enumeration(q, np.exp(fitted.log_weights), n)
        assert np.abs(fitted.chosen - wanted).max() < 1e-12
        logs = -rng.random(vocab_size) * rng.choice([1.0, 30.0])
        law = chosen_law(logs - logs.max(), q, n)
        assert np.abs(law - chosen_by_enumeration(q, np.exp(logs - logs.max()), n)).max() < 1e-12


def output_of_race(p: np.ndarray, q: np.ndarray, fitted: Race, n: int) -> np.ndarray:
    """Law of what `verify_race` emits: run on all drafts, all choices, and both decisions of each."""
    output = np.zeros(len(p))
    masses = np.maximum(p - fitted.chosen, 0)
    steps = (np.cumsum(masses) - masses / 2) / masses.sum()  # the middle of each token's interval
    for drafts in itertools.product(range(len(p)), repeat=n):
        weights = np.exp(fitted.log_weights[list(drafts)])
        shares = weights / weights.sum()
        for place, x in enumerate(drafts):
            choice = np.prod(q[list(drafts)]) * shares[place]
            first = shares[:place].sum() + shares[place] / 2
            a = min(1.0, p[x] / fitted.chosen[x])
            done = verify_race(drafts=drafts, p=p, race=fitted, uniforms=np.array([first, a / 2, 0.5]))
            assert (done.token, done.accepted) == (x, place)
            output[x] += choice * a
            for token in np.flatnonzero(masses) if a < 1 - 1e-9 else []:
                refused = np.array([first, (1 + a) / 2, steps[token]])
                done = verify_race(drafts=drafts, p=p, race=fitted, uniforms=refused)
                assert done.accepted is None
                output[done.token] += choice * (1 - a) * masses[token] / masses.sum()
    return output


@pytest.mark.parametrize(("vocab_size", "n"), [(2, 1), (3, 2), (4, 2), (3, 3), (4, 4)])
def test_what_a_race_emits_has_law_p(vocab_size: int, n: int) -> None:
    rng = np.random.default_rng([vocab_size, n, 1])
    for _ in range(8):
        p, q = rng.dirichlet(np.full(vocab_size, 1.5)), rng.dirichlet(np.full(vocab_size, 1.5))
        assert np.abs(output_of_race(p, q, fit_race(p, q, n), n) - p).max() < 1e-12


def test_enumeration_sees_a_race_that_accepts_against_the_drafts_law() -> None:
    """Seeded bug: p / q in place of p / r."""
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.5, 0.3])
    fitted = fit_race(p, q, 3)
    assert np.abs(output_of_race(p, q, fitted, 3) - p).max() < 1e-12
    assert np.abs(output_of_race(p, q, Race(log_weights=fitted.log_weights, chosen=q), 3) - p).max() > 0.02
