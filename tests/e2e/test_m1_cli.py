# SPDX-License-Identifier: Apache-2.0
"""`python -m host.run_m1` from outside: lines, files, corpora, exit statuses, one clear line for every bad input."""

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from host import m1, m1_single, run_m1
from host.telemetry.schema import check_step
from host.tsu.base import Draws
from host.verify.single import SingleVerifier, Verified

ROOT = Path(__file__).parents[2]
SMALL = ("--vocab", "24", "--K", "6", "--steps", "20000", "--texts", "256", "--seed", "3")
TEXT = "In the beginning was the word, and the word was with the beginning. " * 40


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, str], str]:
    """Exit status, name=value lines, and standard error of one command line, in process."""
    status = run_m1.main(list(arguments))
    captured = capsys.readouterr()
    lines = dict(line.split("=", 1) for line in captured.out.splitlines() if "=" in line)
    return status, lines, captured.err


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_lines_and_files_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Acceptance agrees with the overlap; contexts.csv adds up to summary.json; summary.csv has means and intervals."""
    status, lines, errors = call(capsys, *SMALL, "--plot", "m1.png")
    assert (status, errors) == (0, "")
    assert {name: lines[name] for name in ("backend", "steps", "contexts", "vocab_size", "texts", "sound")} == {
        "backend": "model", "steps": "20000", "contexts": "24", "vocab_size": "24", "texts": "256", "sound": "yes",
    }  # fmt: skip
    accept, overlap = float(lines["accept_rate"]), float(lines["overlap"])
    assert abs(accept - overlap) <= 4 * (overlap * (1 - overlap) / 20000) ** 0.5
    assert Path("m1.png").read_bytes().startswith(b"\x89PNG")
    path = Path(lines["metrics_path"])
    summary = json.loads(path.read_text())
    assert summary["complete"] is True
    with path.with_name("contexts.csv").open() as file:
        rows = list(csv.DictReader(file))
    steps = np.array([int(row["steps"]) for row in rows])
    assert steps.sum() == 20000
    assert sum(int(row["accepted"]) for row in rows) == summary["accepted"]
    assert float(np.dot(steps, [float(row["overlap"]) for row in rows]) / 20000) == pytest.approx(summary["overlap"])
    with path.with_name("summary.csv").open() as file:
        means = {row["name"]: row for row in csv.DictReader(file)}
    assert set(means) == {"accept_rate", "overlap", "ce_gap_nats", "log_q", "psi_bytes"}
    for name, row in means.items():
        assert float(row["low"]) <= float(row["mean"]) <= float(row["high"]), name
        assert row["confidence"] == "0.95"
    config = json.loads(path.with_name("config.json").read_text())
    assert config["target"] == {"kind": "dirichlet", "c": 1.0}


def test_rows_of_every_token(capsys: pytest.CaptureFixture[str]) -> None:
    """steps.jsonl: a row for each token, in the order of verification, with context, text and position."""
    status, lines, _ = call(capsys, *SMALL[:-2], "--steps", "3000", "--texts", "200", "--telemetry", "step")
    assert status == 0
    path = Path(lines["metrics_path"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        check_step(row)
    assert [row["step"] for row in rows] == list(range(3000))
    assert {(row["text"], row["position"]) for row in rows} == {(i % 200, 1 + i // 200) for i in range(3000)}
    assert (
        sum(row["num_accepted_tokens"] for row in rows)
        == json.loads(path.with_name("summary.json").read_text())["accepted"]
    )
    by_context = {row["context"]: row["psi_bytes"] for row in rows}
    assert len(by_context) == 24
    assert all(row["psi_bytes"] == by_context[row["context"]] for row in rows)


@pytest.mark.parametrize(("tokenizer", "extra"), [("char", ()), ("bpe", ("--vocab", "270"))])
@pytest.mark.parametrize("smoothing", ["witten-bell", "laplace"])
def test_a_corpus(capsys: pytest.CaptureFixture[str], tokenizer: str, extra: tuple[str, ...], smoothing: str) -> None:
    """The text, its digest and its licence are in config.json; the vocabulary is the tokenizer's."""
    Path("book.txt").write_text(TEXT)
    digest = hashlib.sha256(TEXT.encode()).hexdigest()
    Path("book.json").write_text(json.dumps({"sha256": digest, "licence": "public domain"}))
    arguments = ("--corpus", "book.txt", "--tokenizer", tokenizer, "--smoothing", smoothing, "--steps", "5000", *extra)
    status, lines, errors = call(capsys, *arguments, "--K", "8", "--texts", "100")
    assert (status, errors) == (0, "")
    config = json.loads(Path(lines["metrics_path"]).with_name("config.json").read_text())
    assert config["target"]["corpus"] == {
        "name": "book.txt", "size_bytes": len(TEXT), "sha256": digest, "licence": "public domain",
    }  # fmt: skip
    assert config["target"]["smoothing"] == smoothing
    assert int(lines["vocab_size"]) == (len(set(TEXT)) + 1 if tokenizer == "char" else 270)


def test_same_seed_same_run_on_model_and_rtl(capsys: pytest.CaptureFixture[str]) -> None:
    """Every count of every context agrees; another seed differs."""
    found = {}
    runs = {"model": (), "rtl": ("--backend", "rtl"), "cxxrtl": ("--backend", "cxxrtl"), "other": ("--seed", "4")}
    for name, more in runs.items():
        status, _, _ = call(capsys, *SMALL, *more, "--out", name)
        assert status == 0
        found[name] = Path(name, "contexts.csv").read_text()
    assert found["model"] == found["rtl"] == found["cxxrtl"]
    assert found["model"] != found["other"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--vocab", "0"), "vocab = 0 is not legal: expected an integer in [1, 4096]"),
        (("--vocab", "5000"), "vocab = 5000"),
        (("--vocab", "x"), "vocab = 'x' is not legal: expected an integer"),
        (("--K", "300"), "K = 300 is not legal: expected an integer in [1, 256]"),
        (("--c", "0"), "c = 0.0 is not legal"),
        (("--c", "nan"), "c = nan is not legal"),
        (("--texts", "0"), "texts = 0"),
        (("--steps", "4294967296"), "steps = 4294967296"),
        (("--tokenizer", "word"), "tokenizer = 'word' is not legal: expected one of char, bpe"),
        (("--smoothing", "none"), "smoothing = 'none' is not legal: expected one of witten-bell, laplace"),
        (("--corpus", "nowhere.txt"), "'nowhere.txt' cannot be read: No such file or directory"),
        (("--corpus", "book.txt", "--vocab", "100"), "vocab = 100 is not legal: expected none with tokenizer char"),
        (("--corpus", "book.txt", "--tokenizer", "bpe", "--vocab", "100"), "vocab_size = 100 is not legal"),
        (("--corpus", "book.txt", "--tokenizer", "bpe", "--vocab", "4000"), "at most"),
        (("--corpus", "empty.txt"), "'empty.txt' is empty"),
        (("--corpus", "binary.txt"), "is not UTF-8"),
        (("--backend", "gpu"), "backend = 'gpu'"),
        (("--weights", "float"), "weights = 'float'"),
        (("--plot", "m1.doc"), "plot = 'm1.doc'"),
        (("--telemetry", "off", "--out", "x"), "out = 'x'"),
        (("--colour",), "No such option"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    Path("book.txt").write_text(TEXT)
    Path("empty.txt").write_text("")
    Path("binary.txt").write_bytes(b"\xff\xfe\x00")
    before = sorted(Path.cwd().iterdir())
    status, lines, errors = call(capsys, *arguments)
    assert status == 2
    assert message in errors
    assert errors.count("\n") == 1
    assert not lines
    assert sorted(Path.cwd().iterdir()) == before


def test_an_unsound_run_exits_1(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A verifier that accepts everything emits the draft law: summary and picture say so."""

    def careless(self: SingleVerifier, draws: Draws, rng: np.random.Generator) -> Verified:
        return Verified(tokens=draws.tokens, accepted=np.ones(len(draws), dtype=np.bool_))

    monkeypatch.setattr(SingleVerifier, "verify", careless)
    status, lines, errors = call(capsys, *SMALL)
    assert status == 1
    assert errors.startswith("not sound: emitted")
    assert lines["sound"] == "no"


def test_interrupted_run_keeps_what_it_had(tmp_path: Path) -> None:
    """SIGINT: the step of all texts under way is finished, files are whole and marked incomplete."""
    process = subprocess.Popen(
        [sys.executable, "-m", "host.run_m1", *"--steps 4000000000 --texts 2000 --out r --telemetry step".split()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows = tmp_path / "r/steps.jsonl.part"
    end = time.monotonic() + 60
    while not (rows.exists() and rows.stat().st_size):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "complete=no" in out
    summary = json.loads((tmp_path / "r/summary.json").read_text())
    assert summary["complete"] is False
    assert len((tmp_path / "r/steps.jsonl").read_text().splitlines()) == summary["steps"] > 0


def test_help_has_examples_and_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_m1.main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("--corpus", "--tokenizer", "--backend rtl", "Exit status", "130", "Examples"):
        assert word in text


def test_summary_looks_contexts_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures do not depend on how many laws are looked up together."""
    options = m1.M1Options(vocab=24, k=6, steps=5000, texts=100, telemetry="off")
    whole = m1.run(options)
    monkeypatch.setattr(m1_single, "LOOK_UP_CONTEXTS", 5)
    parts = m1.run(options)
    assert whole.rows == parts.rows
