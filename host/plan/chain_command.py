# SPDX-License-Identifier: Apache-2.0
"""`python -m host.plan chain`: what block verification gains on a text."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from host.runs import command as shared
from host.runs.command import INT, NUMBER, integer, number
from host.targets.ngram import N_MAX, NgramTarget
from host.text.choice import TOKENIZERS, make_tokenizer
from host.text.corpus import read_corpus
from hw.spec.errors import check_int

from . import options as given
from .chain import chain_gain

VOCAB = 1024
"""Tokens of a byte-pair encoding."""


def chain(
    corpus: Annotated[Path, typer.Option(help="text file (UTF-8): both models count it, contexts are its own")],
    tokenizer: Annotated[str, typer.Option(help="tokens of the corpus: " + ", ".join(TOKENIZERS))] = "bpe",
    vocab: Annotated[str, typer.Option(metavar=INT, help="vocabulary of bpe")] = str(VOCAB),
    target_n: Annotated[str, typer.Option(metavar=INT, help=f"longest n-gram of the target, up to {N_MAX}")] = "4",
    proposer_n: Annotated[str, typer.Option(metavar=INT, help="longest n-gram of the proposer")] = "3",
    lengths: Annotated[str, typer.Option("--L", metavar=given.INTS, help="drafts of a chain, with commas")] = "2,4,8",
    k: given.TopK = "64",
    tau: Annotated[str, typer.Option(metavar=NUMBER, help="temperature of psi's law, above 0")] = "1.0",
    chains: Annotated[str, typer.Option(metavar=INT, help="chains that are drawn for each L")] = "4000",
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of contexts and drafts")] = "0",
) -> int:
    """Draw and show; returns the exit status."""
    count = check_int("chains", integer("chains", chains), 2, 1 << 24)
    wanted = given.integers("L", lengths)
    text = read_corpus(corpus).text
    codec = make_tokenizer(tokenizer, text=text, vocab_size=None if tokenizer == "char" else integer("vocab", vocab))
    tokens = codec.encode(text)
    target, proposer = (
        NgramTarget(tokens=tokens, vocab_size=codec.vocab_size, n=integer(name, n))
        for name, n in (("target-n", target_n), ("proposer-n", proposer_n))
    )
    order = max(target.order, proposer.order, 1)
    check_int("tokens of the corpus", len(tokens), order + 1, 1 << 40)
    rng = np.random.default_rng(integer("seed", seed))
    ends = rng.integers(order, len(tokens) + 1, count)
    contexts = np.stack([tokens[end - order : end] for end in ends])
    rows, lines = [], []
    for length in wanted:
        with given.progress_bar(f"L = {length}", count) as progress:
            found = chain_gain(
                target=target, proposer=proposer, contexts=contexts, length=length, k=integer("K", k),
                tau=number("tau", tau), rng=rng, progress=progress,
            )  # fmt: skip
        bounds = f"{100 * found.low:.2f} to {100 * found.high:.2f}"
        rows.append([str(length), f"{found.token:.4f}", f"{found.block:.4f}", f"{100 * found.gain:.2f}", bounds])
        lines.append(f"L={length} token={found.token:.6g} block={found.block:.6g} gain={found.gain:.6g}")
    shared.print_lines(
        [
            "tokens of a target call, verified token by token and as a block; gain in %, with its 95 % interval",
            *given.columns_of(["L", "token", "block", "gain", "interval"], rows),
            "",
            f"vocab_size={codec.vocab_size}",
            f"tokens={len(tokens)}",
            f"chains={count}",
            *lines,
        ]
    )
    return shared.SOUND
