# SPDX-License-Identifier: Apache-2.0
"""A text file as the tokens that `python -m host.train` reads: `python -m host.text.tokens --help`."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from host.runs.command import INT, NUMBER, number, optional_integer
from host.runs.command import main as run_command
from host.telemetry.files import check_destination, whole_file
from hw.spec.errors import SpecError

from .choice import TOKENIZERS, make_tokenizer
from .corpus import HELDOUT_DEFAULT, read_corpus
from .tokenizer import save_tokenizer

TOKENIZER_SUFFIX = ".tokenizer.json"
"""Ends the name of the tokenizer's file, beside the tokens."""

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = """Cut a text file into a training and a held-out part, and write their tokens and the tokenizer.

The tokenizer is trained on the training part only; characters that this part does not have become the unknown token.

\b
Examples
  python -m host.text.tokens --corpus book.txt --out book.npz
  python -m host.text.tokens --corpus book.txt --tokenizer bpe --vocab 1024 --out book.npz

\b
Exit status
    0  written
    2  bad input, or a result that cannot be written
"""


@app.command(help=HELP)
def command(
    corpus: Annotated[Path, typer.Option(help="text file (UTF-8)")],
    out: Annotated[
        Path, typer.Option(help=f".npz of train, heldout and vocab_size; <out>{TOKENIZER_SUFFIX} beside it")
    ],
    tokenizer: Annotated[str, typer.Option(help=" or ".join(TOKENIZERS))] = "char",
    vocab: Annotated[str | None, typer.Option(metavar=INT, help="tokens of bpe, at least 256 [default: 1024]")] = None,
    heldout: Annotated[str, typer.Option(metavar=NUMBER, help="share that is held out, at the end")] = str(
        HELDOUT_DEFAULT
    ),
) -> int:
    """Write both files; returns the exit status."""
    if out.suffix != ".npz":
        raise SpecError("out", str(out), "a name that ends in .npz")
    target = check_destination("out", out)
    beside = check_destination("out", out.with_suffix(TOKENIZER_SUFFIX))
    size = optional_integer("vocab", vocab)
    if size is None and tokenizer == "bpe":
        size = 1024
    text = read_corpus(corpus)
    train, rest = text.split(heldout=number("heldout", heldout, "a number between 0 and 1, both excluded"))
    made = make_tokenizer(tokenizer, text=train, vocab_size=size)
    parts = {"train": made.encode(train), "heldout": made.encode(rest)}
    save_tokenizer(made, beside)
    with whole_file(target) as file:
        np.savez(file, vocab_size=np.int64(made.vocab_size), allow_pickle=False, **parts)
    for name, value in (
        ("tokens_path", out),
        ("tokenizer_path", out.with_suffix(TOKENIZER_SUFFIX)),
        ("vocab_size", made.vocab_size),
        ("train", len(parts["train"])),
        ("heldout", len(parts["heldout"])),
        ("sha256", text.sha256),
        ("licence", text.licence or "not known"),
    ):
        print(f"{name}={value}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return run_command(app, "host.text.tokens", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
