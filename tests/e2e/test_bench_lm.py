# SPDX-License-Identifier: Apache-2.0
"""python -m host.bench_lm: both ways, what it prints, one line for bad input; plain sampling follows the model."""

from pathlib import Path

import numpy as np
import pytest
import torch

from host import bench_lm, stats
from host.decode.plain import plain_text
from host.models.llama_folder import load_llama
from host.targets.llama import LlamaTarget
from hw.spec.errors import SpecError
from tests.reference.tiny_lm import VOCAB, write_llama

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(tmp_path_factory.mktemp("llama"))


def test_both_ways_are_timed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--target", str(folder), "--proposer", "self", "--K", "16", "--backend", "model", "--threads", "1"]
    assert bench_lm.main([*arguments, "--tokens", "40", "--rounds", "3"]) == 0
    lines = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert (lines["rounds"], lines["tokens"], lines["sound"]) == ("3", "40", "yes")
    low, middle, high = (float(lines[name]) for name in ("speed_up_min", "speed_up", "speed_up_max"))
    assert 0 < low <= middle <= high
    assert float(lines["plain_tokens_per_s"]) > 0
    assert 0.3 < float(lines["accept_rate"]) < 1


def test_the_speed_up_is_the_median_of_the_rounds_ratios() -> None:
    found = bench_lm.Comparison(tokens=10, plain_s=[2.0, 9.0, 4.0], speculative_s=[1.0, 3.0, 4.0], passes=5)
    found.tally.steps, found.tally.tokens, found.tally.accepted = 5, 8, 3
    assert found.ratios == [2.0, 3.0, 1.0]
    lines = dict(line.split("=", 1) for line in found.lines())
    assert (lines["speed_up"], lines["speed_up_min"], lines["speed_up_max"]) == ("2", "1", "3")
    assert (lines["plain_tokens_per_s"], lines["accept_rate"], lines["tokens_per_pass"]) == ("2.5", "0.6", "1.6")
    found.passes = 0  # a target through transformers counts none
    assert "tokens_per_pass=none" in found.lines()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--rounds", "0"], "rounds = 0 is not legal"),
        (["--tokens", "x"], "tokens = 'x' is not legal: expected an integer"),
        (["--tokens", "600"], "tokens = 600 is not legal"),
        (["--proposer", "oracle"], "proposer = 'oracle' is not legal"),
        (["--backend", "gpu"], "backend = 'gpu'"),
    ],
)
def test_bad_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str) -> None:
    assert bench_lm.main(["--target", str(folder), "--proposer", "self", "--K", "16", *more]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_plain_text_follows_the_model(folder: Path) -> None:
    """First tokens of 3,000 texts against the model's row; the row of another context fails. One pass a token."""
    target = LlamaTarget(model=load_llama(folder=folder, positions=64))
    begin, rng = np.array([5, 9, 44]), np.random.default_rng(3)
    first = [next(plain_text(target=target, begin=begin, tokens=1, rng=rng)) for _ in range(3000)]
    counts = np.bincount(first, minlength=VOCAB)
    assert stats.pooled_chi2(counts, np.exp(target.logprobs(begin[None])[0])).p_value >= 1e-6
    assert stats.pooled_chi2(counts, np.exp(target.logprobs(begin[None, :2])[0])).p_value < 1e-6
    passes = target.passes
    assert len(list(plain_text(target=target, begin=begin, tokens=30, rng=rng))) == 30
    assert target.passes - passes == 30
    with pytest.raises(SpecError, match="contexts = 300"):
        next(plain_text(target=target, begin=np.array([VOCAB]), tokens=1, rng=rng))
