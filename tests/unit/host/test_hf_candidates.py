# SPDX-License-Identifier: Apache-2.0
"""Candidates of the TSU for `generate` of transformers: the q handed over, the text followed, and what is refused."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers.generation.utils as generation
from transformers import (
    AutoModelForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedTokenizerFast,
    StoppingCriteria,
    SynthIDTextWatermarkingConfig,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.generation.candidate_generator import CandidateGenerator
from transformers.generation.streamers import BaseStreamer

from host.hf.assisted import generate_with
from host.hf.candidates import TSDCandidateGenerator
from host.hf.follow import FollowedText
from host.models.config import GruConfig, HeadConfig
from host.models.gru import Gru
from host.models.head import Head
from host.models.llama_folder import load_llama
from host.propose.base import Proposer, ProposerState
from host.propose.gru import GruProposer
from host.propose.head import HeadProposer
from host.propose.own import OwnProposer
from host.propose.table import TableProposer
from host.psi.schema import Psi
from host.targets.causal_lm import CausalLmTarget
from host.targets.llama import LlamaTarget
from host.targets.ngram import NgramTarget
from host.tsu.base import Draws, Tsu, TsuError
from host.tsu.model import ModelTsu
from host.tsu.registry import open_tsu
from host.verify.single import LawMismatchError
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.errors import SpecError
from tests.reference.tiny_lm import SIZES, VOCAB, write_gpt2, write_llama

CONFIG = TsuConfig(k_max=64)
RNG = np.random.default_rng(7)
TEXT = RNG.zipf(1.4, 3000) % VOCAB
PROMPT = torch.tensor([[11, 4, 200, 4]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def table(vocab_size: int = VOCAB) -> Proposer:
    """Trigrams of a text that the model has nothing to do with; half of the mass is in the tail."""
    return TableProposer(model=NgramTarget(tokens=TEXT % vocab_size, vocab_size=vocab_size, n=3), k=16)


def gru() -> Proposer:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = Gru(GruConfig(vocab_size=VOCAB, embed=8, hidden=16))
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    return GruProposer(model=network, k=16)


class Recorder:
    """A TSU that keeps what it was asked and what it drew."""

    def __init__(self, tsu: Tsu) -> None:
        self._tsu, self.config, self.draws = tsu, tsu.config, list[Draws]()

    def sample(self, psi: Psi, n: int) -> Draws:
        self.draws.append(self._tsu.sample(psi, n))
        return self.draws[-1]


def generator(*, seed: int = 1, proposer: Proposer | None = None, **options: Any) -> TSDCandidateGenerator:
    tsu = options.pop("tsu", None) or ModelTsu(config=CONFIG, seed=seed)
    return TSDCandidateGenerator(proposer=proposer or table(), tsu=tsu, **options)


# --- the q handed over ------------------------------------------------------------------------------------------------


@pytest.fixture(
    params=[
        "model",
        "rtl",
        pytest.param("cxxrtl", marks=pytest.mark.slow),
        pytest.param("thrml", marks=pytest.mark.slow),
    ]
)
def tsu(request: pytest.FixtureRequest) -> Iterator[Tsu]:
    try:
        opened = open_tsu(backend=request.param, config=PRESETS["sim"], seed=3)
    except TsuError as error:
        if request.param == "thrml" and "pip install" in str(error):
            pytest.skip(str(error))
        raise
    with opened:
        yield opened


UNITS = {"float64": 2.0**-53, "float32": 2.0**-24}


def worst(found: list[tuple[float, Fraction]], unit: float, vocab_size: int = VOCAB) -> float:
    """Largest relative error of probabilities against exact ones, as a part of the documented bound."""
    bounds = [(16 + 4 * abs(np.log(float(exact))) + vocab_size) * unit for _, exact in found]
    errors = [abs(float(Fraction(q) / exact - 1)) for q, exact in found]
    return max(error / bound for error, bound in zip(errors, bounds, strict=True))


def handed_over(tsu: Tsu, wrong: Callable[[torch.Tensor], torch.Tensor] = lambda logits: logits, **options: Any) -> Any:
    """softmax of the logits at each candidate, beside weight / (total spread) of its draw; 30 rounds."""
    recorder = Recorder(tsu)
    made = generator(tsu=recorder, length=4, **options)
    found, spreads, text = [], set(), PROMPT
    for _ in range(30):
        recorder.draws.clear()
        text, logits = made.get_candidates(text)
        assert logits is not None
        q = wrong(logits).softmax(dim=-1)[0].double().numpy()
        assert logits.shape == (1, 4, made.vocab_size)
        assert text[0, -4:].tolist() == [int(draws.tokens[0]) for draws in recorder.draws]
        for row, draws in zip(q, recorder.draws, strict=True):
            weight, spread, token = int(draws.weights[0]), int(draws.spreads[0]), int(draws.tokens[0])
            found.append((row[token], Fraction(weight, draws.total * spread)))
            spreads.add(spread > 1)
    assert spreads == {False, True}  # top-K ids, and tokens of the tail
    return found


@pytest.mark.parametrize("dtype", UNITS)
def test_the_q_handed_over_is_the_q_that_was_sampled(tsu: Tsu, dtype: str) -> None:
    """softmax(candidate_logits) at each candidate is weight / (total spread) as the TSU reported it with the draw."""
    assert worst(handed_over(tsu, dtype=dtype), UNITS[dtype]) <= 1


@pytest.mark.parametrize("dtype", UNITS)
def test_the_same_over_many_tokens(dtype: str) -> None:
    vocab_size = 50_000
    found = handed_over(ModelTsu(config=CONFIG, seed=3), dtype=dtype, proposer=table(vocab_size))
    assert worst(found, UNITS[dtype], vocab_size) <= 1


@pytest.mark.parametrize(
    "wrong",
    [
        lambda logits: logits / 0.9,
        lambda logits: logits.masked_fill(logits < logits.topk(8).values[..., -1:], -20.0),
        lambda logits: logits.bfloat16().double(),
    ],
    ids=["temperature", "top-k", "bfloat16"],
)
def test_a_rescored_q_is_seen(wrong: Any) -> None:
    """Warped as `generate` warps the target, or rounded further: by more than even the float32 logits may be off."""
    found = handed_over(ModelTsu(config=PRESETS["sim"], seed=3), wrong)
    assert worst(found, UNITS["float32"]) > 10


def test_transformers_verifies_with_that_q(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches its verifier, in a call that warps the target by temperature, top-k, top-p and a penalty."""
    recorder, seen = Recorder(ModelTsu(config=CONFIG, seed=2)), list[tuple[float, Fraction]]()
    verify = generation._speculative_sampling

    def watched(ids: torch.Tensor, logits: torch.Tensor, length: int, *others: Any, **named: Any) -> Any:
        q, tokens = logits.softmax(dim=-1)[0], ids[0, -length:].tolist()
        for row, token, draws in zip(q, tokens, recorder.draws, strict=True):
            assert token == int(draws.tokens[0])
            exact = Fraction(int(draws.weights[0]), draws.total * int(draws.spreads[0]))
            seen.append((float(row[token]), exact))
        recorder.draws.clear()
        return verify(ids, logits, length, *others, **named)

    monkeypatch.setattr(generation, "_speculative_sampling", watched)
    made = generator(tsu=recorder)
    warped = {"temperature": 0.6, "top_k": 20, "top_p": 0.9, "repetition_penalty": 1.3}
    model.generate(PROMPT, custom_generate=made, do_sample=True, max_new_tokens=40, **warped)
    assert len(seen) == made.counts.num_draft_tokens > 40
    assert worst(seen, UNITS["float64"]) <= 1


def test_a_tsu_that_reports_other_integers_is_refused() -> None:
    class Boasting(Recorder):
        def sample(self, psi: Psi, n: int) -> Draws:
            draws = super().sample(psi, n)
            more = draws.weights + np.uint64(1)
            return Draws(tokens=draws.tokens, weights=more, spreads=draws.spreads, total=draws.total)

    with pytest.raises(LawMismatchError, match="weight"):
        generator(tsu=Boasting(ModelTsu(config=CONFIG, seed=1))).get_candidates(PROMPT)


# --- the text that is followed ----------------------------------------------------------------------------------------


class Counting:
    """A proposer that counts how often it starts."""

    order, horizon = None, None

    def __init__(self, proposer: Proposer) -> None:
        self._proposer, self.vocab_size, self.starts = proposer, proposer.vocab_size, 0

    def start(self, batch: int) -> ProposerState:
        self.starts += 1
        return self._proposer.start(batch)

    def emit(self, *arguments: Any) -> Any:
        return self._proposer.emit(*arguments)


WAYS = {
    "goes on": ([5, 6], [5, 6, 7], [5, 6, 7, 8, 9], [5, 6, 7, 8, 9]),
    "is taken back": ([5, 6, 7, 8], [5, 6], [5, 6, 8]),
    "starts anew": ([5, 6, 7, 8], [9, 8, 7], [5, 6, 7, 8, 1], [5]),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_state_follows_the_text(way: str) -> None:
    """The law of the first candidate is that of a proposer that has read this text and no other."""
    counting = Counting(gru())
    made = generator(proposer=counting)
    for text in WAYS[way]:
        _, logits = made.get_candidates(torch.tensor([text]))
        _, fresh = generator(proposer=gru()).get_candidates(torch.tensor([text]))
        assert torch.equal(logits[0, 0], fresh[0, 0])
    assert counting.starts == {"goes on": 1, "is taken back": 2, "starts anew": 4}[way]


def test_a_state_that_does_not_go_back_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FollowedText, "_goes_on", staticmethod(lambda tokens, known: True))
    made = generator(proposer=gru())
    made.get_candidates(torch.tensor([[5, 6, 7, 8]]))
    with pytest.raises(SpecError, match=r"what the state saw, \(1, 4\)"):
        made.get_candidates(torch.tensor([[5, 6]]))


def test_calls_one_after_the_other_draw_from_what_they_have_written(model: Any) -> None:
    """A second prompt, and the first text taken further: the q of each candidate is that of its own text."""
    made = generator(proposer=gru())
    first = model.generate(PROMPT, custom_generate=made, do_sample=True, max_new_tokens=12)
    model.generate(PROMPT.flip(1), custom_generate=made, do_sample=True, max_new_tokens=12)
    longer = model.generate(first, custom_generate=made, do_sample=True, max_new_tokens=12)
    assert torch.equal(longer[:, : first.shape[1]], first)
    _, logits = made.get_candidates(longer)
    _, fresh = generator(proposer=gru()).get_candidates(longer)
    assert torch.equal(logits[0, 0], fresh[0, 0])


# --- lengths and counts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 3, 8])
def test_no_text_is_longer_than_it_may_be(model: Any, length: int) -> None:
    made = generator(length=length)
    for new in (1, 2, 3, 7, 20):
        text = model.generate(PROMPT, custom_generate=made, do_sample=True, max_new_tokens=new, eos_token_id=None)
        assert text.shape == (1, PROMPT.shape[1] + new)
    assert made.max_length is None


def test_no_candidate_for_the_last_token() -> None:
    made = generator(length=3, max_length=6)
    assert [made.get_candidates(torch.ones(1, n).long())[0].shape[1] - n for n in (1, 2, 3, 4, 5, 6)] == [
        3,
        3,
        2,
        1,
        0,
        0,
    ]
    assert made.get_candidates(torch.ones(1, 5).long())[1] is None


def test_length_follows_the_schedule() -> None:
    """Rounds of which everything, and nothing, is accepted."""
    for schedule, wanted in (("constant", [2, 2, 2, 2, 2, 2]), ("heuristic", [2, 4, 6, 8, 8, 7])):
        made, lengths = generator(length=2, schedule=schedule), []
        for good in (True, True, True, True, False, False):
            lengths.append(made.length)
            ids, logits = made.get_candidates(PROMPT)
            emitted = torch.cat(
                [ids if good else PROMPT, ids[:, -1:] * 0 + (ids[0, PROMPT.shape[1]] + 1) % VOCAB], dim=1
            )
            scores = torch.cat([logits, logits[:, -1:]], dim=1)
            made.update_candidate_strategy(emitted, scores, 0)
        assert lengths == wanted
        assert made.length == (2 if schedule == "constant" else 6)


def test_counts_are_those_of_the_text(model: Any) -> None:
    """Against candidates compared with what became of the text, one by one; and against their expectation."""
    rounds: list[tuple[int, list[int]]] = []

    class Watched(TSDCandidateGenerator):
        def get_candidates(self, input_ids: torch.Tensor, **kwargs: Any) -> Any:
            ids, logits = super().get_candidates(input_ids, **kwargs)
            rounds.append((input_ids.shape[1], ids[0, input_ids.shape[1] :].tolist()))
            return ids, logits

    own = OwnProposer(target=CausalLmTarget(model=model), k=16)
    made = Watched(proposer=own, tsu=ModelTsu(config=CONFIG, seed=4), length=3)
    torch.manual_seed(1)
    accepted, per_position, drafts = 0, [0, 0, 0], 0
    for _ in range(3):
        rounds.clear()
        text = model.generate(PROMPT, custom_generate=made, do_sample=True, max_new_tokens=50, top_k=0)[0].tolist()
        for start, tokens in rounds:
            drafts += bool(tokens)
            for position, token in enumerate(tokens):
                if text[start + position : start + position + 1] != [token]:
                    break
                accepted += 1
                per_position[position] += 1
    values = made.counts.values()
    assert (values["num_drafts"], values["num_accepted_tokens"]) == (drafts, accepted)
    assert values["num_accepted_tokens_per_pos"] == per_position
    assert values["mean_acceptance_length"] == 1 + accepted / drafts
    spread = made.counts.chances**0.5 / 2
    assert abs(made.counts.chance - accepted) < 5 * spread
    assert abs(made.counts.chance - 2 * accepted) > 5 * spread  # what it would see


# --- generate ---------------------------------------------------------------------------------------------------------


def test_the_same_text_on_the_rtl(model: Any) -> None:
    texts = []
    for backend in ("model", "rtl"):
        with open_tsu(backend=backend, config=PRESETS["sim"], seed=9) as opened:
            torch.manual_seed(2)
            made = generator(tsu=opened, schedule="heuristic")
            texts.append(model.generate(PROMPT, custom_generate=made, do_sample=True, max_new_tokens=40))
    assert torch.equal(*texts)


def test_a_head_drafts_from_the_states_of_its_own_target(tmp_path: Path) -> None:
    """Its horizon is one token, and so is L; the q of each candidate is that of a head that has read this text only."""
    place = write_llama(tmp_path)
    sizes = HeadConfig(vocab_size=VOCAB, width=SIZES["hidden_size"], alone=1, middle=2, inner=24, kept=200, rank=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network = Head(sizes)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)

    def head() -> Proposer:
        target = LlamaTarget(model=load_llama(folder=place, positions=64))
        return HeadProposer(model=network, target=target, k=16)

    llama = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval()
    made = generator(proposer=head())
    text = llama.generate(PROMPT, custom_generate=made, do_sample=True, max_new_tokens=20, eos_token_id=None)
    assert (made.length, made.counts.length) == (1, 1)
    assert made.counts.num_draft_tokens >= 10
    _, logits = made.get_candidates(text)
    _, fresh = generator(proposer=head()).get_candidates(text)
    assert torch.allclose(logits, fresh, atol=0.2)  # codes of 8 bits, of states from passes of other lengths
    assert not torch.allclose(logits, generator(proposer=head()).get_candidates(text[:, :-1])[1], atol=0.2)


def test_greedy_text_is_the_greedy_text(model: Any) -> None:
    """With any proposer; a draft is kept where it is the most probable token."""
    made = generator(length=5)
    alone = model.generate(PROMPT, do_sample=False, max_new_tokens=40)
    assert torch.equal(model.generate(PROMPT, custom_generate=made, do_sample=False, max_new_tokens=40), alone)
    assert made.counts.num_drafts > 0
    assert made.do_sample


def test_the_model_is_left_as_it_was(model: Any) -> None:
    before = set(vars(model)), type(model)._get_candidate_generator, type(model)._assisted_decoding
    model.generate(PROMPT, custom_generate=generator(), do_sample=True, max_new_tokens=5)
    assert (set(vars(model)), type(model)._get_candidate_generator, type(model)._assisted_decoding) == before
    assert isinstance(generator(), CandidateGenerator)


class Kept(BaseStreamer):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.tokens, self.ended = list[int](), 0

    def put(self, value: torch.Tensor) -> None:
        self.tokens += value.reshape(-1).tolist()

    def end(self) -> None:
        self.ended += 1


class After(StoppingCriteria):
    """A text is full behind so many tokens."""

    def __init__(self, length: int) -> None:
        self._length = length

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.tensor([input_ids.shape[1] >= self._length])


@pytest.mark.parametrize("length", [5, 6, 7, 13])
def test_nothing_comes_behind_the_end(model: Any, length: int) -> None:
    """Of the text, of the streamer, and of everything that comes token by token; drafts that are accepted."""
    streamer = Kept()
    done = generate_with(
        model=model, candidates=generator(length=8, proposer=certain()), inputs=PROMPT, streamer=streamer,
        do_sample=False, stopping_criteria=[After(length)], max_new_tokens=30, eos_token_id=None,
        return_dict_in_generate=True, output_scores=True, output_logits=True, output_hidden_states=True,
    )  # fmt: skip
    alone = model.generate(PROMPT, do_sample=False, max_new_tokens=length - PROMPT.shape[1], eos_token_id=None)
    assert torch.equal(done.sequences, alone)
    assert (streamer.tokens, streamer.ended) == (alone[0].tolist(), 1)
    for field in ("scores", "logits", "hidden_states"):
        assert len(done[field]) == length - PROMPT.shape[1]


def certain() -> Proposer:
    """Drafts that are accepted for the most part: what `generate` writes greedily is a cycle of few tokens."""
    return TableProposer(model=NgramTarget(tokens=CYCLE * 50, vocab_size=VOCAB, n=5), k=4)


CYCLE: list[int] = []


@pytest.fixture(scope="module", autouse=True)
def greedy_cycle(model: Any) -> None:
    CYCLE[:] = model.generate(PROMPT, do_sample=False, max_new_tokens=30, eos_token_id=None)[0].tolist()


def test_streamers_need_generate_with(model: Any) -> None:
    """transformers hands no streamer to a loop of one's own: it gets the prompt, and waits for the rest."""
    streamer = Kept()
    given = {"do_sample": True, "max_new_tokens": 9, "streamer": streamer, "inputs": PROMPT}
    model.generate(custom_generate=generator(), **given)
    assert (streamer.tokens, streamer.ended) == (PROMPT[0].tolist(), 0)
    streamer.tokens.clear()
    text = generate_with(model=model, candidates=generator(), **given)
    assert (streamer.tokens, streamer.ended) == (text[0].tolist(), 1)


def test_strings_end_a_text(model: Any, folder: Path) -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    alone = model.generate(PROMPT, do_sample=False, max_new_tokens=30, eos_token_id=None)
    end = tokenizer.decode(alone[0, 9:10])
    given = {
        "do_sample": False,
        "max_new_tokens": 30,
        "stop_strings": [end],
        "tokenizer": tokenizer,
        "eos_token_id": None,
    }
    cut = model.generate(PROMPT, **given)
    assert cut.shape[1] < alone.shape[1]
    candidates = generator(length=8, proposer=certain())
    assert torch.equal(generate_with(model=model, candidates=candidates, inputs=PROMPT, **given), cut)
    assert candidates.counts.num_accepted_tokens > 0


# --- refusals ---------------------------------------------------------------------------------------------------------

WATERMARK = SynthIDTextWatermarkingConfig(ngram_len=2, keys=[1, 2])
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "batch": ({"inputs": PROMPT.repeat(2, 1)}, "batch size = 2 "),
    "returned": ({"num_return_sequences": 2}, "num_return_sequences = 2 "),
    "beams": ({"num_beams": 2}, "num_beams = 2 "),
    "no cache": ({"use_cache": False}, "use_cache = False "),
    "embeddings": ({"inputs": None, "inputs_embeds": torch.zeros(1, 2, 32)}, "inputs_embeds"),
    "ensemble": ({"assistant_ensemble_weight": 0.5}, "assistant_ensemble_weight = 0.5 "),
    "prompt lookup": ({"prompt_lookup_num_tokens": 3}, "prompt_lookup_num_tokens = 3 "),
    "guidance": ({"guidance_scale": 1.5}, "logits_processor = 'UnbatchedClassifierFreeGuidanceLogitsProcessor' "),
    "watermark": ({"watermarking_config": WATERMARK}, "logits_processor = 'SynthIDTextWatermarkLogitsProcessor' "),
}


@pytest.mark.parametrize("name", REFUSED)
def test_calls_that_cannot_be_right_are_one_line(model: Any, name: str) -> None:
    arguments, message = REFUSED[name]
    given = {"inputs": PROMPT, "do_sample": True, "max_new_tokens": 4} | arguments
    with pytest.raises(SpecError) as caught:
        model.generate(custom_generate=generator(), **given)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_models_that_cannot_be_drafted_for_are_one_line(model: Any) -> None:
    small = {"vocab_size": VOCAB, "num_layers": 1, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_heads": 2}
    encoder = T5ForConditionalGeneration(T5Config(**small, decoder_start_token_id=0))
    with pytest.raises(SpecError, match=r"'T5ForConditionalGeneration' .* decoder-only"):
        encoder.generate(PROMPT, custom_generate=generator(), max_new_tokens=4)
    recurrent = MambaForCausalLM(MambaConfig(vocab_size=VOCAB, hidden_size=8, num_hidden_layers=1, state_size=4))
    with pytest.raises(SpecError, match=r"'MambaForCausalLM' .* no recurrent state"):
        recurrent.generate(PROMPT, custom_generate=generator(), max_new_tokens=4)
    with pytest.raises(SpecError, match=r"vocab_size of the proposer = 299 .* 300, the model's"):
        model.generate(PROMPT, custom_generate=generator(proposer=table(VOCAB - 1)), max_new_tokens=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, "length = 0 "),
        ({"length": 9}, r"length = 9 .* \[1, 8\]"),
        ({"schedule": "often"}, "schedule = 'often' .* constant, heuristic"),
        ({"mode": "guess"}, "mode = 'guess' "),
        ({"dtype": "float16"}, "dtype = 'float16' .* float64, float32"),
        ({"max_length": 0}, "max_length = 0 "),
        ({"tsu": Recorder(ModelTsu(config=TsuConfig(k_max=8, vocab_max=256)))}, "vocab_size of the proposer = 300 "),
    ],
)
def test_wrong_arguments_are_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        generator(**options)


def test_texts_that_are_none_are_one_line(model: Any) -> None:
    with pytest.raises(SpecError, match=r"shape of input_ids = \(2, 4\)"):
        generator().get_candidates(PROMPT.repeat(2, 1))
    with pytest.raises(SpecError, match="contexts = 300"):
        generator().get_candidates(torch.tensor([[1, VOCAB]]))
    with pytest.raises(SpecError, match=r"assistant_model = 'GPT2LMHeadModel' .* none: the TSU drafts"):
        generate_with(model=model, candidates=generator(), inputs=PROMPT, assistant_model=model)
    with pytest.raises(SpecError, match=r"tokenizer = None .* stop_strings"):
        generate_with(model=model, candidates=generator(), inputs=PROMPT, stop_strings=["x"])
