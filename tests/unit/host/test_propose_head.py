# SPDX-License-Identifier: Apache-2.0
"""The head: what it looks at, its psi, whom it fits, its training and its command line, on a Llama of three layers."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from host.decode.one_text import OneTextLoop
from host.golden.real import probabilities
from host.models.config import DESCRIPTION, HeadConfig
from host.models.head import Head, joined, token_table
from host.models.llama_folder import load_llama
from host.models.product import product
from host.propose.head import HeadProposer
from host.propose.registry import Request, make_proposer
from host.psi.batch import craft_batch
from host.targets.causal_lm import CausalLmTarget
from host.targets.language_model import find_model, load_model
from host.targets.llama import LlamaTarget
from host.text_soundness import TextAssessment
from host.train.command import main
from host.train.goal import Goal
from host.train.head import HeadTask, frequent_tokens, inputs, ridge_regression, second_moments
from host.train.own_text import OwnTexts, collect, round_path, write_texts
from host.train.settings import TrainSettings
from host.tsu.model import ModelTsu
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from tests.reference.tiny_lm import SIZES, VOCAB, write_gpt2, write_llama

torch.set_num_threads(1)

WIDTH = SIZES["hidden_size"]
CONTEXT = np.random.default_rng(5).integers(0, VOCAB, 12)
CONFIG = HeadConfig(vocab_size=VOCAB, width=WIDTH, alone=1, middle=2, inner=24, kept=200, rank=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("llama"), num_hidden_layers=3)


def lean(folder: Path, temperature: float = 1.0) -> LlamaTarget:
    return LlamaTarget(model=load_llama(folder=folder, positions=256), temperature=temperature)


def random_head(config: HeadConfig = CONFIG, seed: int = 0) -> Head:
    """A head of which no part is zero."""
    torch.manual_seed(seed)
    head = Head(config)
    torch.nn.init.normal_(head.down.weight, std=0.1)
    torch.nn.init.normal_(head.bias)
    head.token_ids.copy_(torch.randperm(config.vocab_size)[: config.kept].sort().values)
    return head


def reference_law(folder: Path, head: Head, context: np.ndarray, temperature: float) -> np.ndarray:
    """The head's law over all tokens, from the states of transformers, in float64."""
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float64, local_files_only=True).eval()

    def rms(x: torch.Tensor) -> torch.Tensor:
        return x / (x.pow(2).mean() + 1e-6).sqrt()

    with torch.inference_mode():
        states = model(input_ids=torch.from_numpy(context)[None], output_hidden_states=True).hidden_states
        embedding, output = model.get_input_embeddings().weight, model.get_output_embeddings().weight
        newest = torch.from_numpy(context[-1:])[None]
        alone = model(input_ids=newest, output_hidden_states=True).hidden_states[head.config.alone][0, 0]
        hidden = states[-1][0, -2] if len(context) > 1 else torch.zeros_like(alone)
        middle = states[head.config.middle][0, -2] if len(context) > 1 else torch.zeros_like(alone)
        u = torch.cat([hidden, rms(middle), rms(embedding[context[-1]]), rms(alone)])
        weights = {name: tensor.double() for name, tensor in head.state_dict().items() if "short" not in name}
        z = weights["predict.weight"] @ u + weights["predict.bias"]
        gate, up = (weights["gate_up.weight"] @ torch.cat([rms(u), rms(z)])).chunk(2)
        y = z + weights["down.weight"] @ (gate * torch.sigmoid(gate) * up)
        law = np.zeros(head.config.vocab_size)
        logits = output[head.token_ids] @ y + weights["bias"]
        law[head.token_ids] = torch.softmax(logits / temperature, dim=0)
    return law


@pytest.mark.parametrize(("alone", "middle"), [(0, 2), (1, 1), (2, 0)])
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_psi_is_that_of_the_formula(
    folder: Path, monkeypatch: pytest.MonkeyPatch, alone: int, middle: int, temperature: float
) -> None:
    """With matrices as they were learned in place of bytes."""
    monkeypatch.setattr("host.models.head.ByteWeight", lambda weight: partial(product, weight=weight.detach()))
    sizes = {"alone": alone, "middle": middle, "inner": 24, "kept": 200, "rank": WIDTH}
    head = random_head(HeadConfig(vocab_size=VOCAB, width=WIDTH, **sizes))
    target = lean(folder, temperature)
    head.set_shortlist(target.output_weights[head.token_ids], torch.eye(WIDTH, dtype=torch.float64))  # all of it
    proposer = HeadProposer(model=head, target=target, k=16)
    for context in (CONTEXT[:1], CONTEXT[:2], CONTEXT, np.append(CONTEXT[:5], 7)):
        (psi,) = proposer.emit(proposer.start(1), context[None])
        law = reference_law(folder, head, context, temperature)
        (wanted,) = craft_batch(law[None], 16)
        assert psi.ids.tolist() == wanted.ids.tolist()
        assert np.abs(psi.scores_q.astype(int) - wanted.scores_q.astype(int)).max() <= 1  # a score at a rounding edge
        assert psi.scale == pytest.approx(wanted.scale, rel=1e-4)
        assert psi.tail == pytest.approx(wanted.tail, rel=1e-3)
        assert psi.vocab_size == VOCAB


def test_bytes_hardly_change_what_is_proposed(folder: Path) -> None:
    """A hundredth of the law that psi carries may move; another head's is far away."""
    head, target = random_head(), lean(folder)
    head.set_shortlist(target.output_weights[head.token_ids], torch.eye(WIDTH, dtype=torch.float64))
    proposer = HeadProposer(model=head, target=target, k=150)
    for length in (1, 2, 5, 12):
        (psi,) = proposer.emit(proposer.start(1), CONTEXT[None, :length])
        laws = [reference_law(folder, one, CONTEXT[:length], 1.0) for one in (head, random_head(seed=5))]
        same, other = (np.minimum(probabilities(psi), probabilities(it)).sum() for it in craft_batch(laws, 150))
        assert same > 0.99
        assert other < 0.9


def test_psi_does_not_depend_on_what_the_target_did_before(folder: Path) -> None:
    """Behind accepted and refused drafts: the same psi as a fresh target gives, and a row of p that is as fresh."""
    head, target = random_head(), lean(folder)
    proposer = HeadProposer(model=head, target=target, k=16)
    for length in (3, 4, 6, 5, 12):
        context = CONTEXT[None, :length]
        fresh = HeadProposer(model=head, target=lean(folder), k=16)
        (psi,), (wanted,) = (it.emit(it.start(1), context) for it in (proposer, fresh))
        assert psi.ids.tolist() == wanted.ids.tolist()
        row = np.log(target.rows(context[0], np.array([length]), np.array([0])).p(0))
        assert np.allclose(row, lean(folder).logprobs(context), atol=2e-5)


def test_a_step_of_the_loop_costs_one_pass(folder: Path) -> None:
    target = lean(folder)
    loop = OneTextLoop(
        tsu=ModelTsu(config=TsuConfig(k_max=64), seed=1, mode="exp2"), target=target,
        proposer=HeadProposer(model=random_head(), target=target, k=64), begin=CONTEXT, mode="exp2",
        rng=np.random.default_rng(2),
    )  # fmt: skip
    assessment = TextAssessment()
    for _ in range(80):
        assessment.add(loop.step())
    assert target.passes == 81  # one for the prompt but its last token
    assert assessment.finish(80).sound


def test_whom_a_head_fits(folder: Path, tmp_path: Path) -> None:
    wider = HeadConfig(vocab_size=VOCAB, width=WIDTH + 2, alone=1, middle=2, inner=24, kept=200, rank=8)
    with pytest.raises(SpecError, match=r"width of the head = 34 .* 32, the target's"):
        HeadProposer(model=Head(wider), target=lean(folder), k=16)
    deeper = HeadConfig(vocab_size=VOCAB, width=WIDTH, alone=4, middle=2, inner=24, kept=200, rank=8)
    with pytest.raises(SpecError, match="alone layers of the head = 4"):
        HeadProposer(model=Head(deeper), target=lean(folder), k=16)
    with pytest.raises(SpecError, match="K = 201"):
        HeadProposer(model=Head(CONFIG), target=lean(folder), k=201)
    with pytest.raises(SpecError, match="kept = 301"):
        HeadConfig(vocab_size=VOCAB, width=WIDTH, kept=301, rank=8)


# --- texts and training -------------------------------------------------------------------------------------------


def write(folder: Path, *, count: int = 8, length: int = 24, seed: int = 4, dtype: str = "float32") -> OwnTexts:
    model = load_llama(folder=folder, positions=length, texts=count, dtype=dtype)
    return write_texts(model, begins=[[299], [5, 6, 7]], temperatures=[1.0, 0.5], length=length, middle=2, seed=seed)


def test_texts_are_drawn_as_asked(folder: Path) -> None:
    texts = write(folder)
    assert texts.tokens.shape == (8, 24)
    assert texts.temperatures.tolist() == [1.0, 0.5] * 4
    assert texts.tokens[:2, 0].tolist() == texts.tokens[4:6, 0].tolist() == [299, 299]
    assert texts.tokens[2:4, :3].tolist() == texts.tokens[6:, :3].tolist() == [[5, 6, 7]] * 2
    assert torch.equal(write(folder).tokens, texts.tokens)
    assert not torch.equal(write(folder, seed=5).tokens, texts.tokens)


def test_states_of_a_text_are_those_of_a_pass_over_it(folder: Path) -> None:
    texts = write(folder)
    model = load_llama(folder=folder, positions=24, texts=8)
    hidden, (middle,) = model.states(texts.tokens.long(), 0, behind=(2,))
    assert torch.allclose(texts.hidden.float(), hidden, rtol=2**-7, atol=1e-3)
    assert torch.allclose(texts.middle.float(), middle, rtol=2**-7, atol=1e-3)
    heat = texts.temperatures[:, None, None]
    logits = load_llama(folder=folder, positions=24, texts=8).forward(texts.tokens.long(), 0)[0] / heat
    assert torch.allclose(texts.log_norms, logits.logsumexp(dim=-1), atol=1e-3)


def test_texts_follow_the_model(folder: Path) -> None:
    """The second token of 4,000 texts at each temperature, against the model's law; the other temperature's fails."""
    from host import stats

    texts = write_texts(
        load_llama(folder=folder, positions=8, texts=8000), begins=[[9]], temperatures=[1.0, 0.5], length=2, middle=0,
        seed=3,
    )  # fmt: skip
    p_values = np.empty((2, 2))
    for i, drawn_at in enumerate((1.0, 0.5)):
        counts = np.bincount(texts.tokens[texts.temperatures == drawn_at, 1].numpy(), minlength=VOCAB)
        for j, heat in enumerate((1.0, 0.5)):
            law = np.exp(lean(folder, heat).logprobs(np.array([[9]]))[0])
            p_values[i, j] = stats.pooled_chi2(counts, law).p_value
    assert p_values.diagonal().min() >= 1e-6
    assert max(p_values[0, 1], p_values[1, 0]) < 1e-6


def test_rounds_that_are_there_are_not_written_again(folder: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    def round_of(number: int) -> OwnTexts:
        asked.append(number)
        return write(folder, seed=number)

    whole = collect(tmp_path, rounds=3, write=round_of)
    round_path(tmp_path, 1).unlink()
    again = collect(tmp_path, rounds=3, write=round_of)
    assert asked == [0, 1, 2, 1]
    assert len(whole) == 24
    assert all(torch.equal(getattr(whole, name), getattr(again, name)) for name in ("tokens", "hidden", "middle"))
    round_path(tmp_path, 0).write_bytes(b"no tensors")
    with pytest.raises(SpecError, match="a readable"):
        collect(tmp_path, rounds=3, write=round_of)


def test_the_start_is_a_ridge_regression(folder: Path) -> None:
    """Against numpy's least squares with the penalty as further rows."""
    texts, table = write(folder, count=40), token_table(load_llama(folder=folder, positions=24), 1)
    weight, bias = ridge_regression(table, texts)
    x = np.pad(inputs(table, texts).flatten(0, 1).double().numpy(), ((0, 0), (0, 1)), constant_values=1.0)
    y = texts.hidden[:, 1:].flatten(0, 1).double().numpy()
    penalty = np.sqrt(1e-3 * np.diag(x.T @ x).mean()) * np.eye(x.shape[1])
    wanted = np.linalg.lstsq(np.vstack([x, penalty]), np.vstack([y, np.zeros((x.shape[1], WIDTH))]), rcond=None)[0]
    assert np.abs(weight.numpy() - wanted[:-1].T).max() <= 1e-3
    assert np.abs(bias.numpy() - wanted[-1]).max() <= 1e-3


def test_the_shortlist_errs_least(folder: Path) -> None:
    """At full rank it is O y; at rank 8 its error is the rest of the SVD, and below that of the SVD of O alone."""
    texts = write(folder, count=40)
    y = texts.hidden[:, 1:].flatten(0, 1).double()
    moments = second_moments(texts)
    output = torch.randn(200, WIDTH, generator=torch.Generator().manual_seed(2))
    whole = output.double() @ y.T
    errors = {}
    for rank in (8, WIDTH):
        head = Head(HeadConfig(vocab_size=VOCAB, width=WIDTH, alone=1, middle=2, inner=24, kept=200, rank=rank))
        head.set_shortlist(output, moments)
        errors[rank] = (head.short_out.double() @ head.short_in.double() @ y.T - whole).square().mean()
    singular = torch.linalg.svdvals(output.double() @ torch.linalg.cholesky(moments))
    assert errors[WIDTH] <= 1e-6 * whole.square().mean()
    assert errors[8].item() == pytest.approx(singular[8:].square().sum().item() / 200, rel=0.02)
    u, s, v = torch.linalg.svd(output.double(), full_matrices=False)
    plain = (u[:, :8] * s[:8]) @ v[:8] @ y.T - whole
    assert errors[8] < 0.9 * plain.square().mean()


def test_tokens_beyond_the_shortlist_share_the_rest() -> None:
    """Against softmax of exact logits for the best 20 and approximate ones for the others."""
    head, output, y = random_head(), torch.randn(200, WIDTH), torch.randn(3, WIDTH)
    head.set_shortlist(output, torch.eye(WIDTH, dtype=torch.float64))
    rough = y @ head.short_in.T @ head.short_out.T + head.bias
    chosen = torch.zeros(3, 200, dtype=torch.bool).scatter(1, rough.topk(20).indices, True)
    law = torch.softmax(torch.where(chosen, y @ output.T + head.bias, rough).double() / 4, dim=-1)
    best, q, rest = head.law(y, rough.clone(), output, temperature=4.0, count=20)
    assert torch.equal(torch.zeros_like(chosen).scatter(1, best, True), chosen)
    assert bool((best.diff(dim=1) > 0).all())
    assert torch.allclose(q, law.gather(1, best), atol=1e-5)
    assert torch.allclose(rest, 1 - law.gather(1, best).sum(dim=1), atol=1e-5)
    assert bool((rest > 0.05).all())


def test_frequent_tokens_are_kept() -> None:
    config = HeadConfig(vocab_size=6, width=1, kept=3, rank=1)
    assert frequent_tokens(torch.tensor([[5, 5, 1, 1, 1, 3, 2]]), config).tolist() == [1, 2, 5]
    assert frequent_tokens(torch.tensor([[5]]), config).tolist() == [0, 1, 5]


def measured(task: HeadTask) -> dict[str, float]:
    with torch.no_grad():
        return task.measure()


def test_training_raises_what_the_regression_gives(folder: Path) -> None:
    """One example is what the proposer sees in use; 200 steps lower the loss and raise acceptance."""
    texts, heldout = write(folder, count=1600), write(folder, count=64, seed=9)
    settings = TrainSettings(steps=200, batch=16, rate=3e-3, warmup=5)
    model, config = load_llama(folder=folder, positions=24, texts=1600), replace(CONFIG, inner=96)
    task = HeadTask(
        config=config, model=model, texts=texts, heldout=heldout, settings=settings, goal=Goal(objective="kl", k=16)
    )
    context = texts.tokens[3, :7].numpy().astype(np.int64)
    seen = HeadProposer(model=task.model, target=lean(folder), k=16).states(context)
    assert torch.allclose(inputs(token_table(model, 1), texts)[3, 5], seen, rtol=2**-6, atol=2e-2)
    before, first = measured(task), task.loss(0, 0.0).item()
    optimiser = torch.optim.AdamW(task.model.parameters(), lr=3e-3)
    for step in range(200):
        optimiser.zero_grad()
        task.loss(step, step / 200).backward()
        optimiser.step()
    assert measured(task)["acceptance"] > before["acceptance"] + 0.02
    assert task.loss(0, 0.0).item() < first
    assert set(before) == {"acceptance", "acceptance_T1", "acceptance_T0.5", "score"}


def test_a_head_for_several_drafts_is_measured_by_what_they_accept(folder: Path) -> None:
    """alpha*_n of the same head rises with n, and so does the loss in that name fall."""
    texts, model = write(folder, count=40), load_llama(folder=folder, positions=24, texts=40)
    found = []
    for drafts in (1, 2, 6):
        goal = Goal(objective="nla", k=16, drafts=drafts)
        task = HeadTask(
            config=CONFIG, model=model, texts=texts, heldout=texts, settings=TrainSettings(batch=40), goal=goal
        )
        found.append((measured(task)["acceptance"], np.exp(-task.loss(0, 0.0).item())))
    assert found[0][0] + 0.05 < found[1][0] < found[2][0] - 0.05
    assert found[0][1] + 0.05 < found[1][1] < found[2][1] - 0.05


def test_a_head_that_is_no_better_than_chance(folder: Path) -> None:
    """Texts whose middle states and tokens were mixed up teach nothing: their acceptance is clearly lower."""
    texts, heldout = write(folder, count=400), write(folder, count=32, seed=9)
    mixed = OwnTexts(
        tokens=heldout.tokens.flip(0), hidden=heldout.hidden, middle=heldout.middle.flip(0),
        log_norms=heldout.log_norms, temperatures=heldout.temperatures,
    )  # fmt: skip
    scores = []
    for part in (heldout, mixed):
        task = HeadTask(
            config=CONFIG, model=load_llama(folder=folder, positions=24, texts=64), texts=texts, heldout=part,
            settings=TrainSettings(), goal=Goal(k=16),
        )  # fmt: skip
        scores.append(measured(task)["acceptance"])
    assert scores[0] > scores[1] + 0.05


def test_a_target_gives_the_middle_states_that_it_was_told_to_remember(folder: Path) -> None:
    """Behind a pass from the start, a pass of two tokens, and one that goes back; and none that were not asked for."""
    target = lean(folder)
    target.logprobs(CONTEXT[None])
    with pytest.raises(SpecError, match=r"layers = 2 is not legal: expected one of \[\]"):
        target.states(CONTEXT, behind=(2,))
    with pytest.raises(SpecError, match="layers = 4 is not legal"):
        target.remember(4)
    target.remember(2)
    for context in (CONTEXT, CONTEXT[:5], np.append(CONTEXT[:6], 7)):
        _, (wanted,) = load_llama(folder=folder, positions=64).states(torch.from_numpy(context)[None], 0, behind=(2,))
        target.rows(context[:-1], context[-1:], np.array([0]))
        assert torch.allclose(target.states(context, behind=(2,))[1], wanted[0], atol=2e-5)


# --- command line -------------------------------------------------------------------------------------------------


def arguments(folder: Path, out: Path, *more: str) -> list[str]:
    small = [
        "--rounds",
        "2",
        "--texts",
        "8",
        "--length",
        "24",
        "--middle",
        "2",
        "--alone",
        "1",
        "--inner",
        "24",
        "--kept",
        "200",
        "--rank",
        "8",
    ]
    small += ["--K", "16", "--batch", "4", "--threads", "1", "--begin", "<end>", "--begin", "In the"]
    return ["head", "--target", str(folder), "--out", str(out), *small, *more]


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("head") / "run"
    assert main(arguments(folder, out, "--steps", "12", "--every", "4", "--plot", str(out.parent / "curve.png"))) == 0
    return out


def test_command_leaves_a_proposer(folder: Path, trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (trained.parent / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert not list(trained.glob("texts-*"))
    model = load_model(find_model(str(folder)), positions=64)
    proposer, facts = make_proposer(str(trained), Request(model=model, k=16))
    assert isinstance(proposer, HeadProposer)
    assert facts == {"name": "trained", "kind": "head", "folder": "run"}
    (psi,) = proposer.emit(proposer.start(1), CONTEXT[None])
    assert (len(psi.ids), psi.vocab_size) == (16, VOCAB)
    assert main(arguments(folder, trained, "--steps", "12", "--every", "4")) == 2
    assert main(arguments(folder, trained, "--steps", "12", "--every", "4", "--resume")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "a folder without a run, or resume" in lines[0]
    assert "a run that has not ended" in lines[1]


def test_a_head_of_another_model_is_refused(trained: Path, tmp_path: Path) -> None:
    other = load_model(find_model(str(write_llama(tmp_path, seed=8, num_hidden_layers=3))), positions=64)
    with pytest.raises(SpecError, match="a head that was trained on the target's own states"):
        make_proposer(str(trained), Request(model=other, k=16))


def test_a_head_needs_the_lean_pass(trained: Path, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="'CausalLmTarget' is not legal: expected a Llama through the lean pass"):
        HeadProposer.load(trained, target=CausalLmTarget.from_folder(folder), k=16)
    gpt2 = write_gpt2(tmp_path)
    assert main(arguments(gpt2, tmp_path / "out")) == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--temperatures", "1.0,1.0"], "temperatures = [1.0, 1.0] is not legal: expected at least one, and no two"),
        (["--temperatures", "hot"], "temperatures = 'hot' is not legal: expected a finite number > 0"),
        (["--temperatures", "0"], "temperature = 0.0 is not legal"),
        (["--length", "4"], "length = 4 is not legal"),
        (["--alone", "4"], "alone = 4 is not legal"),
        (["--middle", "4"], "middle = 4 is not legal"),
        (["--kept", "400"], "kept = 400 is not legal"),
        (["--rank", "33"], "rank = 33 is not legal"),
        (["--K", "300"], "K = 300 is not legal"),
        (["--begin", ""], "begin = '' is not legal: expected a text of 1 to 23 tokens"),
        (["--dtype", "int4"], "dtype = 'int4' is not legal"),
        (["--objective", "hope"], "objective = 'hope' is not legal"),
        (["--rounds", "0"], "rounds = 0 is not legal"),
    ],
)
def test_refusals_leave_no_folder(
    folder: Path, tmp_path: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(folder, tmp_path / "out", *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_interrupted_run_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    """SIGINT behind the first checkpoint, then --resume, against a run that was not interrupted."""
    slow = ["--steps", "400", "--every", "10", "--batch", "8"]
    command = [sys.executable, "-m", "host.train", *arguments(folder, tmp_path / "cut", *slow)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut" / "checkpoint.json").exists() and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, "--resume goes on" in error) == (130, True)
    assert round_path(tmp_path / "cut", 0).exists()
    assert main(arguments(folder, tmp_path / "cut", *slow, "--seed", "1", "--resume")) == 2
    assert main(arguments(folder, tmp_path / "cut", *slow, "--resume")) == 0
    assert main(arguments(folder, tmp_path / "whole", *slow)) == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("cut", "whole")]
    assert weights[0] == weights[1]
    facts = [json.loads((tmp_path / name / DESCRIPTION).read_text()) for name in ("cut", "whole")]
    assert facts[0] == facts[1]


def test_joined_norms_all_but_the_hidden_state(folder: Path) -> None:
    u = joined(torch.full((2, 4), 3.0), torch.full((2, 4), 2.0), torch.full((2, 8), -1.0))
    assert torch.allclose(u, torch.tensor([3.0, 1.0, -1.0, -1.0]).repeat_interleave(4).expand(2, 16))
    model = load_llama(folder=folder, positions=8)
    table = token_table(model, 1).unflatten(1, (2, WIDTH))
    assert torch.allclose(table.square().mean(dim=-1), torch.ones(VOCAB, 2), atol=1e-3)
    for row, states in enumerate((model.embedding, model.alone_states(1))):
        assert torch.allclose(functional.cosine_similarity(table[:, row], states), torch.ones(VOCAB), atol=1e-5)
