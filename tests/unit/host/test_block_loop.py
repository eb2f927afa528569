# SPDX-License-Identifier: Apache-2.0
"""Many texts by blocks: sound by every rule, unsound with a seeded bug, the same on model and RTL, cut to length."""

from typing import Any

import numpy as np
import pytest

from host import m1
from host.block_soundness import assess_blocks
from host.decode.block_loop import BlockLoop
from host.draft.options import DraftOptions
from host.m1_setup import M1Options
from host.propose.table import TableProposer
from host.targets.bigram import BigramTarget, dirichlet_bigram
from host.targets.ngram import NgramTarget
from host.telemetry.block_tally import BlockTally
from host.tsu.base import Tsu
from host.tsu.model import ModelTsu
from host.tsu.rtl import RtlTsu
from host.verify import chain, walk
from host.verify.multi import MultiVerified
from host.verify.siblings import SiblingVerifier
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

CONFIG = TsuConfig(k_max=64)
VOCAB = 24

WAYS: dict[str, dict[str, Any]] = {
    "block": {"length": 4},
    "token": {"length": 4, "verify": "token"},
    "race": {"drafts": 4},
    "rrs": {"drafts": 3, "verify": "rrs"},
    "kseq": {"drafts": 3, "verify": "kseq"},
    "gumbel": {"length": 2, "verify": "gumbel"},
    "tree": {"length": 3, "tree_nodes": 8},
}


def pair(seed: int = 1) -> tuple[BigramTarget, TableProposer]:
    """A target, and a proposer that mixes it with another one."""
    one, two = (dirichlet_bigram(vocab_size=VOCAB, concentration=0.4, seed=seed + i) for i in range(2))
    mixed = BigramTarget(table=0.6 * one.table + 0.4 * two.table)
    return one, TableProposer(model=mixed, k=8)


def loop(tsu: Tsu, way: dict[str, Any], *, texts: int = 60, end: int = 41, seed: int = 5) -> BlockLoop:
    target, proposer = pair()
    options = DraftOptions(**way)
    return BlockLoop(
        tsu=tsu, target=target, proposer=proposer, begin=np.arange(texts)[:, None] % VOCAB, end=end, mode="exp2",
        rng=np.random.default_rng(seed), drafting=options.drafting(None), method=options.verify, seed=seed,
    )  # fmt: skip


def tallied(way: dict[str, Any], **more: Any) -> tuple[BlockLoop, BlockTally]:
    tally = BlockTally(VOCAB)
    with ModelTsu(config=CONFIG, seed=3, mode="exp2") as tsu:
        it = loop(tsu, way, **more)
        for steps in it.steps():
            for step in steps:
                tally.add(step)
    return it, tally


@pytest.mark.parametrize("way", WAYS)
def test_every_rule_is_sound(way: str) -> None:
    """8,000 tokens: behind each context the target's, drafts and accepted drafts as often as their laws say."""
    it, tally = tallied(WAYS[way], texts=200)
    soundness, _ = assess_blocks(tally)
    assert soundness.sound, soundness.failed
    assert tally.tokens == 200 * 40 == int(tally.emitted.sum())
    assert all(len(text) == 41 for text in it.texts)
    assert tally.counts.num_accepted_tokens == sum(tally.counts.num_accepted_tokens_per_pos)
    assert (tally.accepted.expected > 0) == (way != "block")


def test_a_step_gives_what_the_chances_say() -> None:
    """Mean acceptance length against the formula of equal chances, and a block above a chain token by token."""
    lengths = {}
    for way in ("token", "block"):
        values = tallied(WAYS[way], texts=400)[1].counts.values()
        lengths[way] = values["mean_acceptance_length"]
        assert lengths[way] == pytest.approx(values["predicted_acceptance_length"], rel=0.1)
    assert lengths["block"] > lengths["token"] * 1.01


BUGS = {
    "tokens that are not verified": (
        "race", lambda patch: patch.setattr(
            SiblingVerifier, "verify", lambda self, drafts, rng: MultiVerified(token=drafts[0], accepted=0)
        )
    ),
    "a block that draws from the target behind a refusal": (
        "block", lambda patch: patch.setattr(chain.ChainVerifier, "_excess", lambda self, i, weight: self._p[i])
    ),
    "a bonus token from a uniform law": (
        "token", lambda patch: patch.setattr(walk, "draw_token", lambda p, u: int(u * p.size))
    ),
}  # fmt: skip


@pytest.mark.parametrize("bug", BUGS)
def test_a_seeded_bug_is_seen(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    way, seed = BUGS[bug]
    seed(monkeypatch)
    assert "emitted" in assess_blocks(tallied(WAYS[way], texts=200)[1])[0].failed


@pytest.mark.parametrize("way", ["block", "tree"])
def test_model_and_rtl_write_the_same_texts(way: str) -> None:
    texts = []
    for make in (ModelTsu, RtlTsu):
        with make(config=CONFIG, seed=7, mode="exp2") as tsu:
            it = loop(tsu, WAYS[way], texts=20, end=21)
            for _ in it.steps():
                pass
            texts.append(it.texts)
    assert texts[0] == texts[1]


def test_gumbel_writes_one_text_whatever_is_drafted() -> None:
    """With chains, siblings and a tree, another TSU seed, and another generator of decisions."""
    texts = []
    for seed, way in enumerate(({"length": 3}, {"drafts": 5}, {"tree_nodes": 6, "length": 2})):
        with ModelTsu(config=CONFIG, seed=seed, mode="exp2") as tsu:
            it = loop(tsu, {**way, "verify": "gumbel"}, texts=12)
            it._rng = np.random.default_rng(seed)
            for _ in it.steps():
                pass
            texts.append(it.texts)
    assert texts[0] == texts[1] == texts[2]
    assert len({tuple(text[1:]) for text in texts[0]}) == 12  # but each text is one of its own


def test_longer_contexts_and_what_cannot_be_decoded() -> None:
    tokens = np.random.default_rng(2).integers(0, VOCAB, 4000)
    target, small = (NgramTarget(tokens=tokens, vocab_size=VOCAB, n=n) for n in (4, 2))
    options = DraftOptions(length=3)
    arguments = {"target": target, "mode": "exp2", "rng": np.random.default_rng(1), "drafting": options.drafting(None)}
    with ModelTsu(config=CONFIG, seed=3, mode="exp2") as tsu:
        it = BlockLoop(
            tsu=tsu, proposer=TableProposer(model=small, k=8), begin=tokens[:30].reshape(10, 3), end=9, **arguments
        )
        steps = [step for steps in it.steps() for step in steps]
        for step in steps:
            assert list(step.contexts[0].context) == it.texts[step.text][step.position - 3 : step.position]
        with pytest.raises(SpecError, match="tokens that texts begin with = 2"):
            BlockLoop(tsu=tsu, proposer=TableProposer(model=small, k=8), begin=[[1, 2]], end=9, **arguments)
        with pytest.raises(SpecError, match="tokens that texts begin with = 3"):
            BlockLoop(tsu=tsu, proposer=TableProposer(model=small, k=8), begin=[[1, 2, 3]], end=3, **arguments)


@pytest.mark.parametrize("way", WAYS)
def test_milestone_1_by_blocks(way: str) -> None:
    """The run as the command line makes it: sound, complete, and with the drafts that were asked for."""
    options = M1Options(
        vocab=16, c=0.5, k=6, steps=3000, texts=100, telemetry="off", drafting=DraftOptions(**WAYS[way])
    )
    result = m1.run(options)
    values = result.summary.values
    assert values["sound"] and result.complete
    assert (values["steps"], values["texts"]) == (3000, 100)
    assert (values["L"], values["verify"]) == (
        WAYS[way].get("length", 1),
        WAYS[way].get("verify", "race" if way in ("race", "tree") else "block"),
    )
    assert sum(row.steps for row in result.rows) <= values["num_drafts"]
    assert 1 < values["mean_acceptance_length"] <= values["L"] + 1
