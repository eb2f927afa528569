# SPDX-License-Identifier: Apache-2.0
"""The loop of L = 1: its output law by enumeration, determinism, caching, stateful proposers, and errors."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from host.decode.loop import DraftLoop
from host.golden.exact import draft_law
from host.propose.base import Stateless
from host.propose.table import TableProposer
from host.psi.craft import craft_psi
from host.psi.schema import Psi
from host.targets.bigram import BigramTarget, dirichlet_bigram
from host.tsu.model import ModelTsu
from host.verify.single import residual, verify_one
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

CONFIG = TsuConfig(k_max=64)


def loop(target: BigramTarget, *, k: int, texts: np.ndarray, seed: int = 1, **fields: object) -> DraftLoop:
    options: dict[str, object] = {
        "tsu": ModelTsu(config=CONFIG, seed=seed, mode="exp2"),
        "target": target,
        "proposer": TableProposer(model=target, k=k),
        "texts": texts,
        "mode": "exp2",
        "rng": np.random.default_rng(seed),
    }
    return DraftLoop(**(options | fields))  # type: ignore[arg-type]


def rational(p: np.ndarray) -> list[Fraction]:
    """The row as fractions that sum to 1."""
    whole = [Fraction(float(x)) for x in p]
    return [x / sum(whole) for x in whole]


@pytest.mark.parametrize("vocab", [2, 3, 4])
def test_law_of_a_text_by_enumeration(vocab: int) -> None:
    """Over all drafts and decisions of two tokens, a text has exactly the probability p(a | c) p(b | a), in fractions.

    The laws are the ones the loop uses; a decision is enumerated as the interval of u (accepted or not) and of v
    (which token recovers).
    """
    target = dirichlet_bigram(vocab_size=vocab, concentration=0.7, seed=vocab)
    for k in range(1, vocab + 1):
        it = loop(target, k=k, texts=np.array([[0]]))
        known = it.look_up(np.arange(vocab)[:, None])
        p = [rational(at.p) for at in known]
        q = [[at.law.q(token) for token in range(vocab)] for at in known]

        def emitted(context: int, p: list = p, q: list = q) -> list[Fraction]:
            law = [Fraction(0)] * vocab
            left = residual(p[context], q[context])
            mass = sum(left)
            for draft in range(vocab):
                if q[context][draft] == 0:
                    continue
                accept = min(Fraction(1), p[context][draft] / q[context][draft])
                below = verify_one(draft=draft, p=p[context], q=q[context], u=accept * Fraction(99, 100), v=Fraction(0))
                assert below == (draft, True) or accept == 0
                law[draft] += q[context][draft] * accept
                for token in range(vocab):
                    if accept < 1:
                        law[token] += q[context][draft] * (1 - accept) * left[token] / mass
            return law

        for first, second in product(range(vocab), repeat=2):
            assert emitted(0)[first] * emitted(first)[second] == p[0][first] * p[first][second]


def test_known_laws_are_those_of_the_contexts() -> None:
    """What the loop holds of a context: the target's row, the proposer's psi, the exact law of that psi."""
    target = dirichlet_bigram(vocab_size=30, concentration=1.0, seed=0)
    it = loop(target, k=8, texts=np.array([[3]]))
    for at in it.look_up(np.arange(30)[:, None]):
        row = target.table[at.context[0]]
        assert np.allclose(at.p, row, rtol=1e-14)
        assert at.psi == craft_psi(np.exp(np.log(row)), 8)
        golden = draft_law(at.psi, CONFIG, "exp2")
        assert at.law.weights.tolist() == golden.weights.tolist()
        assert at.law.tail_weight == golden.tail_weight


def test_steps_give_the_texts_their_tokens() -> None:
    """Groups partition the batch; their tokens become the contexts; draws report the law's integers."""
    target = dirichlet_bigram(vocab_size=12, concentration=1.0, seed=2)
    it = loop(target, k=5, texts=np.arange(100)[:, None] % 12)
    for position in range(1, 6):
        before = it.texts.contexts.copy()
        groups = it.step()
        assert sorted(np.concatenate([group.texts for group in groups]).tolist()) == list(range(100))
        for group in groups:
            assert group.position == position
            assert (before[group.texts, -1] == group.at.context[-1]).all()
            assert np.array_equal(it.texts.contexts[group.texts, -1], group.verified.tokens)
            assert group.draws.total == group.at.law.total


def test_the_last_step_may_cover_fewer_texts() -> None:
    target = dirichlet_bigram(vocab_size=5, concentration=1.0, seed=2)
    it = loop(target, k=2, texts=np.zeros((10, 1), dtype=np.int64))
    groups = it.step(3)
    assert sum(len(group.verified) for group in groups) == 3
    with pytest.raises(ValueError, match="ended"):
        it.step()


def test_same_seed_same_texts_and_a_small_cache_changes_nothing() -> None:
    """Which laws are kept decides speed only."""
    target = dirichlet_bigram(vocab_size=16, concentration=0.5, seed=4)
    begin = np.arange(200)[:, None] % 16
    first, second, third = (
        loop(target, k=4, texts=begin, kept_bytes=kept, seed=seed)
        for kept, seed in ((1 << 30, 7), (1, 7), (1 << 30, 8))
    )
    for it in (first, second, third):
        for _ in range(5):
            it.step()
    assert np.array_equal(first.texts.contexts, second.texts.contexts)
    assert not np.array_equal(first.texts.contexts, third.texts.contexts)


class Counting:
    """A proposer with a state: the psi of a text depends on how many tokens it was given."""

    vocab_size = 6
    order = None

    class State:
        def __init__(self, batch: int) -> None:
            self.batch, self.given = batch, []

        def reset(self) -> None:
            self.given.clear()

        def advance(self, tokens: np.ndarray) -> None:
            assert tokens.shape == (self.batch,)
            self.given.append(tokens.copy())

    def __init__(self) -> None:
        self.states: list[Counting.State] = []

    def start(self, batch: int) -> "Counting.State":
        self.states.append(self.State(batch))
        return self.states[-1]

    def emit(self, state: "Counting.State", contexts: np.ndarray) -> Sequence[Psi]:
        assert np.array_equal(contexts, np.array(state.given).T)
        return [craft_psi(np.roll([0.5, 0.1, 0.1, 0.1, 0.1, 0.1], len(state.given) + i), 2) for i in range(state.batch)]


def test_a_stateful_proposer_sees_every_token_of_every_text() -> None:
    """order None: the whole text, one psi a text; `advance` with how the texts begin, then with what was emitted."""
    proposer = Counting()
    target = dirichlet_bigram(vocab_size=6, concentration=1.0, seed=4)
    it = loop(target, k=2, texts=np.array([[0], [0], [5]]), proposer=proposer)
    emitted = []
    for _ in range(20):
        groups = it.step()
        assert [group.texts.tolist() for group in groups] == [[0], [1], [2]]
        assert len({group.at.psi for group in groups}) == 3
        emitted.append([int(group.verified.tokens[0]) for group in groups])
    assert np.array_equal(np.array(proposer.states[0].given), np.array([[0, 0, 5], *emitted]))
    assert np.array_equal(it.texts.contexts[:, 1:], np.array(emitted).T)


def test_vocabularies_must_agree() -> None:
    target = dirichlet_bigram(vocab_size=5, concentration=1.0, seed=2)
    with pytest.raises(SpecError, match=r"vocab_size of the proposer = 6 .* 5, the target's"):
        loop(target, k=2, texts=np.array([[0]]), proposer=Counting())


def test_stateless_remembers_nothing() -> None:
    state = Stateless()
    state.advance(np.array([1]))
    state.reset()
