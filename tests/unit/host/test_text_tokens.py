# SPDX-License-Identifier: Apache-2.0
"""`python -m host.text.tokens`: what it writes is what training reads; one line for bad input."""

from pathlib import Path

import numpy as np
import pytest

from host.text.tokenizer import load_tokenizer
from host.text.tokens import main
from host.train.data import load_tokens

TEXT = "Full fathom five thy father lies; of his bones are coral made. " * 60


@pytest.fixture(autouse=True)
def _in_a_folder_with_a_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(TEXT)


@pytest.mark.parametrize(("tokenizer", "extra"), [("char", ()), ("bpe", ("--vocab", "280"))])
def test_training_reads_what_was_written(
    tokenizer: str, extra: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The parts decode to the two parts of the text; the file is one of `host.train`."""
    assert (
        main(["--corpus", "book.txt", "--out", "book.npz", "--tokenizer", tokenizer, "--heldout", "0.1", *extra]) == 0
    )
    tokens, made = load_tokens(Path("book.npz")), load_tokenizer("book.tokenizer.json")
    assert tokens.vocab_size == made.vocab_size
    assert made.decode(tokens.train) + made.decode(tokens.heldout) == TEXT
    assert len(made.decode(tokens.heldout)) == round(0.1 * len(TEXT))
    lines = dict(line.split("=", 1) for line in capsys.readouterr().out.splitlines())
    assert lines["train"] == str(len(tokens.train))
    assert lines["licence"] == "not known"


def test_the_tokenizer_does_not_see_the_held_out_part() -> None:
    """A character of the held-out part alone is the unknown token."""
    Path("book.txt").write_text("ab" * 95 + "z" * 10)
    assert main(["--corpus", "book.txt", "--out", "book.npz"]) == 0
    tokens = load_tokens(Path("book.npz"))
    assert tokens.vocab_size == 3
    assert np.all(tokens.heldout == 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "book.txt"], "out = 'book.txt' is not legal: expected a name that ends in .npz"),
        (["--out", "none/book.npz"], "out = "),
        (["--out", "a.npz", "--tokenizer", "word"], "tokenizer = 'word' is not legal"),
        (["--out", "a.npz", "--vocab", "300"], "vocab_size = 300 is not legal: expected None with tokenizer char"),
        (["--out", "a.npz", "--tokenizer", "bpe", "--vocab", "3"], "vocab_size = 3 is not legal"),
        (["--out", "a.npz", "--heldout", "1"], "heldout = 1.0 is not legal"),
        (["--out", "a.npz", "--heldout", "some"], "heldout = 'some' is not legal"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--corpus", "book.txt", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: " + message)
    assert error.count("\n") == 1
    assert [path.name for path in Path.cwd().iterdir()] == ["book.txt"]
