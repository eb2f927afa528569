# SPDX-License-Identifier: Apache-2.0
"""From a text file to a trained proposer on the RTL: the commands of docs/tutorials/trained_proposer.md, in small."""

import json
import shutil
from pathlib import Path

import pytest

from host import run_lm
from host.text.tokens import main as tokens_main
from host.train.command import main as train_main

TEXT = "Full fathom five thy father lies; of his bones are coral made; those are pearls that were his eyes. " * 80
SMALL_TARGET = "--width 16 --layers 1 --heads 2 --span 8 --steps 30 --every 30 --length 32 --batch 8".split()
SMALL_GRU = "--embed 8 --hidden 16 --steps 30 --every 30 --length 32 --batch 8 --K 8".split()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with book.npz, a trained target and two trained proposers."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "book.txt").write_text(TEXT)
    tokens = ["--tokens", str(folder / "book.npz")]
    assert tokens_main(["--corpus", str(folder / "book.txt"), "--out", str(folder / "book.npz")]) == 0
    assert train_main(["target", *tokens, "--out", str(folder / "target"), *SMALL_TARGET]) == 0
    proposer = ["proposer", *tokens, "--target", str(folder / "target")]
    assert train_main([*proposer, "--out", str(folder / "gru"), *SMALL_GRU]) == 0
    low_rank = ["--proposer", "low-rank", "--rank", "2", "--steps", "200", "--every", "200", "--K", "8"]
    assert train_main(["proposer", *tokens, "--target", "bigram", "--out", str(folder / "rank2"), *low_rank]) == 0
    return folder


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(models: Path, *arguments: str, out: str) -> dict[str, object]:
    """summary.json of a text that the trained target writes."""
    run = ["--target", str(models / "target"), "--K", "8", "--tokens", "40", "--prompt", "Full", "--seed", "4"]
    assert run_lm.main([*run, *arguments, "--out", out]) == 0
    summary: dict[str, object] = json.loads(Path(out, "summary.json").read_text())
    return summary


def test_a_trained_proposer_drafts_on_the_rtl(models: Path) -> None:
    """model and rtl write the same text, token by token; it is decoded by the tokenizer of the training text."""
    on_rtl = write(models, "--proposer", str(models / "gru"), "--backend", "rtl", out="rtl")
    on_model = write(models, "--proposer", str(models / "gru"), out="model")
    assert on_rtl["token_ids"] == on_model["token_ids"]
    assert on_rtl["text"] == on_model["text"]
    assert set(str(on_rtl["text"])) <= {*TEXT, "\ufffd"}
    config = json.loads(Path("rtl/config.json").read_text())
    assert config["proposer"] == {"name": "trained", "kind": "gru", "folder": "gru"}


def test_a_low_rank_proposer_drafts(models: Path) -> None:
    assert write(models, "--proposer", str(models / "rank2"), out="run")["tokens"] == 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--proposer", "{models}/target"],
            "proposer = '{models}/target' is not legal: expected the folder of a proposer",
        ),
        (["--proposer", "{models}/none"], "expected one of self, ngram, or the folder of a trained proposer"),
        (["--proposer", "{models}/gru", "--corpus", "{models}/book.txt"], "expected none with a trained proposer"),
        (["--temperature", "0.5"], "temperature = 0.5 is not legal: expected 1, for a target of host.train"),
        (["--dtype", "bfloat16"], "dtype = 'bfloat16' is not legal: expected float32, for a target of host.train"),
    ],
)
def test_wrong_choices_are_one_line(
    models: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [argument.replace("{models}", str(models)) for argument in arguments]
    assert run_lm.main(["--target", str(models / "target"), "--K", "8", "--tokens", "3", *given]) == 2
    error = capsys.readouterr().err
    assert message.replace("{models}", str(models)) in error
    assert error.count("\n") == 1


def test_a_proposer_of_other_tokens_is_refused(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal vocabulary sizes do not hide that the ids mean other characters."""
    other = tmp_path / "other"
    shutil.copytree(models / "gru", other)
    swapped = TEXT.replace("F", "Q")
    Path("swapped.txt").write_text(swapped)
    assert tokens_main(["--corpus", "swapped.txt", "--out", "swapped.npz"]) == 0
    shutil.copy("swapped.tokenizer.json", other / "text.tokenizer.json")
    assert run_lm.main(["--target", str(models / "target"), "--proposer", str(other), "--K", "8", "--tokens", "3"]) == 2
    assert "trained on tokens of the target's tokenizer" in capsys.readouterr().err


def test_a_target_without_its_tokenizer_is_one_line(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(models / "target", bare)
    (bare / "text.tokenizer.json").unlink()
    assert run_lm.main(["--target", str(bare), "--tokens", "3"]) == 2
    assert "text.tokenizer.json' cannot be read: No such file" in capsys.readouterr().err
