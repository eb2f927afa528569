# SPDX-License-Identifier: Apache-2.0
"""The loop on toys: it learns, resumes to the same bits, keeps the best model, stops, and refuses what does not fit."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from host.models.config import GruConfig, LowRankConfig, TransformerConfig
from host.models.store import load_model
from host.propose.gru import GruProposer
from host.psi.batch import overlaps
from host.targets.bigram import BigramTarget, dirichlet_bigram
from host.targets.transformer import TransformerTarget
from host.train.bigram import BigramTask
from host.train.checkpoint import STATE
from host.train.data import Tokens
from host.train.goal import Goal
from host.train.language import LanguageTask
from host.train.laws import laws_along
from host.train.log import LOG, append_row, drop_rows_after, read_rows
from host.train.loop import SCORE, Task, TrainingError, make_optimiser, train
from host.train.run import open_target, proposer_task, train_proposer, train_target
from host.train.sequence import SequenceTask
from host.train.settings import TrainSettings
from hw.spec.errors import SpecError

torch.set_num_threads(1)

V = 12


@pytest.fixture(scope="module")
def target() -> BigramTarget:
    return dirichlet_bigram(vocab_size=V, concentration=0.2, seed=3)


@pytest.fixture(scope="module")
def tokens(target: BigramTarget) -> Tokens:
    """Samples of the bigram."""
    rng = np.random.Generator(np.random.PCG64(4))
    text = [0]
    for _ in range(6000):
        text.append(int(rng.choice(V, p=target.table[text[-1]])))
    return Tokens(train=text[:5000], heldout=text[5000:], vocab_size=V)


SETTINGS = TrainSettings(steps=12, batch=4, length=16, rate=1e-2, warmup=2, every=3)
GOAL = Goal(objective="kl-tv", kl_share=0.5, k=4)
GRU = GruConfig(vocab_size=V, embed=8, hidden=16)


def gru_task(
    target: BigramTarget, tokens: Tokens, settings: TrainSettings = SETTINGS, goal: Goal = GOAL
) -> SequenceTask:
    return SequenceTask(config=GRU, target=target, tokens=tokens, settings=settings, goal=goal)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_model(folder)[0].state_dict()


def same_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


class Interrupting:
    """A task that is interrupted, or dies, in a step."""

    def __init__(self, task: Task, step: int, error: BaseException) -> None:
        self.task, self.step, self.error = task, step, error
        self.model, self.config, self.facts, self.measure = task.model, task.config, task.facts, task.measure

    @property
    def outcome(self) -> torch.nn.Module:
        return self.task.outcome

    def loss(self, step: int, progress: float) -> torch.Tensor:
        if step == self.step:
            raise self.error
        return self.task.loss(step, progress)


@pytest.mark.parametrize("kind", ["gru", "low-rank", "transformer"])
def test_an_interrupted_run_goes_on_to_the_same_bits(kind, target, tokens, tmp_path):
    def task() -> Task:
        if kind == "gru":
            return gru_task(target, tokens)
        if kind == "low-rank":
            config = LowRankConfig(vocab_size=V, rank=2)
            return BigramTask(config=config, target=target, tokens=tokens, settings=SETTINGS, goal=GOAL, starts=2)
        shape = TransformerConfig(vocab_size=V, width=16, layers=2, heads=2, span=4)
        return LanguageTask(config=shape, tokens=tokens, settings=SETTINGS)

    whole, halves = tmp_path / "whole", tmp_path / "halves"
    first, second = task(), task()
    done = train(first, SETTINGS, folder=whole)
    assert done.steps == 12
    with pytest.raises(KeyboardInterrupt):
        train(Interrupting(task(), 8, KeyboardInterrupt()), SETTINGS, folder=halves)
    state = json.loads((halves / STATE).read_text())
    assert state["step"] == 6
    assert state["spec_id"].startswith("0x")
    append_row(halves, {"step": 8, "loss": 0.0})  # as if a crash had come between row and checkpoint
    resumed = train(second, SETTINGS, folder=halves, resume=True)
    assert same_bits(weights(whole), weights(halves))
    assert same_bits(first.model.state_dict(), second.model.state_dict())
    assert (resumed.best_score, resumed.best_step) == (done.best_score, done.best_step)
    drop = ("cpu_s",)
    rows = [[{k: v for k, v in row.items() if k not in drop} for row in read_rows(f)] for f in (whole, halves)]
    assert rows[0] == rows[1]
    assert [row["step"] for row in rows[0]] == [3, 6, 9, 12]
    assert len(list(halves.glob("checkpoint-*.safetensors"))) == 1
    assert not list(halves.glob("*.part"))


def test_a_resumed_run_without_its_optimiser_is_caught(target, tokens, tmp_path, monkeypatch):
    """Seeded bug: moments of AdamW start again from zero."""
    train(gru_task(target, tokens), SETTINGS, folder=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(Interrupting(gru_task(target, tokens), 8, KeyboardInterrupt()), SETTINGS, folder=tmp_path / "halves")
    monkeypatch.setattr("host.train.checkpoint._fill_optimiser", lambda optimiser, tensors: None)
    train(gru_task(target, tokens), SETTINGS, folder=tmp_path / "halves", resume=True)
    assert not same_bits(weights(tmp_path / "whole"), weights(tmp_path / "halves"))


def test_seeds_and_torchs_generator(target, tokens):
    before = torch.get_rng_state()
    one, two = gru_task(target, tokens), gru_task(target, tokens)
    other = gru_task(target, tokens, replace(SETTINGS, seed=1))
    assert same_bits(one.model.state_dict(), two.model.state_dict())
    assert not same_bits(one.model.state_dict(), other.model.state_dict())
    with torch.no_grad():
        assert float(one.loss(5, 0.4)) == float(two.loss(5, 0.4)) != float(one.loss(6, 0.4))
    assert torch.equal(before, torch.get_rng_state())


def test_learning_on_a_synthetic_bigram(target, tokens, tmp_path):
    """A GRU that starts near the overlap of ignorance ends near the ceiling of a perfect proposer cut to K = 4."""
    settings = TrainSettings(steps=100, batch=4, length=32, rate=2e-2, warmup=10, every=50)
    task = gru_task(target, tokens, settings)
    with torch.no_grad():
        start = task.measure()[SCORE]
    result = train(task, settings, folder=tmp_path)
    contexts = np.bincount(tokens.heldout[:-1], minlength=V) / (len(tokens.heldout) - 1)
    ceiling = float(contexts @ overlaps(target.table, target.table, 4))
    assert start < 0.6 * ceiling
    assert 0.9 * ceiling < result.best_score
    proposer = GruProposer.load(tmp_path, k=4)
    assert proposer.vocab_size == V


@pytest.mark.parametrize("sign", [1, -1])
def test_tv_raises_acceptance_and_with_the_wrong_sign_lowers_it(sign, target, tokens, tmp_path, monkeypatch):
    """Seeded bug: a TV loss with the sign wrong must not look like training."""
    from host.train import objectives

    monkeypatch.setitem(objectives.PLAIN, "tv", lambda p, log_q, f, drafts: sign * objectives.tv(p, f))
    goal, config = Goal(objective="tv", k=4), LowRankConfig(vocab_size=V, rank=2)
    settings = TrainSettings(steps=100, rate=5e-2, warmup=5, every=100, weight_decay=0.0)
    task = BigramTask(config=config, target=target, tokens=tokens, settings=settings, goal=goal)
    with torch.no_grad():
        start = task.measure()[SCORE]
    end = train(task, settings, folder=tmp_path).best_score
    assert end > start + 0.1 if sign > 0 else end < start - 0.05


def test_measured_acceptance_is_that_of_the_psi_on_held_out_contexts(target, tokens):
    config = LowRankConfig(vocab_size=V, rank=2)
    task = BigramTask(config=config, target=target, tokens=tokens, settings=SETTINGS, goal=GOAL)
    with torch.no_grad():
        figures = task.measure()
        q = task.outcome.rows().double().softmax(-1).numpy()
    before = tokens.heldout[:-1]
    assert figures["acceptance"] == pytest.approx(overlaps(target.table[before], q[before], 4).mean())
    assert figures["overlap"] == pytest.approx(np.minimum(target.table[before], q[before]).sum(axis=1).mean())
    assert figures[SCORE] == figures["acceptance"]


def bigram_task(target, tokens, starts, seed=0):
    settings = TrainSettings(steps=60, rate=5e-2, warmup=5, every=60, weight_decay=0.0, clip=1e6, seed=seed)
    goal, config = Goal(objective="tv", k=4), LowRankConfig(vocab_size=V, rank=2)
    return BigramTask(
        config=config, target=target, tokens=tokens, settings=settings, goal=goal, starts=starts
    ), settings


def test_starts_side_by_side_learn_what_each_learns_alone(target, tokens, tmp_path):
    """The first of several starts is that of a run with one; no start sees another, but for the last bits."""
    alone, settings = bigram_task(target, tokens, 1)
    together, _ = bigram_task(target, tokens, 3)
    assert same_bits(alone.model.one(0).state_dict(), together.model.one(0).state_dict())
    train(alone, settings, folder=tmp_path / "alone")
    train(together, settings, folder=tmp_path / "together")
    torch.testing.assert_close(alone.model.one(0).rows(), together.model.one(0).rows(), rtol=1e-2, atol=1e-3)
    rows = together.model.rows()
    assert (rows[0] - rows[1]).abs().max() > 0.1


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_start_with_the_least_objective_on_the_training_text_is_kept(best, target, tokens):
    """One start is given the target's own law where the training text goes; held-out contexts have no say."""
    task, _ = bigram_task(target, tokens, 3)
    model = task.model
    with torch.no_grad():
        model.contexts[best] = 0
        counts = np.bincount(tokens.train[:-1], minlength=V + 1) + 1.0
        mean = (counts[:, None] * np.concatenate([target.table, target.start[None]])).sum(axis=0) / counts.sum()
        model.bias[best] = torch.from_numpy(np.log(mean))
        others = [number for number in range(3) if number != best]
        model.bias[others] = torch.linspace(0, 9, V)
        model.contexts[others] = 0
        kept = task.outcome
        measured = task.measure()["overlap"]
    assert torch.equal(kept.bias, model.bias[best])
    before = tokens.heldout[:-1]
    assert measured == pytest.approx(np.minimum(target.table[before], mean / mean.sum()).sum(axis=1).mean())


def test_only_low_rank_bigrams_have_several_starts(target, tokens):
    with pytest.raises(SpecError, match="starts = 2"):
        proposer_task(config=GRU, target=target, tokens=tokens, settings=SETTINGS, goal=GOAL, starts=2)
    with pytest.raises(SpecError, match="starts = 0"):
        bigram_task(target, tokens, 0)


class Scripted:
    """A task whose scores are given."""

    def __init__(self, scores: list[float], loss: float = 1.0) -> None:
        self.config = LowRankConfig(vocab_size=2, rank=1)
        self.model = self.outcome = torch.nn.Linear(1, 1)
        self.scores, self.value = iter(scores), loss

    def loss(self, step: int, progress: float) -> torch.Tensor:
        return self.model.weight.sum() * 0 + self.value

    def measure(self) -> dict[str, float]:
        return {SCORE: next(self.scores)}

    def facts(self) -> dict[str, object]:
        return {"model": "scripted"}


def test_patience_and_the_best_model(tmp_path):
    settings = replace(SETTINGS, steps=20, every=1, patience=2)
    result = train(Scripted([0.1, 0.3, 0.2, 0.4, 0.4, 0.1, 0.9]), settings, folder=tmp_path)
    assert (result.steps, result.best_step, result.best_score) == (6, 4, 0.4)
    assert json.loads((tmp_path / "model.json").read_text())["step"] == 4
    again = train(Scripted([]), settings, folder=tmp_path, resume=True)
    assert (again.steps, again.best_score) == (6, 0.4)


def test_a_loss_that_is_not_finite(tmp_path):
    with pytest.raises(TrainingError, match="the loss of step 0 is nan: a smaller rate is needed"):
        train(Scripted([], loss=math.nan), SETTINGS, folder=tmp_path)


def test_resume_and_overwrite_are_refused_where_they_do_not_fit(target, tokens, tmp_path):
    with pytest.raises(SpecError, match="a readable JSON file"):
        train(Scripted([]), SETTINGS, folder=tmp_path, resume=True)
    train(gru_task(target, tokens), SETTINGS, folder=tmp_path)
    with pytest.raises(SpecError, match="a folder without a checkpoint, or resume"):
        train(gru_task(target, tokens), SETTINGS, folder=tmp_path)
    longer = replace(SETTINGS, steps=20)
    with pytest.raises(SpecError, match=r"resume = .*the run of this checkpoint; different: settings"):
        train(gru_task(target, tokens, longer), longer, folder=tmp_path, resume=True)
    state = json.loads((tmp_path / STATE).read_text())
    (tmp_path / STATE).write_text(json.dumps({**state, "spec_id": "0x0"}))
    with pytest.raises(SpecError, match="spec_id of the checkpoint = '0x0'"):
        train(gru_task(target, tokens), SETTINGS, folder=tmp_path, resume=True)


def test_rate_rises_and_falls():
    s = TrainSettings(steps=100, warmup=10, rate=1.0, floor=0.1)
    assert s.rate_at(0) == pytest.approx(0.1)
    assert s.rate_at(9) == s.rate_at(10) == pytest.approx(1.0)
    assert s.rate_at(55) == pytest.approx(0.55)
    assert s.rate_at(99) == pytest.approx(0.1, abs=1e-3)
    assert TrainSettings.parse(s.as_dict()) == s
    with pytest.raises(SpecError, match="settings = "):
        TrainSettings.parse({"steps": 3})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("batch", 0),
        ("length", 0),
        ("warmup", -1),
        ("every", 0),
        ("patience", -1),
        ("seed", -1),
        ("rate", 0.0),
        ("rate", math.nan),
        ("rate", "fast"),
        ("clip", 0),
        ("weight_decay", -0.1),
        ("floor", 1.1),
    ],
)
def test_bad_settings(field, value):
    with pytest.raises(SpecError, match=f"{field} = "):
        TrainSettings(**{field: value})


def test_decay_is_on_matrices_only():
    decayed, plain = make_optimiser(torch.nn.Linear(3, 3), SETTINGS).param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert [p.ndim for p in plain["params"]] == [1]
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.01, 0.0)


@pytest.mark.parametrize("order", [0, 1, 3, 9])
def test_laws_along_a_text_are_those_of_its_prefixes(order):
    class Sums:
        """p depends on the sum of the last `order` tokens."""

        vocab_size = 5

        def __init__(self) -> None:
            self.order = order

        def logprobs(self, contexts: np.ndarray) -> np.ndarray:
            ends = contexts[:, max(0, contexts.shape[1] - order) :]
            logits = np.sin(np.arange(1, 6) * (1.0 + ends.sum(axis=1, keepdims=True) + ends.shape[1]))
            return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))

    texts = np.random.Generator(np.random.PCG64(0)).integers(0, 5, size=(3, 7))
    laws = laws_along(Sums(), torch.from_numpy(texts))
    assert laws.shape == (3, 8, 5)
    for i in range(8):
        np.testing.assert_allclose(laws[:, i].numpy(), np.exp(Sums().logprobs(texts[:, :i])), rtol=1e-6)


def test_laws_along_need_an_order():
    class Endless:
        vocab_size, order = 5, None

    with pytest.raises(SpecError, match="order of the target = None"):
        laws_along(Endless(), torch.zeros(1, 3, dtype=torch.int64))


def test_targets_by_name_and_what_does_not_go_together(tokens, tmp_path):
    shape = TransformerConfig(vocab_size=V, width=16, layers=1, heads=2, span=4)
    train_target(config=shape, tokens=tokens, settings=SETTINGS, folder=tmp_path / "target")
    trained = open_target(str(tmp_path / "target"), tokens)
    assert isinstance(trained, TransformerTarget)
    assert isinstance(open_target("bigram", tokens), BigramTarget)
    assert isinstance(open_target("bigram:laplace", tokens), BigramTarget)
    with pytest.raises(SpecError, match="smoothing = 'none'"):
        open_target("bigram:none", tokens)
    with pytest.raises(SpecError, match=r"target = 'TransformerTarget' .* a bigram"):
        low = LowRankConfig(vocab_size=V)
        proposer_task(config=low, target=trained, tokens=tokens, settings=SETTINGS, goal=GOAL)
    result = train_proposer(
        config=GRU, target=trained, tokens=tokens, settings=SETTINGS, goal=GOAL, folder=tmp_path / "gru"
    )
    assert 0 < result.best_score < 1
    with pytest.raises(SpecError, match="vocab_size of the model = 5"):
        gru = GruConfig(vocab_size=5)
        proposer_task(config=gru, target=trained, tokens=tokens, settings=SETTINGS, goal=GOAL)
    with pytest.raises(SpecError, match="vocab_size of the model = 5"):
        LanguageTask(config=TransformerConfig(vocab_size=5), tokens=tokens, settings=SETTINGS)


def test_log(tmp_path):
    drop_rows_after(tmp_path, 3)
    with pytest.raises(SpecError, match="log = "):
        read_rows(tmp_path)
    for step in (1, 2, 3):
        append_row(tmp_path, {"step": step})
    with (tmp_path / LOG).open("a") as file:
        file.write('{"step": 4, "lo')
    assert [row["step"] for row in read_rows(tmp_path)] == [1, 2, 3]
    drop_rows_after(tmp_path, 2)
    assert [row["step"] for row in read_rows(tmp_path)] == [1, 2]
    (tmp_path / LOG).write_text('{"step"\n{"step": 1}\n')
    with pytest.raises(SpecError, match="line 1 of the log"):
        read_rows(tmp_path)
