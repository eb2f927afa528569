# SPDX-License-Identifier: Apache-2.0
"""python -m host.train: figures, pictures, one-line refusals, SIGINT and --resume in a process of its own."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from host.report.learning_curve import plot_learning
from host.targets.bigram import corpus_bigram
from host.targets.ngram import NgramTarget
from host.train.checkpoint import STATE
from host.train.command import main
from host.train.data import Tokens, even_pieces, load_tokens, random_pieces
from hw.spec.errors import SpecError

torch.set_num_threads(1)

SMALL = ["--embed", "8", "--hidden", "16", "--batch", "4", "--length", "16", "--K", "4"]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text of a walk over 12 tokens."""
    path = tmp_path_factory.mktemp("text") / "tokens.npz"
    steps = np.random.Generator(np.random.PCG64(0)).choice([0, 1, 1, 2, 5], size=3000)
    text = np.cumsum(steps) % 12
    np.savez(path, train=text[:2500], heldout=text[2500:], vocab_size=12)
    return path


def arguments(kind: str, tokens: Path, out: Path, *more: str) -> list[str]:
    return [kind, "--tokens", str(tokens), "--out", str(out), *more]


def test_target_then_proposer(tokens, tmp_path, capsys):
    small = ["--width", "16", "--layers", "1", "--heads", "2", "--span", "4", "--batch", "4", "--length", "16"]
    picture = tmp_path / "curve.png"
    assert main(arguments("target", tokens, tmp_path / "t", *small, "--steps", "6", "--every", "2")) == 0
    shown = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert shown["model_path"] == str(tmp_path / "t")
    assert float(shown["nats"]) > 0
    more = ["--target", str(tmp_path / "t"), "--steps", "6", "--every", "2", "--plot", str(picture)]
    assert main(arguments("proposer", tokens, tmp_path / "p", *more, *SMALL)) == 0
    shown = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert 0 < float(shown["acceptance"]) < 1
    assert shown["steps"] == "6"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_low_rank_on_a_counted_bigram(tokens, tmp_path, capsys):
    more = ["--target", "bigram:laplace", "--proposer", "low-rank", "--rank", "2", "--steps", "20", "--K", "4"]
    assert main(arguments("proposer", tokens, tmp_path / "p", *more)) == 0
    assert "acceptance=0." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--objective", "l2"], "objective = 'l2'"),
        (["--proposer", "lstm"], "proposer = 'lstm' .* gru, low-rank"),
        (["--steps", "many"], "steps = 'many' .* an integer"),
        (["--rate", "fast"], "rate = 'fast' .* a finite number > 0"),
        (["--rate", "-1"], "rate = -1.0"),
        (["--K", "13"], r"K = 13 .* \[1, 12\]"),
        (["--threads", "0"], "threads = 0"),
        (["--plot", "a.doc"], "plot = 'a.doc'"),
        (["--target", "nowhere"], "model = 'nowhere/model.json'"),
        (["--resume"], "a readable JSON file"),
        (["--nonsense"], "No such option"),
        (["--tokens", "nowhere.npz"], "tokens = 'nowhere.npz'"),
    ],
)
def test_refusals_are_one_line(more, message, tokens, tmp_path, capsys):
    base = arguments("proposer", tokens, tmp_path / "p", "--target", "bigram", *SMALL)
    assert main([*base, *more]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error)


def interrupted(*options: str, folder: Path, beyond: int) -> tuple[int, int, str]:
    """A run that gets SIGINT once its checkpoint is beyond a step: exit status, that step, standard error."""

    def step() -> int:
        state = folder / STATE
        return int(json.loads(state.read_text())["step"]) if state.exists() else -1

    process = subprocess.Popen(
        [sys.executable, "-m", "host.train", *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while step() <= beyond and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, step(), error


def test_sigint_keeps_the_checkpoint_and_resume_goes_on(tokens, tmp_path):
    """Status 130 and a whole checkpoint, twice: the second run goes on from where the first one was.

    That it goes on to the same bits is tested in test_train_loop.py, where the interruption is at a known step.
    """
    endless = ["--target", "bigram", "--steps", "1000000", "--every", "4", *SMALL]
    options = arguments("proposer", tokens, tmp_path / "p", *endless)
    status, first, error = interrupted(*options, folder=tmp_path / "p", beyond=0)
    assert (status, first % 4) == (130, 0)
    assert first > 0
    assert error == "error: interrupted; --resume goes on from the last checkpoint, if there is one\n"
    status, second, _ = interrupted(*options, "--resume", folder=tmp_path / "p", beyond=first)
    assert (status, second % 4) == (130, 0)
    assert second > first


def test_picture_of_nothing(tmp_path):
    with pytest.raises(SpecError, match=r"rows = 0 .* at least one measurement"):
        plot_learning(tmp_path / "a.png", [])


def test_pieces():
    text = np.arange(100)
    one, two = (random_pieces(text, batch=5, length=10, seed=1, step=s) for s in (0, 1))
    assert one.shape == (5, 10)
    assert np.array_equal(one, random_pieces(text, batch=5, length=10, seed=1, step=0))
    assert not np.array_equal(one, two)
    assert np.all(np.diff(one, axis=1) == 1)
    assert random_pieces(text, batch=2, length=1000, seed=0, step=0).shape == (2, 100)
    starts = {int(random_pieces(text, batch=1, length=99, seed=0, step=s)[0, 0]) for s in range(30)}
    assert starts == {0, 1}  # the last token is reached
    even = even_pieces(text, count=3, length=20)
    assert even[:, 0].tolist() == [0, 33, 66]
    assert even_pieces(text, count=30, length=30).shape == (3, 30)
    assert even_pieces(text, count=3, length=1000).shape == (1, 100)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"train": [0, 1], "heldout": [0, 1]}, "vocab_size is missing"),
        ({"train": [0, 5], "heldout": [0, 1], "vocab_size": 5}, "contexts = 5"),
        ({"train": [0], "heldout": [0, 1], "vocab_size": 5}, r"len\(train\) = 1"),
        ({"train": [[0, 1]], "heldout": [0, 1], "vocab_size": 5}, "tokens.shape"),
        ({"train": [0, 1], "heldout": [0, 1], "vocab_size": [5, 6]}, r"vocab_size = \[5, 6\]"),
        ({"train": [0, 1], "heldout": [0, 1], "vocab_size": 0.5}, "vocab_size = 0.5"),
    ],
)
def test_token_files(arrays, message, tmp_path):
    np.savez(tmp_path / "t.npz", **arrays)
    with pytest.raises(SpecError, match=message):
        load_tokens(tmp_path / "t.npz")


def test_files_that_are_no_tokens(tmp_path):
    np.save(tmp_path / "t.npy", np.arange(3))
    (tmp_path / "t.txt").write_text("hello")
    for name in ("t.npy", "t.txt", "none.npz"):
        with pytest.raises(SpecError, match="tokens = "):
            load_tokens(tmp_path / name)
    assert Tokens(train=[0, 1], heldout=[1, 1], vocab_size=2).train.dtype == np.int64


def measured(capsys: pytest.CaptureFixture[str], tokens: Path, *more: str) -> dict[str, float]:
    assert main(["measure", "--tokens", str(tokens), "--length", "32", *more]) == 0
    return {name: float(value) for name, value in (line.split("=") for line in capsys.readouterr().out.splitlines())}


def test_counted_proposers_are_measured(tokens, capsys):
    """Bigrams against themselves, then unigrams against an overlap that is added up here, token by token."""
    same = measured(capsys, tokens, "--target", "bigram", "--proposer", "ngram:2", "--K", "12")
    assert same["overlap"] == pytest.approx(1, abs=1e-5)
    assert same["kl"] == pytest.approx(0, abs=1e-5)
    assert 0.98 < same["acceptance"] < 1
    cut = measured(capsys, tokens, "--target", "bigram", "--proposer", "ngram:2", "--K", "2")
    assert cut["overlap"] == same["overlap"]
    assert cut["acceptance"] < same["acceptance"]

    text = load_tokens(tokens)
    bigram = corpus_bigram(tokens=text.train, vocab_size=12, smoothing="witten-bell")
    unigram = NgramTarget(tokens=text.train, vocab_size=12, n=1)
    (q,) = np.exp(unigram.logprobs(np.zeros((1, 0), dtype=np.int64)))
    pieces = even_pieces(text.heldout, count=20, length=128)
    contexts = np.concatenate([piece[31:] for piece in pieces])  # a quarter of each piece is not measured
    p = np.exp(bigram.logprobs(contexts[:, None]))
    wanted = np.minimum(p, q).sum(axis=1).mean()
    single = measured(capsys, tokens, "--target", "bigram", "--proposer", "ngram:1", "--K", "12")
    assert single["overlap"] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("name", ["ngram", "ngram:0", "ngram:3:good-turing", "gru"])
def test_proposers_that_cannot_be_counted(tokens, capsys, name):
    assert main(["measure", "--tokens", str(tokens), "--target", "bigram", "--proposer", name]) == 2
    assert capsys.readouterr().err.count("\n") == 1
