# SPDX-License-Identifier: Apache-2.0
"""The law of what `generate` of transformers writes with candidates of the TSU: enumerated, through the whole call."""

import itertools
from collections.abc import Callable, Hashable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList
from transformers.generation.utils import _speculative_sampling

from host.hf import assisted as module
from host.hf.assisted import STRICT_WEIGHT
from host.hf.candidates import TSDCandidateGenerator
from host.propose.table import TableProposer
from host.targets.bigram import BigramTarget
from hw.spec.config import TsuConfig
from tests.reference.choices import Choices, ChosenTsu

VOCAB, NEW = 3, 3
PROMPT = torch.tensor([[0, 2]])
CONFIG = TsuConfig(k_max=8)

EQUAL = 2e-6
"""Total variation that float32 leaves: p is its softmax, of logits from passes over one and over several tokens."""

BIASED = 1e-3
"""What a wrong q costs at least, here."""


def tiny(seed: int, *, end: int | None = None) -> GPT2LMHeadModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=VOCAB, n_positions=16, n_embd=8, n_layer=1, n_head=1, initializer_range=0.7, bos_token_id=None,
        eos_token_id=end, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


MODEL = tiny(1)
PROPOSER = TableProposer(model=BigramTarget(table=[[0.5, 0.3, 0.2], [0.1, 0.6, 0.3], [0.4, 0.15, 0.45]]), k=2)
"""psi of two ids, and a tail of one token."""


class Generator(TSDCandidateGenerator):
    """Draws that are choices; `wrong` changes the law that is handed over, and nothing else."""

    wrong: Callable[[torch.Tensor], torch.Tensor] | None = None

    def get_candidates(self, input_ids: torch.Tensor, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        ids, logits = super().get_candidates(input_ids, **kwargs)
        return ids, logits if logits is None or self.wrong is None else self.wrong(logits)


def generator(choices: Choices, *, length: int = 2, **options: Any) -> Generator:
    return Generator(proposer=PROPOSER, tsu=ChosenTsu(choices=choices, config=CONFIG), length=length, **options)


def law_of(
    monkeypatch: pytest.MonkeyPatch, *, model: GPT2LMHeadModel = MODEL, wrong: Any = None, plain: bool = False,
    length: int = 2, dtype: str = "float64", **arguments: Any,
) -> dict[Hashable, float]:  # fmt: skip
    """Probability of every text that `generate` can write."""
    choices = Choices()
    monkeypatch.setattr(torch, "multinomial", choices.multinomial)
    monkeypatch.setattr(torch, "rand_like", choices.rand_like)
    made = generator(choices, length=length, dtype=dtype)
    made.wrong = wrong
    extra = {} if plain else {"custom_generate": made}

    def program() -> Hashable:
        given = {"do_sample": True, "top_k": 0, "max_new_tokens": NEW} | arguments | extra
        return tuple(model.generate(PROMPT, **given)[0, PROMPT.shape[1] :].tolist())

    law = choices.law(program)
    assert abs(sum(law.values()) - 1) < 1e-9
    if not plain:
        assert made.counts.num_draft_tokens >= choices.runs
    return law


def by_hand(temperature: float, top_k: int) -> dict[Hashable, float]:
    """p(x1) p(x2|x1) p(x3|x1 x2), from logits of whole texts, in float64."""
    law: dict[Hashable, float] = {}
    for text in itertools.product(range(VOCAB), repeat=NEW):
        with torch.inference_mode():
            logits = MODEL(input_ids=torch.cat([PROMPT, torch.tensor([text])], dim=1)).logits[0].double().numpy()
        mass = 1.0
        for place, token in enumerate(text):
            row = logits[PROMPT.shape[1] - 1 + place] / temperature
            weights = np.where(row >= np.sort(row)[-top_k], np.exp(row), 0.0)
            mass *= weights[token] / weights.sum()
        law[text] = mass
    return law


def distance(one: dict[Hashable, float], other: dict[Hashable, float]) -> float:
    """Total variation."""
    return sum(abs(one.get(text, 0.0) - other.get(text, 0.0)) for text in {*one, *other}) / 2


def cooled(logits: torch.Tensor) -> torch.Tensor:
    """q as if it had been sampled at temperature 0.7: what `generate` does to the target, done to the candidates."""
    return logits / 0.7


def cut(logits: torch.Tensor) -> torch.Tensor:
    """q without its least probable token: top-k of the target, done to the candidates."""
    return logits.masked_fill(logits == logits.min(dim=-1, keepdim=True).values, -torch.inf)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, VOCAB), (0.7, 2)])
def test_the_text_has_the_law_of_the_target(monkeypatch: pytest.MonkeyPatch, temperature: float, top_k: int) -> None:
    """Every draw of the TSU, every decision and every token: 27 texts, against products of the target's rows.

    Candidates are drawn from all tokens: those that top-k rules out are refused, and never emitted.
    """
    found = law_of(monkeypatch, temperature=temperature, top_k=top_k)
    wanted = by_hand(temperature, top_k)
    assert distance(found, wanted) < EQUAL
    assert all(wanted[text] > 0 for text in found)


SETTINGS: dict[str, dict[str, Any]] = {
    "penalty": {"repetition_penalty": 1.7, "temperature": 1.3},
    "nucleus": {"top_p": 0.8, "length": 1},
    "forbidden": {"bad_words_ids": [[1]]},
    "three drafts": {"length": 3, "max_new_tokens": 4, "top_k": 2},
    "end of text": {"model": tiny(1, end=0)},
    "no repeats": {"no_repeat_ngram_size": 2, "renormalize_logits": True},
    "float32": {"dtype": "float32"},
}


@pytest.mark.parametrize(
    "setting", [pytest.param(name, marks=[pytest.mark.slow] if name == "three drafts" else []) for name in SETTINGS]
)
def test_the_text_has_the_law_of_generate_alone(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    """The same call with and without candidates, whatever `generate` does to the target's logits."""
    found = law_of(monkeypatch, **SETTINGS[setting])
    alone = law_of(monkeypatch, plain=True, **SETTINGS[setting])
    assert len(alone) > 1
    assert distance(found, alone) < EQUAL
    assert set(found) == set(alone)


@pytest.mark.parametrize("wrong", [cooled, cut])
def test_a_rescored_q_changes_the_law(monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    """Processors applied to a q that was sampled without them, or the other way round: issue 47932 of transformers."""
    assert distance(law_of(monkeypatch, wrong=wrong), by_hand(1.0, VOCAB)) > BIASED


# --- the verifier of transformers ---------------------------------------------------------------------------------


def verdict(
    monkeypatch: pytest.MonkeyPatch, p: list[float], q: list[float], token: int, uniform: float, weight: float | None
) -> tuple[bool, torch.Tensor | None]:
    """Whether a candidate is accepted, and what the next token is drawn from."""
    drawn: list[torch.Tensor] = []
    monkeypatch.setattr(torch, "rand_like", lambda ratio: torch.full_like(ratio, uniform))
    monkeypatch.setattr(torch, "multinomial", lambda row, num_samples: drawn.append(row) or torch.zeros(1, 1).long())
    p_logits = torch.log(torch.tensor([[p, p]], dtype=torch.float32))
    q_logits = torch.log(torch.tensor([[q]], dtype=torch.float64))
    candidate = torch.tensor([[9, token]])
    _, accepted = _speculative_sampling(candidate, q_logits, 1, p_logits, assistant_ensemble_weight=weight)
    return bool(accepted), drawn[0].reshape(-1)


def test_a_candidate_is_accepted_as_often_as_it_should(monkeypatch: pytest.MonkeyPatch) -> None:
    """By bisection of the uniform, a float64 beside float64 logits: min(1, p/q), as far as p is rounded."""
    p, q = [0.125, 0.375, 0.5, 0.0], [0.25, 0.5, 0.125, 0.125]
    for token, (mass, drawn) in enumerate(zip(p, q, strict=True)):
        low, high = -1, 1 << 53  # of uniforms k 2^-53, the last that is accepted and the first that is not
        while high - low > 1:
            middle = (low + high) // 2
            accepted, _ = verdict(monkeypatch, p, q, token, middle * 2.0**-53, STRICT_WEIGHT)
            low, high = (middle, high) if accepted else (low, middle)
        # p is a float32 softmax of float32 logits: 4 units of 2^-24
        assert abs(Fraction(high, 1 << 53) - min(1, Fraction(mass) / Fraction(drawn))) <= Fraction(4, 1 << 24)
        assert mass > 0 or high == 0


def test_a_token_that_is_ruled_out_is_never_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The uniform 0 is drawn once in 2^53 times (2^24 in float32); the verifier as it is lets p = 0 pass there."""
    p, q = [0.0, 1.0], [0.5, 0.5]
    assert verdict(monkeypatch, p, q, 0, 0.0, None)[0]
    assert not verdict(monkeypatch, p, q, 0, 0.0, STRICT_WEIGHT)[0]


def test_a_residual_of_nothing_is_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    """p = q but for rounding: the verifier as it is divides 0 by 0 there."""
    third = [1 / 3 - 2.0**-27] * 3
    q = [1 / 3] * 3
    last = 1 - 2.0**-53
    p = torch.log(torch.tensor(third)).softmax(-1).double()
    assert bool((p <= torch.tensor(q).double() + 1e-7).all())
    monkeypatch.setattr(torch.Tensor, "softmax", lambda row, dim: torch.exp(row))  # p sums to less than 1
    accepted, drawn = verdict(monkeypatch, third, q, 0, last, None)
    assert not accepted
    assert bool(torch.isnan(drawn).all())
    accepted, drawn = verdict(monkeypatch, third, q, 0, last, STRICT_WEIGHT)
    assert not accepted
    assert torch.allclose(drawn.double(), torch.tensor(third).double())


def test_without_the_weight_tokens_ruled_out_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole call, with a uniform that is always 0: only the rule of `host.hf` keeps what top-k rules out."""
    monkeypatch.setattr(torch, "rand_like", torch.zeros_like)
    assert ruled_out() == 0
    monkeypatch.setattr(module, "STRICT_WEIGHT", None)
    assert ruled_out() > 0


def ruled_out() -> int:
    """Tokens with p = 0 among those of a text at top_k = 1."""
    choices = np.random.default_rng(4)

    class Drawn:
        def take(self, masses: np.ndarray) -> int:
            return int(choices.choice(len(masses), p=masses))

    made = generator(Drawn(), length=2)  # type: ignore[arg-type]  # draws by chance
    text = MODEL.generate(PROMPT, custom_generate=made, do_sample=True, top_k=1, max_new_tokens=12)
    with torch.inference_mode():
        best = MODEL(input_ids=text).logits[0, PROMPT.shape[1] - 1 : -1].argmax(dim=-1)
    return int((best != text[0, PROMPT.shape[1] :]).sum())


# --- where a text ends --------------------------------------------------------------------------------------------


class EndsWith(StoppingCriteria):
    """A text that ends with these tokens is full."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = torch.tensor(tokens)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        return torch.tensor([torch.equal(input_ids[0, -len(self._tokens) :], self._tokens)])


def test_a_criterion_that_looks_at_the_last_tokens_ends_the_text_where_it_is_met(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also in the middle of accepted candidates; asked once a round, as transformers does, it is overlooked there."""
    ends = StoppingCriteriaList([EndsWith([0, 1])])
    alone = law_of(monkeypatch, plain=True, stopping_criteria=ends)
    assert distance(law_of(monkeypatch, stopping_criteria=ends), alone) < EQUAL
    monkeypatch.setattr(module.FirstStop, "cut", lambda stop, done: done)
    assert distance(law_of(monkeypatch, stopping_criteria=ends), alone) > BIASED


def test_processors_of_ones_own_see_every_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that forbids the last token again."""

    def no_twins(input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        return scores.index_fill(1, input_ids[0, -1:], -torch.inf)

    processors = LogitsProcessorList([no_twins])
    found = law_of(monkeypatch, logits_processor=processors)
    assert distance(found, law_of(monkeypatch, plain=True, logits_processor=processors)) < EQUAL
    assert all(one != other for text in found for one, other in itertools.pairwise(text))
