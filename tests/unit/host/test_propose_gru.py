# SPDX-License-Identifier: Apache-2.0
"""GruProposer and LowRankProposer: the state follows the text, psi are those of the network's distributions."""

import math

import numpy as np
import pytest
import torch

from host.models.config import GruConfig, LowRankConfig, TransformerConfig
from host.models.gru import Gru
from host.models.low_rank import LowRank
from host.models.store import build, save_model
from host.propose.base import Stateless
from host.propose.gru import GruProposer
from host.propose.low_rank import LowRankProposer
from host.psi.craft import craft_psi
from hw.spec.errors import SpecError

torch.set_num_threads(1)

V, BATCH, LENGTH = 13, 4, 9


def network() -> Gru:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = Gru(GruConfig(vocab_size=V, embed=6, hidden=8))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    return model


def texts() -> np.ndarray:
    return np.random.Generator(np.random.PCG64(2)).integers(0, V, size=(BATCH, LENGTH))


def laws(model: Gru) -> np.ndarray:
    """q behind every prefix, by one pass over whole texts, (BATCH, LENGTH + 1, V)."""
    with torch.no_grad():
        return model(torch.from_numpy(texts())).double().softmax(-1).numpy()


def test_state_followed_token_by_token_gives_what_one_pass_gives():
    model = network()
    proposer = GruProposer(model=model, k=5, tau=0.9)
    assert (proposer.order, proposer.vocab_size) == (None, V)
    state = proposer.start(BATCH)
    for i in range(LENGTH + 1):
        psis = proposer.emit(state, texts()[:, :i])
        for psi, q in zip(psis, laws(model)[:, i], strict=True):
            want = craft_psi(q, 5, 0.9)
            assert psi.ids.tolist() == want.ids.tolist()
            assert np.abs(psi.scores_q.astype(int) - want.scores_q.astype(int)).max() <= 1
            assert psi.tail == pytest.approx(want.tail, rel=1e-3)
        if i < LENGTH:
            state.advance(texts()[:, i])


def test_a_state_that_misses_a_token_is_seen():
    """Seeded bug: the laws behind a text and behind all but one of its tokens differ, and emit refuses the state."""
    proposer = GruProposer(model=network(), k=5)
    state = proposer.start(BATCH)
    for i in range(3):
        state.advance(texts()[:, i])
    right = proposer.emit(state, texts()[:, :3])
    with pytest.raises(SpecError, match=r"contexts.shape = \(4, 4\) .* what the state saw, \(4, 3\)"):
        proposer.emit(state, texts()[:, :4])
    state.reset()
    for i in (0, 2, 2):
        state.advance(texts()[:, i])
    assert proposer.emit(state, texts()[:, :3]) != right


def test_reset_and_take():
    proposer = GruProposer(model=network(), k=5)
    state, context = proposer.start(BATCH), texts()[:, :1]
    first = proposer.emit(state, texts()[:, :0])
    state.advance(texts()[:, 0])
    branch = state.take(range(BATCH))
    before = proposer.emit(state, context)
    branch.advance(texts()[:, 1])
    assert proposer.emit(state, context) == before
    assert proposer.emit(branch, texts()[:, :2]) != before
    some = state.take([2, 0, 2])
    for psi, wanted in zip(proposer.emit(some, context[[2, 0, 2]]), (before[i] for i in (2, 0, 2)), strict=True):
        assert (psi.ids.tolist(), psi.tail) == (wanted.ids.tolist(), pytest.approx(wanted.tail, rel=1e-5))
    state.reset()
    assert proposer.emit(state, texts()[:, :0]) == first


def test_gru_files_and_refusals(tmp_path):
    model = network()
    save_model(tmp_path, model, model.config, {})
    loaded, given = GruProposer.load(tmp_path, k=5), GruProposer(model=network(), k=5)
    empty = texts()[:, :0]
    assert loaded.emit(loaded.start(BATCH), empty) == given.emit(given.start(BATCH), empty)
    state = given.start(2)
    with pytest.raises(SpecError, match=r"len\(tokens\) = 3"):
        state.advance(np.array([1, 2, 3]))
    with pytest.raises(SpecError, match="contexts = 13"):
        state.advance(np.array([1, 13]))
    with pytest.raises(SpecError, match="batch = 0"):
        given.start(0)
    with pytest.raises(SpecError, match="state = 'Stateless'"):
        given.emit(Stateless(), empty)
    with pytest.raises(SpecError, match="K = 14"):
        GruProposer(model=network(), k=14)
    config = TransformerConfig(vocab_size=V, width=8, heads=2, layers=1)
    save_model(tmp_path, build(config), config, {})
    with pytest.raises(SpecError, match="the folder of a GRU"):
        GruProposer.load(tmp_path, k=5)
    with pytest.raises(SpecError, match="the folder of a low-rank bigram"):
        LowRankProposer.load(tmp_path, k=5)


def test_low_rank_follows_the_last_token(tmp_path):
    model = LowRank(LowRankConfig(vocab_size=V, rank=2))
    save_model(tmp_path, model, model.config, {})
    proposer = LowRankProposer.load(tmp_path, k=4, tau=1.2)
    logits = (model.contexts @ model.tokens + model.bias).detach().double()
    np.testing.assert_allclose(proposer.laws, logits.softmax(-1).numpy(), rtol=1e-5)
    with torch.no_grad():
        along = model(torch.from_numpy(texts())).double().softmax(-1).numpy()
    for i in range(LENGTH + 1):
        psis = proposer.emit(proposer.start(BATCH), texts()[:, :i])
        rows = [V] * BATCH if i == 0 else texts()[:, i - 1].tolist()
        assert psis == [craft_psi(proposer.laws[c], 4, 1.2) for c in rows]
        np.testing.assert_allclose(along[:, i], proposer.laws[rows], rtol=1e-4)
    twice = proposer.emit(proposer.start(2), np.array([[1, 3], [2, 3]]))
    assert twice[0] is twice[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contexts": np.zeros((3, 2))}, r"contexts.shape = \(3, 2\) .* \(4, 2\)"),
        ({"tokens": np.zeros((2, 4))}, r"tokens.shape = \(2, 4\) .* \(r, 3\)"),
        ({"bias": np.zeros((3, 1))}, r"bias.shape"),
        ({"bias": np.array([0, math.inf, 0])}, r"U W \+ b = inf"),
        ({"k": 4}, "K = 4"),
    ],
)
def test_low_rank_refusals(change, message):
    good = {"contexts": np.zeros((4, 2)), "tokens": np.zeros((2, 3)), "bias": np.zeros(3), "k": 2}
    with pytest.raises(SpecError, match=message):
        LowRankProposer(**{**good, **change})
