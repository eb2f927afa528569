# SPDX-License-Identifier: Apache-2.0
"""Verifier, L = 1: output law enumerated in rationals, float tables to 1e-12, vectorised equal to scalar."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from host.psi.law import DraftLaw
from host.tsu.base import Draws
from host.verify.single import (
    LawMismatchError,
    SingleVerifier,
    accept_probability,
    draw_from,
    expected_acceptance,
    residual,
    verify_one,
)
from hw.spec.errors import SpecError

ZERO, ONE = Fraction(0), Fraction(1)


def make_law(ids: list[int], weights: list[int], tail_weight: int, vocab_size: int) -> DraftLaw:
    """A law from its integers."""
    return DraftLaw(
        ids=np.array(ids, dtype=np.uint32),
        weights=np.array(weights, dtype=np.uint64),
        tail_weight=tail_weight,
        vocab_size=vocab_size,
    )


def report(law: DraftLaw, drafts: np.ndarray, **changes: object) -> Draws:
    """The draws an honest TSU reports for `drafts`."""
    fields: dict[str, object] = {
        "tokens": drafts.astype(np.uint32),
        "weights": law.weight_of(drafts),
        "spreads": law.spread_of(drafts),
        "total": law.total,
    }
    return Draws(**{**fields, **changes})


def small_laws() -> list[DraftLaw]:
    """Laws over 1..4 tokens: every K, every subset of ids, several integer weights, tail 0 and more."""
    laws = []
    for vocab_size in range(1, 5):
        for k in range(1, vocab_size + 1):
            for ids in itertools.combinations(range(vocab_size), k):
                for weights in ([1] * k, [3, 1, 2, 1][:k]):
                    laws += [
                        make_law(list(ids), weights, tail, vocab_size)
                        for tail in ((0, 1, 5) if k < vocab_size else (0,))
                    ]
    return laws


def small_targets(vocab_size: int) -> list[list[Fraction]]:
    """Every p with entries in fourths or sixths, zeros and point masses included."""
    targets = []
    for parts in (4, 6):
        for cut in itertools.product(range(parts + 1), repeat=vocab_size):
            if sum(cut) == parts:
                targets.append([Fraction(c, parts) for c in cut])
    return targets[:: 1 if vocab_size < 4 else 3]


def enumerate_output(p: list[Fraction], q: list[Fraction]) -> list[Fraction]:
    """Output law of `verify_one`, by running it on every draft and on every decision of an exact grid.

    u runs over j / D, D the denominator of the acceptance probability: the share of accepted j is that probability.
    v runs over j / M, M a common denominator of the steps of the recovered token's cumulative law.
    """
    output = [ZERO] * len(p)
    for draft, q_x in enumerate(q):
        if q_x == 0:
            continue
        grid_u = accept_probability(p[draft], q_x).denominator
        masses = residual(p, q)
        total = sum(masses, ZERO)
        grid_v = 1
        for mass in masses if total else []:
            grid_v = int(np.lcm(grid_v, (mass / total).denominator))
        cell = q_x / (grid_u * grid_v)
        for j, i in itertools.product(range(grid_u), range(grid_v)):
            token, _ = verify_one(draft=draft, p=p, q=q, u=Fraction(j, grid_u), v=Fraction(i, grid_v))
            output[token] += cell
    return output


def test_output_law_is_p_exactly() -> None:
    """Every small law against every small target: the enumerated output equals p as rationals."""
    cases = 0
    for law in small_laws():
        q = [law.q(token) for token in range(law.vocab_size)]
        for p in small_targets(law.vocab_size):
            assert enumerate_output(p, q) == p, (law, p)
            cases += 1
    assert cases > 5000


def test_enumeration_sees_a_wrong_residual() -> None:
    """The same enumeration with the recovered token taken from p does not give p: the check can fail."""
    p, q = [Fraction(1, 4), Fraction(3, 4)], [Fraction(1, 2), Fraction(1, 2)]
    output = [min(a, b) for a, b in zip(p, q, strict=True)]
    refused = ONE - sum(output)
    assert [o + refused * a for o, a in zip(output, p, strict=True)] != p
    assert enumerate_output(p, q) == p


def test_comparison_is_strict() -> None:
    """u = 0 does not accept a draft with p = 0, and u equal to the ratio refuses."""
    p, q = [ZERO, ONE], [Fraction(1, 2), Fraction(1, 2)]
    assert verify_one(draft=0, p=p, q=q, u=ZERO, v=ZERO) == (1, False)
    p = [Fraction(1, 4), Fraction(3, 4)]
    assert verify_one(draft=0, p=p, q=q, u=Fraction(1, 2), v=ZERO) == (1, False)
    assert verify_one(draft=0, p=p, q=q, u=Fraction(1, 2) - Fraction(1, 2**60), v=ZERO) == (0, True)
    law = make_law([0, 1], [1, 1], 0, 2)
    verifier = SingleVerifier(p=np.array([0.25, 0.75]), law=law)
    below = np.nextafter(0.5, 0)
    outcome = verifier.decide(report(law, np.zeros(2, dtype=np.int64)), np.array([[0.5, 0.0], [below, 0.0]]))
    assert outcome.accepted.tolist() == [False, True]
    verifier = SingleVerifier(p=np.array([0.0, 1.0]), law=law)
    assert not verifier.decide(report(law, np.zeros(1, dtype=np.int64)), np.zeros((1, 2))).accepted[0]


@pytest.mark.parametrize("alpha", [0.05, 1.0])
@pytest.mark.parametrize(
    ("vocab_size", "k", "tail_weight"), [(4, 2, 3), (300, 300, 0), (2000, 64, 1 << 46), (2000, 7, 0)]
)
def test_tables_give_p_to_1e_12(vocab_size: int, k: int, tail_weight: int, alpha: float) -> None:
    """The law that the vectorised tables realise, q a + refused * steps of the cumulative law, equals p in float64."""
    rng = np.random.default_rng(vocab_size + k)
    p = rng.dirichlet(np.full(vocab_size, alpha))
    p[rng.random(vocab_size) < 0.2] = 0
    p /= p.sum()
    ids = np.sort(rng.permutation(vocab_size)[:k])
    law = make_law(ids.tolist(), rng.integers(1, 1 << 47, k).tolist(), tail_weight, vocab_size)
    verifier = SingleVerifier(p=p, law=law)
    q = np.array([float(law.q(token)) for token in range(vocab_size)])
    output = q * verifier.accept_ratio
    refused = 1 - output.sum()
    output[verifier.support] += refused * np.diff(verifier.residual_cdf, prepend=0.0)
    assert np.abs(output - p).max() <= 1e-12
    assert np.abs(output - p).sum() <= 1e-12
    assert expected_acceptance(p, law) == pytest.approx(1 - refused, abs=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_vectorised_equals_scalar(seed: int) -> None:
    """Same drafts, same uniforms: the batch form decides as the scalar does in exact rationals and in floats."""
    rng = np.random.default_rng(seed)
    vocab_size, k = 40, 12
    p = rng.dirichlet(np.full(vocab_size, 0.3))
    p[:5] = 0
    p /= p.sum()
    law = make_law(
        np.sort(rng.permutation(vocab_size)[:k]).tolist(), rng.integers(1, 1000, k).tolist(), 900, vocab_size
    )
    q = [law.q(token) for token in range(vocab_size)]
    drafts = rng.choice(vocab_size, size=1500, p=law.probabilities())
    uniforms = rng.random((1500, 2))
    outcome = SingleVerifier(p=p, law=law).decide(report(law, drafts), uniforms)
    p_exact, q_float = [Fraction(x) for x in p], law.probabilities().tolist()
    for i, draft in enumerate(drafts.tolist()):
        u, v = uniforms[i].tolist()
        got = (int(outcome.tokens[i]), bool(outcome.accepted[i]))
        assert got == verify_one(draft=draft, p=p_exact, q=q, u=Fraction(u), v=Fraction(v))
        assert got == verify_one(draft=draft, p=p.tolist(), q=q_float, u=u, v=v)
    assert 0 < outcome.accepted_count < 1500


def test_batch_split_does_not_matter() -> None:
    """One batch of 1000 or many odd ones: the same tokens from the same generator."""
    law = make_law([1, 3], [5, 2], 4, 8)
    verifier = SingleVerifier(p=np.full(8, 1 / 8), law=law)
    drafts = np.random.default_rng(0).choice(8, size=1000, p=law.probabilities())
    whole = verifier.verify(report(law, drafts), np.random.default_rng(7))
    rng, parts = np.random.default_rng(7), []
    for part in np.split(drafts, [1, 8, 8, 333, 999]):
        parts.append(verifier.verify(report(law, part), rng).tokens)
    assert np.array_equal(whole.tokens, np.concatenate(parts))


def test_recovered_token_never_has_p_zero() -> None:
    """The extreme uniforms 0 and 1 - 2^-53 stay on the support, whatever lies at both ends of the vocabulary."""
    law = make_law([0, 5], [1, 1], 0, 6)
    p = np.array([0.0, 0.0, 0.3, 0.0, 0.7, 0.0])
    verifier = SingleVerifier(p=p, law=law)
    uniforms = np.array([[0.0, 0.0], [0.0, 1 - 2**-53]])
    outcome = verifier.decide(report(law, np.array([0, 5])), uniforms)
    assert outcome.tokens.tolist() == [2, 4]
    assert outcome.accepted.tolist() == [False, False]
    assert draw_from([0.0, 0.1, 0.2, 0.0], 1 - 2**-53) == 2


def test_no_residual() -> None:
    """p = q: everything is accepted, nothing is divided by zero, with and without a tail."""
    with np.errstate(all="raise"):
        for law in (make_law([0, 1], [1, 3], 0, 2), make_law([0], [1 << 40], 1 << 41, 3), make_law([0], [9], 0, 1)):
            verifier = SingleVerifier(p=law.probabilities(), law=law)
            tokens = np.repeat(np.arange(law.vocab_size), 2)
            uniforms = np.tile([[0.0, 0.5], [1 - 2**-53, 0.5]], (law.vocab_size, 1))
            outcome = verifier.decide(report(law, tokens), uniforms)
            assert outcome.accepted.all()
            assert np.array_equal(outcome.tokens, tokens)
            assert expected_acceptance(law.probabilities(), law) == 1.0


def test_residual_below_float_resolution() -> None:
    """q(1) = 2^-62 vanishes beside q(0) in float64; a draft of it is still replaced by a token with p > 0."""
    law = make_law([0, 1], [(1 << 62) - 1, 1], 0, 2)
    verifier = SingleVerifier(p=np.array([1.0, 0.0]), law=law)
    outcome = verifier.decide(report(law, np.array([1])), np.array([[0.0, 0.5]]))
    assert outcome.tokens.tolist() == [0]
    assert verify_one(draft=1, p=[1.0, 0.0], q=law.probabilities().tolist(), u=0.0, v=0.5) == (0, False)


def test_expected_acceptance_exact() -> None:
    """Overlap against rationals, never above 1."""
    law = make_law([1, 2], [3, 4], 2, 5)
    p = [Fraction(1, 8), Fraction(1, 2), Fraction(1, 4), ZERO, Fraction(1, 8)]
    exact = sum(min(a, law.q(token)) for token, a in enumerate(p))
    assert expected_acceptance(np.array([float(a) for a in p]), law) == pytest.approx(float(exact), abs=1e-15)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total": 12}, "total = 12, the law of this psi has 11"),
        ({"weights": np.array([5, 2, 5], dtype=np.uint64)}, r"draw 2 \(token 0\).*weight = 5.*has 4"),
        ({"spreads": np.array([1, 1, 1], dtype=np.uint32)}, r"draw 2 \(token 0\).*spread = 1.*has 6"),
        ({"tokens": np.array([1, 3, 8], dtype=np.uint32)}, "token 8, vocab_size is 8"),
        ({"tokens": np.array([3, 1, 0], dtype=np.uint32)}, r"draw 0 \(token 3\).*weight = 5.*has 2"),
    ],
)
def test_reported_integers_must_be_the_laws(changes: dict[str, object], message: str) -> None:
    """A batch whose reported q is not the q of the law is refused, in one line."""
    law = make_law([1, 3], [5, 2], 4, 8)
    verifier = SingleVerifier(p=np.full(8, 1 / 8), law=law)
    good = report(law, np.array([1, 3, 0]))
    assert len(verifier.verify(good, np.random.default_rng(0))) == 3
    with pytest.raises(LawMismatchError, match=message) as caught:
        verifier.verify(report(law, np.array([1, 3, 0]), **changes), np.random.default_rng(0))
    assert "\n" not in str(caught.value)


def test_token_of_weight_zero_is_refused() -> None:
    """A tail token cannot be drawn from a law without tail."""
    law = make_law([0], [4], 0, 3)
    with pytest.raises(LawMismatchError, match="weight 0"):
        SingleVerifier(p=np.array([0.5, 0.5, 0.0]), law=law).check(report(law, np.array([0, 1])))


def test_empty_batch() -> None:
    """No drafts: no tokens, and no random numbers are used."""
    law = make_law([0], [4], 0, 1)
    rng = np.random.default_rng(0)
    assert len(SingleVerifier(p=np.ones(1), law=law).verify(report(law, np.array([], dtype=np.int64)), rng)) == 0
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(
    ("p", "field"),
    [
        (np.array([0.5, 0.5, 0.0]), "shape of p"),
        (np.array([0.5, 0.4]), "sum of p"),
        (np.array([1.5, -0.5]), "p"),
        (np.array([np.nan, 1.0]), "p"),
    ],
)
def test_bad_target(p: np.ndarray, field: str) -> None:
    """A target that is no distribution over the law's vocabulary is named."""
    with pytest.raises(SpecError) as caught:
        SingleVerifier(p=p, law=make_law([0], [1], 1, 2))
    assert caught.value.field == field
