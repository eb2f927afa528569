# SPDX-License-Identifier: Apache-2.0
"""The drafter-invariant token: its generator, its law by integration of the decision, its acceptance."""

import itertools
import math

import numpy as np
import pytest

from host.psi.law import DraftLaw
from host.verify import gumbel
from host.verify.gumbel import coupled_acceptance, gumbel_acceptance, gumbel_token, position_uniforms, race_winner
from host.verify.siblings import SiblingVerifier
from hw.spec.errors import SpecError

ONES = (1 << 64) - 1

RANDOM123 = [
    ((0, 0, 0, 0), (0, 0), (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)),
    ((ONES,) * 4, (ONES,) * 2, (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0)),
]
"""Counter, key and block of philox4x64-10, from the known-answer file of Random123."""


def ref_philox(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """One block, from the definition (Salmon et al., SC 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high0, low0 = divmod(0xD2E7470EE14C6C93 * c[0], 1 << 64)
        high1, low1 = divmod(0xCA5A826395121157 * c[2], 1 << 64)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B97F4A7C15) & ONES, (k[1] + 0xBB67AE8584CAA73B) & ONES]
    return tuple(c)


@pytest.mark.parametrize(("counter", "key", "block"), RANDOM123)
def test_reference_generator_gives_the_published_blocks(counter, key, block) -> None:
    assert ref_philox(counter, key) == block


@pytest.mark.parametrize(("seed", "position"), [(0, 0), (7, 1), (ONES, ONES), (11, 1 << 40)])
def test_uniforms_are_the_upper_bits_of_the_generators_words(seed: int, position: int) -> None:
    words = [word for block in range(1, 4) for word in ref_philox((block, 0, 0, position), (seed, 0))]
    wanted = [(word >> 11) / 2**53 for word in words]
    assert position_uniforms(seed=seed, position=position, count=12).tolist() == wanted
    assert position_uniforms(seed=seed, position=position, count=5).tolist() == wanted[:5]


def random_target(rng: np.random.Generator, vocab_size: int) -> np.ndarray:
    return rng.dirichlet(np.full(vocab_size, rng.choice([0.4, 1.0, 5.0])))


def winner_law(p: np.ndarray, winner) -> np.ndarray:
    """Law of the winner: the least time of the others is exponential; the share of U_x that beats it is found by
    bisection on the decision, and integrated over the logarithm of that time (trapezoidal sum)."""
    law, step = np.zeros(len(p)), 0.125
    for x in range(len(p)):
        others = np.flatnonzero((np.arange(len(p)) != x) & (p > 0))
        rate = p[others].sum()
        for t in np.exp(np.arange(-36.0, 5.5, step)) if rate else []:
            for second in others:  # each of the others in turn is the one that has this time
                u = np.exp(-p * t * 1.5)
                u[second] = np.exp(-p[second] * t)
                low, high = 0.0, 1.0
                while (middle := (low + high) / 2) not in (low, high):
                    u[x] = middle
                    low, high = (low, middle) if winner(p, np.minimum(u, 1 - 2.0**-53)) == x else (middle, high)
                density = p[second] * math.exp(-rate * t)
                law[x] += step * t * density * (1 - high)
    return law


@pytest.mark.slow
@pytest.mark.parametrize("vocab_size", [2, 3, 4])
def test_law_of_the_token_is_p_by_integration_of_the_decision(vocab_size: int) -> None:
    p = random_target(np.random.default_rng(vocab_size), vocab_size)
    assert np.abs(winner_law(p, race_winner) - p).max() < 1e-12
    wrong = winner_law(p, lambda p, u: int((p * u).argmax()))  # seeded bug: not exponential
    assert np.abs(wrong - p).max() > 1e-3


def test_regions_of_the_decision() -> None:
    """x wins exactly where -ln U_x / p(x) is least; at V = 2 to 6, zeros in p among them, no logarithm saved."""
    rng = np.random.default_rng(1)
    for _ in range(3000):
        p = random_target(rng, int(rng.integers(2, 7)))
        p[rng.random(len(p)) < 0.2] = 0.0
        if not p.any():
            continue
        p /= p.sum()
        u = rng.random(len(p)) ** rng.choice([0.01, 1.0, 30.0])
        u = np.minimum(np.where(rng.random(len(p)) < 0.1, 0.0, u), 1 - 2.0**-53)
        times = [-math.log(u_x) / p_x if u_x > 0 and p_x > 0 else math.inf for u_x, p_x in zip(u, p, strict=True)]
        token = race_winner(p, u)
        assert p[token] > 0
        assert times[token] <= min(times) * (1 + 1e-15)


def test_the_text_does_not_depend_on_the_drafter() -> None:
    rng = np.random.default_rng(2)
    p = rng.dirichlet(np.full(200, 0.5))
    for position in range(40):
        token = gumbel_token(p, seed=5, position=position)
        for n in (1, 3, 8):
            ids = np.sort(rng.choice(200, 20, replace=False)).astype(np.uint32)
            law = DraftLaw(ids=ids, weights=rng.integers(1, 999, 20), tail_weight=400, vocab_size=200)
            verifier = SiblingVerifier(p=p, law=law, drafts=n, method="gumbel")
            drafts = rng.integers(0, 200, n).tolist()
            done = verifier.decide_at(drafts, seed=5, position=position)
            assert done.token == token
            assert (done.accepted is not None) == (token in drafts)


def chi_squared(p: np.ndarray, tokens: list[int]) -> float:
    expected = p * len(tokens)
    return float(((np.bincount(tokens, minlength=len(p)) - expected) ** 2 / expected).sum())


def test_tokens_of_many_positions_and_seeds_follow_p(monkeypatch: pytest.MonkeyPatch) -> None:
    """N = 6000 over 8 tokens; the quantile of chi-squared with 7 degrees of freedom at alpha = 1e-6 is 40.5."""
    p = np.array([0.3, 0.2, 0.15, 0.1, 0.1, 0.08, 0.05, 0.02])
    assert chi_squared(p, [gumbel_token(p, seed=3, position=i) for i in range(6000)]) < 40.5
    assert chi_squared(p, [gumbel_token(p, seed=i, position=3) for i in range(6000)]) < 40.5
    monkeypatch.setattr(gumbel, "race_winner", lambda p, u: int((p * u).argmax()))  # seeded bug: not exponential
    assert chi_squared(p, [gumbel_token(p, seed=3, position=i) for i in range(6000)]) > 40.5


@pytest.mark.parametrize("n", [1, 2, 4])
def test_acceptance_is_the_chance_that_the_token_is_among_the_drafts(n: int) -> None:
    rng = np.random.default_rng(n)
    for tail in (0, 3, 40):
        p = random_target(rng, 4)
        law = DraftLaw(ids=np.array([0, 2]), weights=np.array([9, 4]), tail_weight=tail, vocab_size=4)
        q = law.probabilities()
        met = sum(
            np.prod(q[list(drafts)]) * p[sorted(set(drafts))].sum() for drafts in itertools.product(range(4), repeat=n)
        )
        assert gumbel_acceptance(p, law, n) == pytest.approx(met, abs=1e-12)


def test_acceptance_of_the_coupled_drafter() -> None:
    """Against the double sum, its bound, and 10^5 coupled races (4.9 standard deviations: alpha = 1e-6)."""
    rng = np.random.default_rng(4)
    for vocab_size in (1, 2, 5, 30):
        p, q = random_target(rng, vocab_size), random_target(rng, vocab_size)
        if vocab_size > 2:
            p[0] = q[1] = 0.0
            p, q = p / p.sum(), q / q.sum()
        wanted = sum(
            1 / sum(max(p_y / p_x, q_y / q_x) for p_y, q_y in zip(p, q, strict=True))
            for p_x, q_x in zip(p, q, strict=True)
            if p_x > 0 and q_x > 0
        )
        got = coupled_acceptance(p, q)
        assert got == pytest.approx(wanted, abs=1e-12)
        distance = np.abs(p - q).sum() / 2
        assert (1 - distance) / (1 + distance) - 1e-12 <= got <= 1 - distance + 1e-12
        with np.errstate(divide="ignore"):
            races = rng.exponential(size=(100_000, vocab_size))
            same = ((races / p).argmin(axis=1) == (races / q).argmin(axis=1)).mean()
        assert abs(same - got) < 4.9 * math.sqrt(got * (1 - got) / 100_000) + 1e-12


@pytest.mark.parametrize("field", ["seed", "position", "count"])
def test_numbers_outside_their_range_are_named(field: str) -> None:
    for value in (-1, 1 << 64, 0.5):
        with pytest.raises(SpecError, match=f"^{field} = "):
            position_uniforms(**{"seed": 1, "position": 2, "count": 3, field: value})
    with pytest.raises(SpecError, match=r"^sum of p = "):
        gumbel_token(np.array([0.5, 0.6]), seed=1, position=1)
