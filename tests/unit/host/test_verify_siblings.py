# SPDX-License-Identifier: Apache-2.0
"""SiblingVerifier as a black box: its output law integrated over all drafts and decisions, and against the scalars."""

import itertools

import numpy as np
import pytest

from host.psi.law import DraftLaw
from host.tsu.base import Draws
from host.verify import siblings
from host.verify.gumbel import gumbel_token, position_uniforms
from host.verify.multi import (
    k_seq_acceptance,
    k_seq_gamma,
    optimal_acceptance,
    recursive_acceptance,
    verify_k_seq,
    verify_recursive,
)
from host.verify.race import Race, fit_race
from host.verify.siblings import METHODS, SiblingVerifier
from host.verify.single import SingleVerifier
from hw.spec.errors import SpecError
from tests.reference.decisions import decisions

SIZES = [(1, 1), (2, 1), (2, 3), (3, 2), (4, 2), *(pytest.param(v, 4, marks=pytest.mark.slow) for v in (3, 4))]
"""Pairs (V, n)."""


def small_law(rng: np.random.Generator, vocab_size: int) -> DraftLaw:
    """Some ids with weights of their own, the other tokens with one tail, which may have no weight."""
    k = int(rng.integers(1, vocab_size + 1))
    ids = np.sort(rng.choice(vocab_size, k, replace=False)).astype(np.uint32)
    tail = int(rng.integers(0, 50)) if k < vocab_size else 0
    weights = rng.integers(1, 100, k).astype(np.uint64)
    return DraftLaw(ids=ids, weights=weights, tail_weight=tail, vocab_size=vocab_size)


def cases(vocab_size: int, n: int, count: int) -> list[tuple[np.ndarray, DraftLaw]]:
    rng = np.random.default_rng([vocab_size, n, 7])
    return [(rng.dirichlet(np.full(vocab_size, 0.8)), small_law(rng, vocab_size)) for _ in range(count)]


def output_law(verifier: SiblingVerifier, q: np.ndarray) -> tuple[np.ndarray, float]:
    """Law of the emitted token and the chance that a draft is accepted, by running `decide` alone."""
    n, vocab_size = verifier.drafts, len(q)
    law, accepted = np.zeros(vocab_size), 0.0
    for drafts in itertools.product(range(vocab_size), repeat=n):
        chance = float(np.prod(q[list(drafts)]))
        if chance == 0:
            continue
        for token, place, share in decisions(verifier, drafts):
            law[token] += chance * share
            accepted += chance * share * (place is not None)
    return law, accepted


@pytest.mark.parametrize("method", METHODS[:3])
@pytest.mark.parametrize(("vocab_size", "n"), SIZES)
def test_output_law_is_p_and_acceptance_is_what_was_promised(vocab_size: int, n: int, method: str) -> None:
    """Every draft tuple, every decision, to 1e-12 (the intervals of the decisions are found to 2^-53)."""
    for p, law in cases(vocab_size, n, 2 if vocab_size**n > 100 else 6):
        verifier = SiblingVerifier(p=p, law=law, drafts=n, method=method)
        emitted, accepted = output_law(verifier, law.probabilities())
        assert np.abs(emitted - p).max() < 1e-12
        assert accepted == pytest.approx(verifier.acceptance, abs=1e-12)
        assert verifier.acceptance <= verifier.optimum + 1e-12


def biased_race(p: np.ndarray, law: DraftLaw, n: int) -> Race:
    q = law.probabilities()
    return Race(log_weights=fit_race(p, q, n).log_weights, chosen=q)


BIASES = {
    "race": lambda patch: patch.setattr(siblings, "fit_race_of_law", biased_race),
    "rrs": lambda patch: patch.setattr(siblings._Recursive, "_target", lambda self, refused: self._p),
    "kseq": lambda patch: patch.setattr(siblings, "k_seq_gamma", lambda p, q, n: 1.0),
}
"""Seeded bugs: acceptance against q in place of r, p again behind a refusal, the gamma of one draft."""


@pytest.mark.parametrize("method", BIASES)
def test_integration_sees_a_seeded_bug(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BIASES[method](monkeypatch)
    wrong = 0
    for p, law in cases(3, 2, 6):
        emitted, _ = output_law(SiblingVerifier(p=p, law=law, drafts=2, method=method), law.probabilities())
        wrong += np.abs(emitted - p).max() > 1e-3
    assert wrong >= 3


def wide_case(seed: int, n: int) -> tuple[np.ndarray, DraftLaw, np.ndarray]:
    """A target with zeros, a law of 12 ids and a tail over V = 60, and drafts of many decisions, shape (400, n)."""
    rng = np.random.default_rng([seed, n])
    p = rng.dirichlet(np.full(60, 0.3))
    p[rng.random(60) < 0.3] = 0.0
    p /= p.sum()
    ids = np.sort(np.argsort(-p)[:12]).astype(np.uint32)
    weights = np.maximum(1, p[ids] * 1e6 * rng.uniform(0.5, 2, 12)).astype(np.uint64)
    law = DraftLaw(ids=ids, weights=weights, tail_weight=300_000, vocab_size=60)
    q = law.probabilities()
    return p, law, rng.choice(60, (400, n), p=q / q.sum())


@pytest.mark.parametrize("n", [1, 2, 3, 8])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_vectorised_rules_are_the_scalar_references(seed: int, n: int) -> None:
    p, law, drafts = wide_case(seed, n)
    q = law.probabilities()
    rows, rng = (p.tolist(), q.tolist()), np.random.default_rng([seed, n, 1])
    gamma = k_seq_gamma(p, q, n)
    verifiers = {method: SiblingVerifier(p=p, law=law, drafts=n, method=method) for method in METHODS}
    places = set()
    for row in drafts.tolist():
        u = rng.random(n + 1)
        common = {"drafts": row, "p": rows[0], "q": rows[1], "u": u[:n].tolist(), "v": float(u[n])}
        wanted = verify_recursive(**common)
        assert verifiers["rrs"].decide(row, u) == wanted
        places.add(wanted.accepted)
        assert verifiers["kseq"].decide(row, u) == verify_k_seq(**common, gamma=gamma)
    assert places == {None, *range(n)}
    assert verifiers["rrs"].acceptance == pytest.approx(recursive_acceptance(p, q, n), abs=1e-12)
    assert verifiers["kseq"].acceptance == pytest.approx(k_seq_acceptance(p, q, n), abs=1e-12)
    assert all(verifier.optimum == optimal_acceptance(p, q, n) for verifier in verifiers.values())


@pytest.mark.parametrize("method", METHODS[:3])
def test_one_draft_is_verified_as_by_single_verifier(method: str) -> None:
    p, law, drafts = wide_case(5, 1)
    single = SingleVerifier(p=p, law=law)
    verifier = SiblingVerifier(p=p, law=law, drafts=1, method=method)
    tokens = drafts[:, 0].astype(np.uint32)
    draws = Draws(
        tokens=tokens, weights=law.weight_of(tokens), spreads=law.spread_of(tokens), total=law.total
    )  # fmt: skip
    uniforms = np.random.default_rng(6).random((len(tokens), verifier.uniforms))
    wanted = single.decide(draws, uniforms)
    got = [verifier.decide([int(x)], u) for x, u in zip(tokens, uniforms, strict=True)]
    assert [done.token for done in got] == wanted.tokens.tolist()
    assert [done.accepted == 0 for done in got] == wanted.accepted.tolist()
    assert 0 < wanted.accepted_count < len(tokens)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_all_methods_are_called_alike_and_never_emit_what_p_excludes(method: str, n: int) -> None:
    p, law, drafts = wide_case(7, n)
    verifier = SiblingVerifier(p=p, law=law, drafts=n, method=method)
    rng, kept = np.random.default_rng(3), 0
    for position, row in enumerate(drafts.tolist()):
        done = verifier.decide_at(row, seed=9, position=position)
        assert done == verifier.decide(row, position_uniforms(seed=9, position=position, count=verifier.uniforms))
        again = verifier.verify(row, rng)
        for outcome in (done, again):
            assert p[outcome.token] > 0
            assert outcome.accepted is None or row[outcome.accepted] == outcome.token
        kept += done.accepted is not None
    alpha = verifier.acceptance
    assert abs(kept - 400 * alpha) < 5 * (400 * alpha * (1 - alpha)) ** 0.5 + 1e-9
    if method == "gumbel":
        assert done.token == gumbel_token(p, seed=9, position=position)


def test_zero_uniform_numbers_do_not_pass_a_draft_of_probability_zero() -> None:
    p = np.array([0.0, 0.0, 1.0])
    law = DraftLaw(ids=np.array([0]), weights=np.array([5]), tail_weight=5, vocab_size=3)
    for method in METHODS:
        for n in (1, 2, 4):
            verifier = SiblingVerifier(p=p, law=law, drafts=n, method=method)
            assert verifier.decide([0] * n, np.zeros(verifier.uniforms)).token == 2


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"method": "best"}, "method"),
        ({"method": 3}, "method"),
        ({"drafts": 0}, "drafts"),
        ({"drafts": 65}, "drafts"),
        ({"p": np.full(4, 0.25)}, "shape of p"),
        ({"p": np.array([0.5, 0.6, 0.1])}, "sum of p"),
        ({"p": np.array([0.5, 0.6, -0.1])}, "p"),
    ],
)
def test_illegal_parameters_are_named(change: dict[str, object], field: str) -> None:
    law = DraftLaw(ids=np.array([0]), weights=np.array([5]), tail_weight=5, vocab_size=3)
    legal = {"p": np.full(3, 1 / 3), "law": law, "drafts": 2, "method": "race"}
    with pytest.raises(SpecError, match=f"^{field} = "):
        SiblingVerifier(**{**legal, **change})


@pytest.mark.parametrize("method", METHODS)
def test_illegal_drafts_and_numbers_are_named(method: str) -> None:
    law = DraftLaw(ids=np.array([0, 1]), weights=np.array([5, 5]), tail_weight=0, vocab_size=3)
    verifier = SiblingVerifier(p=np.full(3, 1 / 3), law=law, drafts=2, method=method)
    good = np.full(verifier.uniforms, 0.5)
    for drafts, uniforms, field in (
        ([0], good, r"len\(drafts\)"),
        ([0, 3], good, "draft"),
        ([0, -1], good, "draft"),
        ([0, 2], good, "draft"),
        ([0, 1], good[1:], "shape of uniforms"),
        ([0, 1], good + 0.5, "uniforms"),
        ([0, 1], np.full(verifier.uniforms, np.nan), "uniforms"),
    ):
        with pytest.raises(SpecError, match=f"^{field} = "):
            verifier.decide(drafts, uniforms)
    with pytest.raises(SpecError, match=r"^position = "):
        verifier.decide_at([0, 1], seed=1, position=-1)
