# SPDX-License-Identifier: Apache-2.0
"""Chains of drafts: joint output law enumerated in rationals, blocks never worse, vectorised equal to scalar."""

import itertools
from fractions import Fraction

import numpy as np
import pytest

from host.psi.law import DraftLaw
from host.verify import chain
from host.verify.chain import METHODS, ChainVerifier, block_acceptance, token_acceptance, verify_chain
from host.verify.draw import draw_index
from hw.spec.errors import SpecError

Row = list[Fraction]
Tree = dict[tuple[int, ...], Row]


def random_row(rng: np.random.Generator, vocab_size: int) -> Row:
    """A law in twelfths; zeros are frequent in every other one."""
    counts = rng.multinomial(12, rng.dirichlet(np.full(vocab_size, rng.choice([0.6, 3.0]))))
    return [Fraction(int(count), 12) for count in counts]


def random_tree(rng: np.random.Generator, vocab_size: int, depth: int) -> Tree:
    """A law behind every context of less than `depth` tokens."""
    contexts = (c for length in range(depth) for c in itertools.product(range(vocab_size), repeat=length))
    return {context: random_row(rng, vocab_size) for context in contexts}


def along(tree: Tree, drafts: tuple[int, ...], rows: int) -> list[Row]:
    return [tree[drafts[:i]] for i in range(rows)]


def outcomes(drafts: tuple[int, ...], p: list[Row], q: list[Row], method: str):
    """(probability, outcome) of every pattern of decisions and every token behind, by running `verify_chain`.

    A decision passes with probability h: it is represented by u = 0 and, with 1 - h, by u = h. The token behind is
    represented by the beginning of its interval of the cumulated masses that this outcome draws from.
    """
    rule = token_acceptance if method == "token" else block_acceptance
    passes = rule(drafts, p, q)
    for pattern in itertools.product((True, False), repeat=len(drafts)):
        chance = Fraction(1)
        for ok, h in zip(pattern, passes, strict=True):
            chance *= h if ok else 1 - h
        if chance == 0:
            continue
        u = [Fraction(0) if ok else h for ok, h in zip(pattern, passes, strict=True)]
        grid = Fraction(1, 10**9)
        v, done = Fraction(0), Fraction(0)
        while v < 1:  # from step to step of the cumulative law, found by bisection on the outcome itself
            outcome = verify_chain(drafts=drafts, p=p, q=q, u=u, v=v, method=method)
            low, high = v, Fraction(1)
            last = verify_chain(drafts=drafts, p=p, q=q, u=u, v=1 - grid, method=method)
            if last == outcome:
                end = Fraction(1)
            else:
                while high - low > grid:
                    middle = (low + high) / 2
                    same = verify_chain(drafts=drafts, p=p, q=q, u=u, v=middle, method=method) == outcome
                    low, high = (middle, high) if same else (low, middle)
                end = high.limit_denominator(10**4)
            yield chance * (end - v), outcome
            done += end - v
            v = end
        assert done == 1


def joint_law(p: Tree, q: Tree, vocab_size: int, length: int, method: str) -> dict[tuple[int, ...], Fraction]:
    """Law of the first L + 1 tokens: what is emitted, continued by p."""
    law: dict[tuple[int, ...], Fraction] = {}
    for drafts in itertools.product(range(vocab_size), repeat=length):
        drawn = Fraction(1)
        for i, x in enumerate(drafts):
            drawn *= q[drafts[:i]][x]
        if drawn == 0:
            continue
        for chance, outcome in outcomes(drafts, along(p, drafts, length + 1), along(q, drafts, length), method):
            emitted = (*drafts[: outcome.accepted], outcome.token)
            for more in itertools.product(range(vocab_size), repeat=length + 1 - len(emitted)):
                whole = (*emitted, *more)
                weight = drawn * chance
                for i in range(len(emitted), length + 1):
                    weight *= p[whole[:i]][whole[i]]
                law[whole] = law.get(whole, Fraction(0)) + weight
    return law


def target_law(p: Tree, vocab_size: int, length: int) -> dict[tuple[int, ...], Fraction]:
    law = {}
    for whole in itertools.product(range(vocab_size), repeat=length + 1):
        weight = Fraction(1)
        for i, x in enumerate(whole):
            weight *= p[whole[:i]][x]
        law[whole] = weight
    return law


def positive(law: dict[tuple[int, ...], Fraction]) -> dict[tuple[int, ...], Fraction]:
    return {whole: weight for whole, weight in law.items() if weight}


CASES = [(2, 1, 100), (4, 1, 100), (2, 2, 100), (3, 2, 30), (4, 2, 10), (2, 3, 30), (3, 3, 5), (4, 3, 1)]
"""V, L and random pairs."""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("vocab_size", "length", "pairs"), CASES)
def test_joint_law_is_the_targets_exactly(method: str, vocab_size: int, length: int, pairs: int) -> None:
    rng = np.random.default_rng([vocab_size, length])
    for _ in range(pairs):
        p, q = random_tree(rng, vocab_size, length + 1), random_tree(rng, vocab_size, length)
        assert positive(joint_law(p, q, vocab_size, length, method)) == positive(target_law(p, vocab_size, length))
        equal = {context: row for context, row in p.items() if len(context) < length}
        assert positive(joint_law(p, equal, vocab_size, length, method)) == positive(target_law(p, vocab_size, length))


def test_enumeration_sees_a_block_that_forgets_its_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded bug: the recovered token comes from (p - q)+ in place of (w p - q)+."""
    rng = np.random.default_rng(5)
    pairs = [(random_tree(rng, 3, 3), random_tree(rng, 3, 2)) for _ in range(20)]
    assert all(positive(joint_law(p, q, 3, 2, "block")) == positive(target_law(p, 3, 2)) for p, q in pairs)
    honest = chain.correction
    monkeypatch.setattr(
        chain, "correction", lambda weighted, q: honest([mass / (sum(weighted) or 1) for mass in weighted], q)
    )
    wrong = [positive(joint_law(p, q, 3, 2, "block")) != positive(target_law(p, 3, 2)) for p, q in pairs]
    assert sum(wrong) > 5


def mean_accepted(p: Tree, q: Tree, vocab_size: int, length: int, method: str) -> Fraction:
    mean = Fraction(0)
    for drafts in itertools.product(range(vocab_size), repeat=length):
        drawn = Fraction(1)
        for i, x in enumerate(drafts):
            drawn *= q[drafts[:i]][x]
        if drawn:
            rows = along(p, drafts, length + 1), along(q, drafts, length)
            if method == "token":
                passes, still = token_acceptance(drafts, *rows), drawn
                for a in passes:
                    still *= a
                    mean += still
            else:
                passes, none = block_acceptance(drafts, *rows), drawn
                for i in range(length, 0, -1):
                    mean += none * passes[i - 1] * i
                    none *= 1 - passes[i - 1]
    return mean


def test_a_block_accepts_no_less_and_mostly_more() -> None:
    rng = np.random.default_rng(11)
    better = 0
    for vocab_size, length in ((2, 2), (3, 2), (2, 3), (3, 3), (2, 4)):
        for _ in range(40):
            p, q = random_tree(rng, vocab_size, length + 1), random_tree(rng, vocab_size, length)
            block, token = (mean_accepted(p, q, vocab_size, length, method) for method in METHODS)
            assert block >= token
            better += block > token
    assert better > 100
    p, q = random_tree(rng, 3, 2), random_tree(rng, 3, 1)
    assert mean_accepted(p, q, 3, 1, "block") == mean_accepted(p, q, 3, 1, "token")


def float_case(rng: np.random.Generator, vocab_size: int, length: int):
    """Laws with a tail, and a target near to them, so that drafts are accepted often."""
    laws, rows = [], []
    for i in range(length + 1):
        ids = np.sort(rng.permutation(vocab_size)[: vocab_size // 2])
        law = DraftLaw(
            ids=ids, weights=rng.integers(1, 1 << 20, len(ids)).astype(np.uint64), tail_weight=1 << 19,
            vocab_size=vocab_size,
        )  # fmt: skip
        rows.append(law.probabilities() * rng.gamma(2.0, size=vocab_size) if i % 3 != 1 else law.probabilities())
        laws.append(law)
    p = np.stack(rows) / np.sum(rows, axis=1, keepdims=True)
    return p, laws[:length]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("length", [1, 2, 4, 8])
def test_vectorised_equals_scalar(method: str, length: int) -> None:
    rng = np.random.default_rng(length)
    counts = set()
    for _ in range(60):
        p, laws = float_case(rng, 12, length)
        q = [law.probabilities().tolist() for law in laws]
        drafts = [draw_index(np.array(row), rng.random()) for row in q]
        uniforms = rng.random(length + 1)
        found = ChainVerifier(p=p, laws=laws, method=method).decide(drafts, uniforms)
        wanted = verify_chain(
            drafts=drafts, p=p.tolist(), q=q, u=uniforms[:-1].tolist(), v=float(uniforms[-1]), method=method
        )
        assert found == wanted
        counts.add(found.accepted)
    assert counts >= {0, length}


def test_what_does_not_fit_is_refused() -> None:
    p, laws = float_case(np.random.default_rng(1), 6, 2)
    with pytest.raises(SpecError, match="method = 'greedy' is not legal: expected one of block, token"):
        ChainVerifier(p=p, laws=laws, method="greedy")
    with pytest.raises(SpecError, match="shape of p"):
        ChainVerifier(p=p[:2], laws=laws)
    with pytest.raises(SpecError, match="shape of p"):
        ChainVerifier(p=p[:1], laws=[])
    with pytest.raises(SpecError, match="sum of p"):
        ChainVerifier(p=p * 0.9, laws=laws)
    with pytest.raises(SpecError, match="drafts = 1 is not legal"):
        ChainVerifier(p=p, laws=laws).decide([0], np.zeros(3))
    law = DraftLaw(ids=np.array([1]), weights=np.array([5]), tail_weight=0, vocab_size=6)
    with pytest.raises(SpecError, match="draft = 0 is not legal"):
        ChainVerifier(p=p[:2], laws=[law]).decide([0], np.zeros(2))
