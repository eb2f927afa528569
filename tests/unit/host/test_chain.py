# SPDX-License-Identifier: Apache-2.0
"""Chains: the joint, exact draws with their joint q, and the law of Gibbs sampling, each against plain enumeration.

Power analysis of the exact sampler's test (fixed beforehand: alpha = 1e-6, power 0.99, seed 41, N = 300,000): in the
biased twin the last couplings are too strong by 5 %, a total variation of 0.0057 that adds 4.15e-4 a draw to the
noncentrality; 63 degrees of freedom ask for 122, hence for 294,000 draws. `test_sample_size` computes it.
"""

import math
from fractions import Fraction
from itertools import islice, pairwise, product
from pathlib import Path

import numpy as np
import pytest

from host import stats
from host.chain.corpus import corpus_chain
from host.chain.exact import ChainDraws, ExactSampler
from host.chain.mixing import (
    GOOD_ENOUGH,
    frequencies,
    laws_by_sweep,
    sweep_order,
    sweeps_needed,
    total_variation,
)
from host.chain.model import ChainModel, random_chain
from host.targets.bigram import corpus_bigram
from host.text.tokenizer import CharTokenizer
from hw.spec.errors import SpecError

ALPHA, POWER, SEED, DRAWS = 1e-6, 0.99, 41, 300_000
MODEL = random_chain(length=3, k=4, coupling=0.7, seed=SEED)


def every_state(model: ChainModel) -> np.ndarray:
    return np.array(list(product(range(model.k), repeat=model.length)))


def joint_by_hand(model: ChainModel) -> np.ndarray:
    """exp of the sums, one joint state after the other, in the order of `every_state`."""
    weights = []
    for state in product(range(model.k), repeat=model.length):
        log = sum(float(model.biases[i, x]) for i, x in enumerate(state))
        log += sum(float(model.couplings[i, state[i], state[i + 1]]) for i in range(model.length - 1))
        weights.append(math.exp(log))
    total = math.fsum(weights)
    return np.array([weight / total for weight in weights])


# --- the joint --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("length", "k"), [(1, 5), (2, 3), (3, 1), (4, 8)])
def test_joint_is_that_of_the_energies(length: int, k: int) -> None:
    model = random_chain(length=length, k=k, coupling=3.0, seed=2)
    joint = model.joint()
    assert joint.shape == (k,) * length
    assert np.allclose(joint.ravel(), joint_by_hand(model), rtol=1e-12, atol=0)
    assert np.allclose(model.reversed().joint(), joint.transpose(), rtol=1e-12, atol=0)


def test_a_strength_only_scales_the_couplings() -> None:
    weak, strong = (random_chain(length=3, k=4, coupling=coupling, seed=7) for coupling in (0.5, 4.0))
    assert np.array_equal(weak.biases, strong.biases)
    assert np.array_equal(8 * weak.couplings, strong.couplings)
    assert np.array_equal(weak.strengthened(8).joint(), strong.joint())


def test_the_chain_of_a_text_is_its_bigram_given_the_kept_characters() -> None:
    """Of all strings of 3 kept characters, the bigram's probabilities, normalised; the rest of the text is left out."""
    text = "abcabdabcbaacabz" * 20
    tokenizer = CharTokenizer.train(text)
    tokens = np.asarray(tokenizer.encode(text))
    bigram = corpus_bigram(tokens=tokens, vocab_size=tokenizer.vocab_size)
    kept = np.sort(tokenizer.encode("abc"))
    by_hand = np.array(
        [bigram.start[x] * bigram.table[x, y] * bigram.table[y, z] for x, y, z in product(kept, repeat=3)]
    )  # fmt: skip
    assert np.allclose(corpus_chain(text, length=3, k=3).joint().ravel(), by_hand / by_hand.sum(), rtol=1e-12, atol=0)
    with pytest.raises(SpecError, match="K = 6"):
        corpus_chain(text, length=3, k=6)


# --- exact draws ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left_to_right", [False, True])
@pytest.mark.parametrize("coupling", [0.0, 0.5, 4.0, 20.0])
@pytest.mark.parametrize(("length", "k"), [(1, 8), (2, 2), (2, 8), (3, 3), (3, 8), (4, 1), (4, 5), (4, 8)])
def test_q_is_the_enumerated_joint(length: int, k: int, coupling: float, left_to_right: bool) -> None:
    model = random_chain(length=length, k=k, coupling=coupling, seed=length * 100 + k)
    law = ExactSampler(model=model, left_to_right=left_to_right).law_of(every_state(model))
    assert np.abs(np.exp(law.log_q) - joint_by_hand(model)).max() < 1e-12


@pytest.mark.parametrize("left_to_right", [False, True])
def test_the_reported_fractions_add_up_to_1(left_to_right: bool) -> None:
    law = ExactSampler(model=MODEL, left_to_right=left_to_right).law_of(every_state(MODEL))
    fractions = [law.q(draw) for draw in range(MODEL.k**MODEL.length)]
    assert sum(fractions) == 1
    assert [float(q) for q in fractions] == pytest.approx(np.exp(law.log_q).tolist(), rel=1e-14)
    assert isinstance(fractions[0], Fraction)


def test_left_to_right_factors_are_the_conditionals_given_the_tokens_before() -> None:
    states, joint = every_state(MODEL), MODEL.joint()
    law = ExactSampler(model=MODEL, left_to_right=True).law_of(states)
    for node in range(MODEL.length):
        before = joint.sum(axis=tuple(range(node, MODEL.length)))
        upto = joint.sum(axis=tuple(range(node + 1, MODEL.length)))
        expected = upto[tuple(states[:, : node + 1].T)] / before[tuple(states[:, :node].T)]
        assert np.abs(law.weights[:, node] / law.totals[:, node] - expected).max() < 1e-12


@pytest.mark.parametrize("left_to_right", [False, True])
def test_a_draw_comes_with_the_integers_of_its_law(left_to_right: bool) -> None:
    sampler = ExactSampler(model=MODEL, left_to_right=left_to_right)
    draws = sampler.sample(70_000, np.random.default_rng(5))  # more than a chunk
    law = sampler.law_of(draws.states)
    assert np.array_equal(draws.weights, law.weights)
    assert np.array_equal(draws.totals, law.totals)
    assert draws.weights.min() >= 1
    assert len(sampler.sample(0, np.random.default_rng(5)).states) == 0


def test_a_state_that_the_law_nearly_forbids_keeps_a_weight() -> None:
    model = ChainModel(biases=[[0.0, -300.0], [0.0, 0.0]], couplings=np.zeros((1, 2, 2)))
    law = ExactSampler(model=model).law_of(np.array([[1, 0], [0, 0]]))
    assert law.weights[0, 0] == 1
    assert np.isfinite(law.log_q).all()


def too_strong() -> ChainModel:
    """The biased twin: the last couplings are 5 % too strong."""
    first, last = MODEL.couplings
    return ChainModel(biases=MODEL.biases, couplings=np.stack([first, 1.05 * last]))


def p_value(draws: ChainDraws) -> float:
    counts = np.rint(frequencies(draws.states, MODEL.k).ravel() * DRAWS).astype(np.int64)
    return stats.pooled_chi2(counts, MODEL.joint().ravel()).p_value


def test_sample_size() -> None:
    effect = stats.effect_size(too_strong().joint().ravel(), MODEL.joint().ravel())
    assert stats.samples_needed(effect=effect, dof=MODEL.k**MODEL.length - 1, alpha=ALPHA, power=POWER) <= DRAWS


@pytest.mark.parametrize("left_to_right", [False, True])
def test_draws_follow_the_joint_and_a_biased_twin_does_not(left_to_right: bool) -> None:
    good, bad = (ExactSampler(model=model, left_to_right=left_to_right) for model in (MODEL, too_strong()))
    assert p_value(good.sample(DRAWS, np.random.default_rng(SEED))) > ALPHA
    assert p_value(bad.sample(DRAWS, np.random.default_rng(SEED))) < ALPHA


# --- the law of Gibbs sampling ----------------------------------------------------------------------------------------


def sweep_by_hand(model: ChainModel, law: np.ndarray) -> np.ndarray:
    """One sweep as a sum over old states and new ones, block by block; `law` in the order of `every_state`."""
    states = [tuple(state) for state in every_state(model).tolist()]
    joint = dict(zip(states, joint_by_hand(model).tolist(), strict=True))
    for block in (range(0, model.length, 2), range(1, model.length, 2)):
        after = dict.fromkeys(states, 0.0)
        for old, mass in zip(states, law.tolist(), strict=True):
            for values in product(range(model.k), repeat=len(block)):
                new, chance = list(old), 1.0
                for node, value in zip(block, values, strict=True):
                    line = [joint[(*old[:node], other, *old[node + 1 :])] for other in range(model.k)]
                    chance *= line[value] / sum(line)
                    new[node] = value
                after[tuple(new)] += mass * chance
        law = np.array([after[state] for state in states])
    return law


@pytest.mark.parametrize(("length", "k"), [(2, 3), (3, 3), (4, 2)])
def test_laws_of_sweeps_are_those_of_the_transition_by_hand(length: int, k: int) -> None:
    model = random_chain(length=length, k=k, coupling=1.5, seed=3)
    law = np.full(k**length, k**-length)
    for computed in islice(laws_by_sweep(model), 3):
        law = sweep_by_hand(model, law)
        assert np.abs(computed.ravel() - law).max() < 1e-13


def test_the_laws_end_at_the_joint_and_never_go_away_from_it() -> None:
    model = random_chain(length=4, k=4, coupling=1.0, seed=6)
    distances = [total_variation(law, model.joint()) for law in islice(laws_by_sweep(model), 60)]
    assert distances[-1] < 1e-12
    assert all(after <= before + 1e-15 for before, after in pairwise(distances))


def test_couplings_too_strong_for_a_float_still_have_laws() -> None:
    model = random_chain(length=4, k=3, coupling=30.0, seed=1)
    law = next(laws_by_sweep(ChainModel(biases=model.biases, couplings=10 * model.couplings.clip(-30, 30))))
    assert law.sum() == pytest.approx(1, abs=1e-12)
    assert sweep_order(5) == [0, 2, 4, 1, 3]


def test_frequencies_and_total_variation() -> None:
    shares = frequencies(np.array([[0, 1], [0, 1], [1, 1], [1, 0]]), 2)
    assert shares.tolist() == [[0.0, 0.5], [0.25, 0.25]]
    assert total_variation(shares, np.full((2, 2), 0.25)) == 0.25


def test_documented_sweeps() -> None:
    """The table of docs/reference/chain.md, recomputed."""
    text = (Path(__file__).parents[3] / "docs" / "reference" / "chain.md").read_text()
    rows = text.split("<!-- test: sweeps -->")[1].split("\n\n")[1].splitlines()
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert cells[0][1:] == [f"TV <= {bound:g}" for bound in GOOD_ENOUGH]
    unit = random_chain(length=4, k=8, coupling=1.0, seed=1)
    for strength, *sweeps in cells[2:]:
        assert [str(needed) for needed in sweeps_needed(unit.strengthened(float(strength)))] == sweeps
    assert len(cells) == 7


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("biases", "couplings", "message"),
    [
        (np.zeros(3), np.zeros((0, 3, 3)), r"biases.shape = \(3,\)"),
        (np.zeros((0, 3)), np.zeros((0, 3, 3)), "L = 0"),
        (np.zeros((2, 0)), np.zeros((1, 0, 0)), "K = 0"),
        (np.zeros((2, 3)), np.zeros((2, 3, 3)), r"couplings.shape = \(2, 3, 3\) .* \(1, 3, 3\)"),
        (np.zeros((2, 3)), np.full((1, 3, 3), np.nan), "couplings = nan"),
        (np.full((2, 3), -np.inf), np.zeros((1, 3, 3)), "biases = -inf"),
    ],
)
def test_bad_chains_are_refused(biases: np.ndarray, couplings: np.ndarray, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        ChainModel(biases=biases, couplings=couplings)


def test_bad_requests_are_refused() -> None:
    with pytest.raises(SpecError, match=r"K \*\* L = 16777216"):
        random_chain(length=6, k=16, coupling=1.0, seed=1).joint()
    with pytest.raises(SpecError, match="coupling = -1"):
        random_chain(length=2, k=2, coupling=-1, seed=1)
    with pytest.raises(SpecError, match="n = -1"):
        ExactSampler(model=MODEL).sample(-1, np.random.default_rng())
