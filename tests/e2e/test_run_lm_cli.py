# SPDX-License-Identifier: Apache-2.0
"""`python -m host.run_lm` from outside: text, lines, files, exit statuses, one clear line for every bad input."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from host import run_lm
from host.runs.live import LiveText
from host.telemetry.schema import check_step
from host.text.hf import HfTokenizer
from host.verify.multi import MultiVerified
from host.verify.siblings import SiblingVerifier
from tests.reference.smollm2 import smollm2_or_skip
from tests.reference.tiny_lm import TEXT, write_gpt2, write_llama

ROOT = Path(__file__).parents[2]
PROMPT = "In the beginning "


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models and a text."""
    folder = tmp_path_factory.mktemp("models")
    write_llama(folder / "llama")
    write_gpt2(folder / "gpt2")
    (folder / "book.txt").write_text(TEXT)
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def call(
    capsys: pytest.CaptureFixture[str], models: Path, *arguments: str, target: str = "llama"
) -> tuple[int, str, dict[str, str], str]:
    """Exit status, text, name=value lines, and standard error of one command line, in process."""
    whole = ("--target", str(models / target), "--prompt", PROMPT, "--K", "16", "--ignore-end", *arguments)
    status = run_lm.main(list(whole))
    captured = capsys.readouterr()
    text, _, rest = captured.out.rpartition("\n\nmetrics_path=")
    lines = dict(line.split("=", 1) for line in f"metrics_path={rest}".splitlines()) if rest else {}
    return status, text, lines, captured.err


def test_text_lines_and_files_of_a_run(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    """The text on standard output is the prompt and what summary.json has; its tokens decode to it."""
    status, text, lines, errors = call(capsys, models, "--tokens", "80", "--seed", "3")
    assert (status, errors) == (0, "")
    wanted = {
        "backend": "model", "target": "llama", "proposer": "self", "tokens": "80", "ended": "tokens",
        "complete": "yes", "sound": "yes",
    }  # fmt: skip
    assert {name: lines[name] for name in wanted} == wanted
    path = Path(lines["metrics_path"])
    summary = json.loads(path.read_text())
    assert text == PROMPT + summary["text"]
    tokenizer = HfTokenizer(path=models / "llama" / "tokenizer.json")
    assert len(summary["token_ids"]) == summary["tokens"] == 80
    assert tokenizer.decode(summary["token_ids"]) == summary["text"]
    assert summary["accept_rate"] == pytest.approx(summary["accepted"] / summary["drafts"])
    assert summary["accept_low"] <= summary["accept_rate"] <= summary["accept_high"]
    assert set(summary["tests"]) == {"emitted", "drafts", "accepted", "further"}
    config = json.loads(path.with_name("config.json").read_text())
    assert config["target"]["pass"] == "lean"
    assert config["target"]["tokenizer_sha256"] == tokenizer.digest
    assert config["options"]["prompt"] == PROMPT


def test_rows_of_every_token(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    status, _, lines, _ = call(capsys, models, "--tokens", "30", "--telemetry", "step")
    assert status == 0
    path = Path(lines["metrics_path"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        check_step(row)
    prompt = int(lines["prompt_tokens"])
    emitted = [1 + row["num_accepted_tokens"] for row in rows]  # an accepted draft is followed by a bonus token
    ends = np.minimum(prompt + np.cumsum(emitted), prompt + 30)
    assert [row["position"] for row in rows] == [prompt, *ends[:-1]]
    assert ends[-1] == prompt + 30
    summary = json.loads(path.with_name("summary.json").read_text())
    assert (summary["tokens"], summary["drafts"]) == (30, len(rows))
    assert sum(row["num_accepted_tokens"] for row in rows) == summary["accepted"]
    assert np.mean([row["psi_bytes"] for row in rows]) == pytest.approx(summary["psi_bytes_mean"])


def test_same_seed_same_text_on_model_and_rtl(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    texts = {}
    for name, more in (("model", ()), ("rtl", ("--backend", "rtl")), ("other", ("--seed", "4"))):
        status, texts[name], lines, _ = call(capsys, models, "--tokens", "60", "--telemetry", "off", *more)
        assert status == 0
        assert lines["metrics_path"] == "none"
    assert texts["model"] == texts["rtl"] != texts["other"]
    assert not list(Path.cwd().iterdir())


def test_ngrams_of_a_corpus(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    """Fewer passes than tokens: accepted drafts were looked ahead."""
    corpus = ("--proposer", "ngram", "--corpus", str(models / "book.txt"), "--ngram", "2")
    status, _, lines, errors = call(capsys, models, *corpus, "--tokens", "150", "--temperature", "3")
    assert (status, errors) == (0, "")
    summary = json.loads(Path(lines["metrics_path"]).read_text())
    assert summary["target_passes"] == summary["drafts"] < 150
    assert summary["accepted"] > 0
    config = json.loads(Path(lines["metrics_path"]).with_name("config.json").read_text())
    assert config["proposer"]["name"] == "ngram"
    assert config["proposer"]["corpus"]["name"] == "book.txt"


def test_a_model_of_another_kind(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    status, text, lines, errors = call(capsys, models, "--tokens", "20", target="gpt2")
    assert (status, errors, lines["target_passes"]) == (0, "", "20")
    assert text.startswith(PROMPT)


def test_a_text_ends_where_the_model_ends_it(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    arguments = ["--target", str(models / "llama"), "--prompt", PROMPT, "--K", "16", "--temperature", "9"]
    assert run_lm.main([*arguments, "--tokens", "450", "--seed", "1", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "ended=end_of_text" in out
    assert "complete=yes" in out
    assert out.split("\n\nmetrics_path=")[0].endswith("<end>")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tokens", "0"), "tokens = 0 is not legal: expected an integer in [1, 1048576]"),
        (("--tokens", "x"), "tokens = 'x' is not legal: expected an integer"),
        (("--tokens", "600"), "tokens = 600 is not legal: expected at most"),
        (("--K", "301"), "K = 301 is not legal: expected an integer in [1, 300]"),
        (("--prompt", ""), "length of prompt = 0"),
        (("--prompt", "a\ud800"), "no lone surrogate"),
        (("--temperature", "0"), "temperature = 0.0 is not legal"),
        (("--temperature", "nan"), "temperature = nan is not legal"),
        (("--dtype", "int4"), "dtype = 'int4' is not legal: expected one of float32, bfloat16"),
        (("--threads", "0"), "threads = 0"),
        (("--proposer", "oracle"), "proposer = 'oracle' is not legal: expected one of self, ngram"),
        (("--proposer", "ngram"), "corpus = None is not legal: expected a text file"),
        (("--corpus", "book.txt"), "corpus = 'book.txt' is not legal: expected none with proposer self"),
        (("--proposer", "ngram", "--corpus", "none.txt"), "'none.txt' cannot be read: No such file or directory"),
        (("--ngram", "9"), "ngram = 9"),
        (("--target", "nowhere"), "target = 'nowhere' is neither smollm2 nor a folder"),
        (("--target", "."), "tokenizer.json' cannot be read: No such file or directory"),
        (("--backend", "gpu"), "backend = 'gpu'"),
        (("--telemetry", "off", "--out", "x"), "out = 'x'"),
        (("--colour",), "No such option"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    capsys: pytest.CaptureFixture[str], models: Path, arguments: tuple[str, ...], message: str
) -> None:
    status, text, lines, errors = call(capsys, models, *arguments)
    assert status == 2
    assert message in errors
    assert errors.count("\n") == 1
    assert (text, lines) == ("", {})
    assert not list(Path.cwd().iterdir())


def test_an_unsound_run_exits_1(
    capsys: pytest.CaptureFixture[str], models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verifier that accepts everything writes the n-grams' text, not the model's."""

    def careless(self: SiblingVerifier, drafts: list[int], rng: np.random.Generator) -> MultiVerified:
        return MultiVerified(token=drafts[0], accepted=0)

    monkeypatch.setattr(SiblingVerifier, "verify", careless)
    corpus = ("--proposer", "ngram", "--corpus", str(models / "book.txt"))
    status, _, lines, errors = call(capsys, models, *corpus, "--tokens", "100")
    assert status == 1
    assert errors.startswith("not sound: emitted")
    assert lines["sound"] == "no"


def test_interrupted_run_keeps_what_it_had(models: Path, tmp_path: Path) -> None:
    """SIGINT: the token under way is finished, the text so far is kept and marked incomplete."""
    write_llama(tmp_path / "long", max_position_embeddings=200_000)
    process = subprocess.Popen(
        [
            sys.executable, "-m", "host.run_lm", "--target", "long", "--prompt", PROMPT, "--tokens", "100000",
            "--ignore-end", "--threads", "1", "--out", "r", "--telemetry", "step",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    rows = tmp_path / "r/steps.jsonl.part"
    end = time.monotonic() + 60
    while not (rows.exists() and rows.stat().st_size):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in errors
    assert "complete=no" in out
    summary = json.loads((tmp_path / "r/summary.json").read_text())
    assert (summary["complete"], summary["ended"]) == (False, "interrupted")
    assert len((tmp_path / "r/steps.jsonl").read_text().splitlines()) == summary["drafts"] > 0
    lines = summary["text"].replace("\r\n", "\n").replace("\r", "\n")  # as `text=True` reads them
    assert out.startswith(PROMPT + lines)


def test_standard_output_that_is_closed_is_one_line(models: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "host.run_lm", "--target", str(models / "llama"), "--tokens", "5", "--K", "4"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=100, check=False,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


def test_the_line_of_figures_leaves_the_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without control sequences, standard output is the text; the line comes only where there is a terminal."""
    for out_tty, err_tty in ((False, False), (False, True), (True, True)):
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(out, "isatty", lambda out_tty=out_tty: out_tty)
        monkeypatch.setattr(err, "isatty", lambda err_tty=err_tty: err_tty)
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        with LiveText() as live:
            live.write("one ")
            live.status("1/2 tokens")
            live.write("two")
        assert out.getvalue() == "one two"
        assert re.sub(r"\x1b\[[0-9]*[A-Z]|\x1b[78DM]|\r", "", err.getvalue()) == ("1/2 tokens" if err_tty else "")


def test_help_has_examples_and_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_lm.main(["--help"]) == 0
    text = capsys.readouterr().out
    for word in ("--prompt", "--proposer", "smollm2", "--backend rtl", "Exit status", "130", "Examples"):
        assert word in text


@pytest.mark.slow
def test_smollm2_on_the_rtl(capsys: pytest.CaptureFixture[str]) -> None:
    smollm2_or_skip()
    prompt = "Water boils at a temperature of"
    arguments = ["--prompt", prompt, "--tokens", "16", "--temperature", "0.5", "--backend", "rtl", "--threads", "1"]
    assert run_lm.main(arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith(prompt)
    assert "vocab_size=49152" in out
    assert "sound=yes" in out


# --- several drafts -----------------------------------------------------------------------------------------------

WAYS = {
    "chain": ("--L", "4"),
    "token": ("--L", "3", "--verify", "token"),
    "siblings": ("--drafts", "6"),
    "kseq": ("--drafts", "3", "--verify", "kseq"),
    "tree": ("--L", "3", "--tree-nodes", "9"),
    "gumbel": ("--L", "2", "--verify", "gumbel"),
}


@pytest.mark.parametrize("way", WAYS)
def test_rows_and_counts_of_several_drafts(capsys: pytest.CaptureFixture[str], models: Path, way: str) -> None:
    """Positions go on by what was accepted and one more, the counts are the sums of the rows, the text is sound."""
    corpus = ("--proposer", "ngram", "--corpus", str(models / "book.txt"))
    status, _, lines, errors = call(capsys, models, *corpus, *WAYS[way], "--tokens", "60", "--telemetry", "step")
    assert (status, errors, lines["sound"]) == (0, "", "yes")
    path = Path(lines["metrics_path"])
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        check_step(row)
    prompt, accepted = int(lines["prompt_tokens"]), [row["num_accepted_tokens"] for row in rows]
    ends = np.minimum(prompt + np.cumsum(np.array(accepted) + 1), prompt + 60)
    assert [row["position"] for row in rows] == [prompt, *ends[:-1]]
    assert ends[-1] == prompt + 60
    assert [row["first_reject"] for row in rows] == [
        None if count == row["L"] else count for count, row in zip(accepted, rows, strict=True)
    ]
    summary = json.loads(path.with_name("summary.json").read_text())
    assert summary["num_drafts"] == len(rows)
    assert summary["num_accepted_tokens"] == sum(accepted) == sum(summary["num_accepted_tokens_per_pos"])
    assert summary["mean_acceptance_length"] == pytest.approx(1 + np.mean(accepted))
    assert summary["draft_acceptance_rate"] == pytest.approx(sum(accepted) / summary["num_draft_tokens"])
    assert summary["overlap"] <= summary["optimum"] + 1e-12
    assert (summary["target_passes"] == len(rows)) or way == "gumbel"


def test_several_drafts_are_the_same_text_on_model_and_rtl(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    for way in ("chain", "siblings", "tree"):
        texts = []
        for backend in ("model", "rtl"):
            status, text, _, _ = call(
                capsys, models, *WAYS[way], "--tokens", "40", "--telemetry", "off", "--backend", backend
            )
            assert status == 0
            texts.append(text)
        assert texts[0] == texts[1]


def test_gumbel_writes_the_same_text_with_every_proposer(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    """Chains, siblings and a tree, K, and the proposer: the text is a function of the model and the seed."""
    corpus = ("--proposer", "ngram", "--corpus", str(models / "book.txt"))
    texts = set()
    for more in ((), ("--L", "3"), ("--drafts", "4", *corpus), ("--tree-nodes", "6", *corpus, "--ngram", "2")):
        status, text, _, _ = call(
            capsys, models, "--verify", "gumbel", "--tokens", "40", "--telemetry", "off", "--seed", "6", *more
        )
        assert status == 0
        texts.add(text)
    assert len(texts) == 1


def test_several_drafts_of_a_model_without_the_lean_pass(capsys: pytest.CaptureFixture[str], models: Path) -> None:
    for way in ("chain", "siblings", "tree"):
        status, _, lines, _ = call(capsys, models, *WAYS[way], "--tokens", "30", "--telemetry", "off", target="gpt2")
        assert (status, lines["sound"], lines["tokens"]) == (0, "yes", "30")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--L", "9"), "L = 9 is not legal: expected an integer in [1, 8]"),
        (("--drafts", "0"), "drafts = 0 is not legal"),
        (("--L", "2", "--drafts", "2"), "drafts = 2 is not legal: expected 1 with L = 2, or a tree"),
        (("--tree-nodes", "many"), "tree_nodes = 'many' is not legal: expected an integer"),
        (("--verify", "best"), "verify = 'best' is not legal: expected one of block, token, race"),
        (("--drafts", "2", "--verify", "block"), "verify = 'block' is not legal"),
    ],
)
def test_drafts_that_cannot_be(
    capsys: pytest.CaptureFixture[str], models: Path, more: tuple[str, ...], message: str
) -> None:
    status, _, _, errors = call(capsys, models, *more)
    assert status == 2
    assert errors.startswith(f"error: {message}") and errors.count("\n") == 1
