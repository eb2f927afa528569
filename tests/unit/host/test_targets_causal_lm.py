# SPDX-License-Identifier: Apache-2.0
"""Language models as targets: their law, prefixes that are reused, the text they give, and what they refuse."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from host import stats
from host.decode.one_text import OneTextLoop
from host.decode.texts import Texts
from host.golden.exact import draft_law
from host.models.errors import ModelError
from host.models.llama_folder import load_llama
from host.propose.base import ProposerState, Stateless
from host.propose.own import OwnProposer
from host.psi.craft import craft_psi
from host.targets.base import Contexts, Target
from host.targets.block import BlockTarget
from host.targets.causal_lm import CausalLmTarget
from host.targets.language_model import find_model, load_model
from host.targets.llama import LlamaTarget
from host.text.hf import HfTokenizer
from host.text.stream import TextStream
from host.text_soundness import TextAssessment, freedman_p_value
from host.tsu.model import ModelTsu
from host.verify.draw import draw_token
from host.verify.multi import MultiVerified
from host.verify.siblings import SiblingVerifier
from host.verify.single import SingleVerifier
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from tests.reference.tiny_lm import END, TEXT, VOCAB, write_gpt2, write_llama

CONFIG = TsuConfig(k_max=64)
RNG = np.random.default_rng(5)
CONTEXT = RNG.integers(0, VOCAB, 30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gpt2(tmp_path_factory.mktemp("gpt2"))


def lean(folder: Path, temperature: float = 1.0, positions: int = 64) -> LlamaTarget:
    return LlamaTarget(model=load_llama(folder=folder, positions=positions), temperature=temperature)


MAKERS: dict[str, Callable[[Path, float], Target]] = {
    "lean": lambda folder, temperature: lean(folder, temperature),
    "transformers": lambda folder, temperature: CausalLmTarget.from_folder(folder, temperature=temperature),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.5])
def test_rows_are_the_softmax_of_the_logits(folder: Path, name: str, temperature: float) -> None:
    """Against logits of transformers over the whole context, in float64; rows sum to 1 within 1e-12."""
    from transformers import AutoModelForCausalLM

    contexts = RNG.integers(0, VOCAB, (3, 17))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        logits = model(input_ids=torch.from_numpy(contexts)).logits[:, -1].double().numpy()
    wanted = logits / temperature
    wanted -= np.log(np.exp(wanted - wanted.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)) + wanted.max(
        axis=1, keepdims=True
    )
    rows = MAKERS[name](folder, temperature).logprobs(contexts)
    assert (rows.shape, rows.dtype) == ((3, VOCAB), np.float64)
    assert np.abs(rows - wanted).max() <= 1e-4 / temperature
    assert np.abs(np.exp(rows).sum(axis=1) - 1).max() <= 1e-12


@pytest.mark.parametrize("name", MAKERS)
def test_answers_do_not_depend_on_what_was_asked_before(folder: Path, name: str) -> None:
    """Contexts that grow, shrink, branch and repeat, one at a time and in batches."""
    target = MAKERS[name](folder, 1.0)
    branch = np.concatenate([CONTEXT[:12], [7, 8, 9]])
    for context in (CONTEXT[:5], CONTEXT[:6], CONTEXT[:20], CONTEXT[:20], CONTEXT[:9], branch, branch[:14], CONTEXT):
        fresh = MAKERS[name](folder, 1.0).logprobs(context[None])
        assert np.allclose(target.logprobs(context[None]), fresh, atol=2e-5)
    batch = np.stack([CONTEXT[:15], branch, CONTEXT[3:18]])
    rows = target.logprobs(batch)
    for row, context in zip(rows, batch, strict=True):
        assert np.allclose(row, MAKERS[name](folder, 1.0).logprobs(context[None])[0], atol=2e-5)
    assert target.logprobs(batch[:0]).shape == (0, VOCAB)


def test_a_text_that_grows_costs_one_token_a_step(folder: Path) -> None:
    target = lean(folder)
    target.logprobs(CONTEXT[None, :20])
    assert (target.passes, target.computed) == (1, 20)
    target.logprobs(CONTEXT[None, :20])
    assert (target.passes, target.computed) == (1, 20)
    target.logprobs(CONTEXT[None, :21])
    assert (target.passes, target.computed) == (2, 21)


ONE = np.array([0])
"""The parents of one draft."""


def test_looking_ahead_saves_the_pass_of_an_accepted_draft(folder: Path) -> None:
    target = lean(folder)
    assert isinstance(target, BlockTarget)
    fresh = lean(folder)
    first = target.rows(CONTEXT[:10], CONTEXT[10:11], ONE)
    for node in (0, 1):
        assert np.allclose(np.log(first.p(node)), fresh.logprobs(CONTEXT[None, : 10 + node])[0], atol=2e-5)
    assert target.passes == 1
    accepted = target.logprobs(CONTEXT[None, :11])
    assert np.allclose(accepted, fresh.logprobs(CONTEXT[None, :11]), atol=2e-5)
    assert target.passes == 1
    refused = np.concatenate([CONTEXT[:10], [(CONTEXT[10] + 1) % VOCAB]])[None]
    assert np.allclose(target.logprobs(refused), lean(folder).logprobs(refused), atol=2e-5)
    assert target.passes == 2
    with pytest.raises(SpecError, match="parents"):
        target.rows(CONTEXT[:11], CONTEXT[:2], ONE)
    with pytest.raises(SpecError, match="parents"):
        target.rows(CONTEXT[:11], CONTEXT[:2], np.array([0, 2]))
    with pytest.raises(SpecError, match="length of contexts"):
        lean(folder, positions=12).rows(CONTEXT[:11], CONTEXT[:2], np.array([0, 1]))


TREE = np.array([0, 0, 1, 1, 2, 4, 4])
"""Nodes that seven drafts are behind."""


@pytest.mark.parametrize("start", [1, 9])
@pytest.mark.parametrize("way", [[], [1], [2, 5], [1, 4, 7], [1, 4, 6]])
def test_a_tree_is_one_pass(folder: Path, start: int, way: list[int]) -> None:
    """Rows and states of every node as of its own text, and behind the part that the text goes on with."""
    target, drafts = lean(folder, positions=64), CONTEXT[20:27]
    target.remember(2)
    rows = target.rows(CONTEXT[:start], drafts, TREE)
    assert target.passes == 1

    def text(node: int) -> list[int]:
        return [*text(int(TREE[node - 1])), int(drafts[node - 1])] if node else CONTEXT[:start].tolist()

    for node in range(8):
        assert np.allclose(np.log(rows.p(node)), lean(folder).logprobs(np.array([text(node)]))[0], atol=2e-5)
    path = np.array(text(way[-1] if way else 0))
    goes_on = np.append(path, CONTEXT[7])
    assert np.allclose(target.logprobs(path[None]), lean(folder).logprobs(path[None]), atol=2e-5)
    assert np.allclose(target.logprobs(goes_on[None]), lean(folder).logprobs(goes_on[None]), atol=2e-5)
    assert (target.passes, target.computed) == (2, start + 8)
    fresh = lean(folder)
    fresh.remember(2)
    for kept, computed in zip(target.states(goes_on, behind=(2,)), fresh.states(goes_on, behind=(2,)), strict=True):
        assert torch.allclose(kept, computed, atol=2e-5)


def test_a_tree_that_is_left_leaves_nothing_behind(folder: Path) -> None:
    """A text that takes none of the drafts, one that goes back, and a second tree behind a known row."""
    target = lean(folder, positions=64)
    target.rows(CONTEXT[:9], CONTEXT[20:27], TREE)
    for context in (np.append(CONTEXT[:9], CONTEXT[3]), CONTEXT[:4], CONTEXT[:9]):
        assert np.allclose(target.logprobs(context[None]), lean(folder).logprobs(context[None]), atol=2e-5)
    passes, computed = target.passes, target.computed
    rows = target.rows(CONTEXT[:9], CONTEXT[12:14], np.array([0, 0]))
    assert (target.passes, target.computed) == (passes + 1, computed + 2)
    for node, token in ((1, CONTEXT[12]), (2, CONTEXT[13])):
        text = np.append(CONTEXT[:9], token)[None]
        assert np.allclose(np.log(rows.p(node)), lean(folder).logprobs(text)[0], atol=2e-5)
    assert np.allclose(np.log(rows.p(0)), lean(folder).logprobs(CONTEXT[None, :9])[0], atol=2e-5)


def test_a_long_context_goes_through_in_chunks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lean(folder).rows(CONTEXT, CONTEXT[:1], ONE)
    monkeypatch.setattr("host.targets.llama.CHUNK_TOKENS", 7)
    target = lean(folder)
    rows = target.rows(CONTEXT, CONTEXT[:1], ONE)
    assert all(np.allclose(np.log(rows.p(node)), np.log(whole.p(node)), atol=2e-5) for node in (0, 1))
    assert target.passes == 5


@pytest.mark.parametrize("name", MAKERS)
def test_bad_contexts_are_refused(folder: Path, name: str) -> None:
    target = MAKERS[name](folder, 1.0)
    for context in (np.empty((1, 0), dtype=np.int64), np.zeros((1, 513), dtype=np.int64)):
        with pytest.raises(SpecError, match="length of contexts"):
            target.logprobs(context)
    with pytest.raises(SpecError, match=f"contexts = {VOCAB}"):
        target.logprobs(np.array([[VOCAB]]))
    for temperature in (0.0, float("inf"), float("nan")):
        with pytest.raises(SpecError, match="temperature"):
            MAKERS[name](folder, temperature)


def test_models_of_another_kind_go_through_transformers(gpt2: Path) -> None:
    """The cache of a text that grows gives what a fresh computation gives."""
    model = load_model(find_model(str(gpt2)), positions=20)
    assert (model.facts["pass"], model.facts["model_type"], model.positions) == ("transformers", "gpt2", 64)
    assert model.end_ids == {END}
    for length in (4, 5, 6, 12, 3):
        fresh = CausalLmTarget.from_folder(gpt2).logprobs(CONTEXT[None, :length])
        assert np.allclose(model.target.logprobs(CONTEXT[None, :length]), fresh, atol=2e-5)


def test_a_llama_goes_through_the_lean_pass(folder: Path) -> None:
    model = load_model(find_model(str(folder)), positions=20, dtype="bfloat16", temperature=0.7)
    assert isinstance(model.target, LlamaTarget)
    assert (model.facts["pass"], model.facts["dtype"], model.positions) == ("lean", "bfloat16", 20)
    assert np.abs(np.exp(model.target.logprobs(CONTEXT[None, :9])).sum() - 1) <= 1e-12


def test_models_that_cannot_be_had(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ModelError, match="neither smollm2 nor a folder"):
        find_model(str(tmp_path / "none"))
    with pytest.raises(ModelError, match="is no folder"):
        CausalLmTarget.from_folder(tmp_path / "none")
    with pytest.raises(ModelError, match="cannot be loaded by transformers"):
        CausalLmTarget.from_folder(tmp_path)
    with pytest.raises(ValueError, match=r"tokenizer = .* cannot be read"):
        find_model(str(tmp_path))
    with pytest.raises(SpecError, match="dtype = 'int4'"):
        CausalLmTarget.from_folder(folder, dtype="int4")
    with pytest.raises(SpecError, match="dtype = 'int4'"):
        load_model(find_model(str(folder)), positions=4, dtype="int4")


# --- the law of what is emitted -----------------------------------------------------------------------------------

DRAWS = 100_000
ALPHA = 1e-6
"""Of each test: an unbiased sampler fails one of the three about once in 330,000 seeds."""


@pytest.mark.parametrize("length", [1, 6, 20])
def test_emitted_tokens_follow_the_model(folder: Path, length: int) -> None:
    """10^5 tokens at fixed contexts against exp(logprobs); one that recovers from p in place of (p - q)+ fails.

    The psi is that of the model's law mixed with the one behind another context.
    """
    target = lean(folder, 0.8)
    context = CONTEXT[None, :length]
    p = np.exp(target.logprobs(context)[0])
    psi = craft_psi(0.6 * p + 0.4 * np.exp(target.logprobs(context[:, ::-1] // 2)[0]), 16)
    with ModelTsu(config=CONFIG, seed=length, mode="exp2") as tsu:
        draws = tsu.sample(psi, DRAWS)
    verifier = SingleVerifier(p=p, law=draft_law(psi, CONFIG, "exp2"))
    verified = verifier.verify(draws, np.random.default_rng(length))
    counts = np.bincount(verified.tokens, minlength=VOCAB)
    assert stats.pooled_chi2(counts, p).p_value >= ALPHA
    biased = np.where(verified.accepted, draws.tokens, np.random.default_rng(9).choice(VOCAB, DRAWS, p=p))
    assert stats.pooled_chi2(np.bincount(biased, minlength=VOCAB), p).p_value < ALPHA


class Lagging:
    """Proposes what the target said one position before."""

    order = None
    vocab_size = VOCAB

    def __init__(self, target: Target) -> None:
        self._target = target

    def start(self, batch: int) -> ProposerState:
        return Stateless()

    horizon = None

    def emit(self, state: ProposerState, contexts: Contexts, drafts: int = 1) -> list:
        return [craft_psi(np.exp(self._target.logprobs(row[None, :-1])[0]), 16, drafts=drafts) for row in contexts]


def loop(
    folder: Path, *, ahead: bool = True, seed: int = 1, own: bool = False, end: int = 500,
    end_ids: frozenset[int] = frozenset(), temperature: float = 1.0,
) -> OneTextLoop:  # fmt: skip
    target = lean(folder, temperature, positions=512)
    return OneTextLoop(
        tsu=ModelTsu(config=CONFIG, seed=seed, mode="exp2"),
        target=target if ahead else Plain(target),
        proposer=OwnProposer(target=target, k=16) if own else Lagging(lean(folder, temperature, positions=512)),
        begin=CONTEXT[:4],
        mode="exp2",
        rng=np.random.default_rng(seed),
        end=end,
        end_ids=end_ids,
    )


class Plain:
    """A target that does not look ahead."""

    order = None

    def __init__(self, target: Target) -> None:
        self._target = target
        self.vocab_size = target.vocab_size

    def logprobs(self, contexts: Contexts) -> np.ndarray:
        return self._target.logprobs(contexts)


@pytest.mark.parametrize("ahead", [True, False])
def test_steps_are_the_text(folder: Path, ahead: bool) -> None:
    """Positions and tokens of the steps fit together; a bonus token comes behind an accepted draft, and then only."""
    it = loop(folder, ahead=ahead)
    steps = [it.step() for _ in range(150)]
    assert [token for step in steps for token in step.tokens] == it.tokens[4:].tolist()
    position = 4
    for step in steps:
        assert step.position == position
        assert [judged.place is None for judged in step.judged] == [False] + [True] * step.accepted
        assert (step.tokens[0] == step.tree.places[0].drafts[0]) == (step.accepted == 1)
        position += len(step.tokens)


def test_a_bonus_token_costs_no_pass(folder: Path) -> None:
    target = lean(folder, positions=512)
    it = OneTextLoop(
        tsu=ModelTsu(config=CONFIG, seed=3, mode="exp2"), target=target, proposer=Lagging(lean(folder, positions=512)),
        begin=CONTEXT[:4], mode="exp2", rng=np.random.default_rng(3),
    )  # fmt: skip
    steps = [it.step() for _ in range(100)]
    assert target.passes == 100
    assert sum(len(step.tokens) for step in steps) > 110


def test_the_end_of_a_text_is_its_end(folder: Path) -> None:
    """No token beyond `end`, and none behind one that ends the text."""
    for end in (5, 6, 30):
        it = loop(folder, end=end)
        while len(it.tokens) < end:
            it.step()
        assert len(it.tokens) == end
    everything = frozenset(range(VOCAB))
    it = loop(folder, end_ids=everything)
    assert all(len(it.step().tokens) == 1 for _ in range(40))


def test_pairs_of_tokens_follow_the_model(folder: Path) -> None:
    """First tokens and bonus tokens against enumerated laws: the second token's law behind each first one.

    2,000 texts from one context, at a temperature at which a few tokens are frequent. A bonus drawn from the row before
    fails.
    """
    rows = lean(folder, 0.3)
    first = np.exp(rows.logprobs(CONTEXT[None, :4])[0])
    it = loop(folder, seed=11, temperature=0.3, own=True)
    counts, behind = np.zeros(VOCAB), {}
    for _ in range(2000):
        it._texts = Texts(begin=CONTEXT[None, :4], vocab_size=VOCAB, order=None)
        step = it.step()
        counts[step.tokens[0]] += 1
        if len(step.tokens) == 2:
            behind.setdefault(step.tokens[0], []).append(step.tokens[1])
    assert stats.pooled_chi2(counts, first).p_value >= ALPHA
    tests, stale = [], []
    for token, seconds in behind.items():
        if len(seconds) >= 60:
            law = np.exp(rows.logprobs(np.append(CONTEXT[:4], token)[None])[0])
            seen = np.bincount(seconds, minlength=VOCAB)
            tests.append(stats.pooled_chi2(seen, law).p_value)
            stale.append(stats.pooled_chi2(seen, first).p_value)
    assert len(tests) >= 2
    assert min(tests) >= ALPHA
    assert min(stale) < ALPHA


def test_a_bonus_is_drawn_by_inversion() -> None:
    p = np.array([0.0, 0.25, 0.0, 0.5, 0.25, 0.0])
    drawn = [draw_token(p, u) for u in (0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-53)]
    assert drawn == [1, 1, 3, 3, 4, 4]
    with pytest.raises(SpecError, match=r"u = 1\.0"):
        draw_token(p, 1.0)
    with pytest.raises(SpecError, match="sum of p"):
        draw_token(p / 2, 0.5)


def test_a_text_is_sound_and_a_careless_one_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests of a single text, on 300 steps; a verifier that accepts everything emits the draft law, and a bonus
    from the wrong row is seen."""
    it, assessment = loop(folder, end=500), TextAssessment()
    stale = TextAssessment()
    for _ in range(300):
        step = it.step()
        assessment.add(step)
        first, *bonus = step.judged
        stale.add(replace(step, judged=(first, *(replace(it, token=int(it.p.argmin())) for it in bonus))))
    assert assessment.finish(300).sound
    assert stale.finish(300).failed == ("further",)
    monkeypatch.setattr(SiblingVerifier, "verify", lambda self, drafts, rng: MultiVerified(token=drafts[0], accepted=0))
    it, careless = loop(folder, end=500), TextAssessment()
    for _ in range(200):
        careless.add(it.step())
    assert {"emitted", "accepted"} <= set(careless.finish(200).failed)


def test_freedman_bounds_the_tail_of_a_binomial() -> None:
    """Above the exact two-sided tail of 400 Bernoullis, for means from rare to frequent."""
    for p in (0.02, 0.3, 0.9):
        for count in range(0, 401, 7):
            exact = stats.binomial_p_value(count, 400, p)
            assert freedman_p_value(count - 400 * p, 400 * p * (1 - p)) >= exact / 2 - 1e-15
    assert freedman_p_value(0.0, 0.0) == 1.0


def test_the_target_as_its_own_proposer_is_accepted_as_far_as_psi_goes(folder: Path) -> None:
    it, assessment = loop(folder, own=True), TextAssessment()
    steps = [it.step() for _ in range(150)]
    for step in steps:
        assessment.add(step)
    overlaps = [step.judged[0].verifier.acceptance for step in steps]
    assert np.mean(overlaps) > 0.6
    assert assessment.finish(150).sound


# --- text ---------------------------------------------------------------------------------------------------------


def test_streamed_text_is_the_whole_text_in_whole_characters(folder: Path) -> None:
    """Characters of one to four bytes, cut by tokens; nothing that comes has a half character in it."""
    tokenizer = HfTokenizer(path=folder / "tokenizer.json")
    text = "Ünïcödé: 日本語 and 🙂🙃, naïve “quotes”.\n\nThe end"
    for prompt in ("", "日本", "In the "):
        before = tokenizer.encode(prompt).tolist()
        stream = TextStream(tokenizer.decode, before)
        parts = [stream.push(token) for token in tokenizer.encode(text).tolist()]
        assert stream.finish() == ""
        assert "".join(parts) == text
        assert not any("\ufffd" in part for part in parts)
        assert sum(part == "" for part in parts) > 5  # some tokens complete nothing


def test_bytes_that_are_no_text_come_at_the_end(folder: Path) -> None:
    tokenizer = HfTokenizer(path=folder / "tokenizer.json")
    ids = tokenizer.encode("ab🙂").tolist()[:-1]
    stream = TextStream(tokenizer.decode)
    assert "".join(stream.push(token) for token in ids) == "ab"
    assert stream.finish() == "\ufffd"
    assert stream.finish() == ""


def test_tokenizer_files(folder: Path, tmp_path: Path) -> None:
    tokenizer = HfTokenizer(path=folder / "tokenizer.json")
    assert tokenizer.vocab_size == VOCAB
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert tokenizer.encode("<end>").tolist() == [END]
    assert tokenizer.decode([END, VOCAB + 5]) == "<end>"
    with pytest.raises(SpecError, match="lone surrogate"):
        tokenizer.encode("\ud800")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="is malformed"):
        HfTokenizer(path=tmp_path / "tokenizer.json")


@pytest.mark.parametrize("croppable", [True, False])
def test_blocks_of_a_model_of_another_kind(gpt2: Path, croppable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain is one pass where the cache can be cut; else, and for a tree, rows are computed when asked for."""
    if not croppable:
        monkeypatch.setattr("transformers.cache_utils.DynamicCache.is_croppable", property(lambda self: False))
    target = CausalLmTarget.from_folder(gpt2)

    def fresh(text: np.ndarray) -> np.ndarray:
        return CausalLmTarget.from_folder(gpt2).logprobs(text[None])[0]

    for accepted, text in ((0, CONTEXT[:5]), (2, CONTEXT[:8]), (0, np.append(CONTEXT[:7], 9)), (1, CONTEXT[:9])):
        drafts, passes = CONTEXT[len(text) : len(text) + 3], target.passes
        rows = target.rows(text, drafts, np.arange(3))
        if croppable:
            assert target.passes == passes + 1
        for node in range(accepted + 1):
            assert np.allclose(np.log(rows.p(node)), fresh(np.append(text, drafts[:node])), atol=2e-5)
    rows = target.rows(CONTEXT[:6], CONTEXT[20:22], np.array([0, 0]))
    for node, text in ((0, CONTEXT[:6]), (2, np.append(CONTEXT[:6], CONTEXT[21]))):
        assert np.allclose(np.log(rows.p(node)), fresh(text), atol=2e-5)
