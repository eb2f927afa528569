# SPDX-License-Identifier: Apache-2.0
"""Command line of milestone 1: python -m host.run_m1 --help."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from host.m1 import run
from host.m1_setup import DEFAULT_BPE_VOCAB, DEFAULT_VOCAB, M1Options
from host.runs import command as shared
from host.runs.command import INT, NUMBER, integer, number, optional_integer
from host.targets.bigram import SMOOTHINGS
from host.text.choice import TOKENIZERS

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = f"""Grow texts that follow a bigram target: every token is drafted by a TSU and verified.

Each context (the last token) has a psi of its own, crafted once. Prints name=value lines, and writes config.json,
summary.json, summary.csv, contexts.csv (and steps.jsonl) to runs/<UTC time>/.

\b
Examples
  python -m host.run_m1 --backend rtl
  python -m host.run_m1 --vocab 512 --c 0.1 --K 32 --seed 5
  python -m host.run_m1 --corpus book.txt --tokenizer bpe --vocab 1024 --K 32 --backend rtl --plot m1.png
  python -m host.run_m1 --corpus book.txt --K 8 --L 4 --verify block
  python -m host.run_m1 --drafts 8 --steps 100000
  python -m host.run_m1 --L 4 --tree-nodes 16 --steps 100000
  python -m host.run_m1 --corpus book.txt --telemetry step --steps 10000

{shared.EXIT_STATUS}"""


@app.command(help=HELP)
def command(
    backend: shared.Backend = "model",
    port: shared.Port = None,
    baud: shared.Baud = None,
    noise: shared.Noise = None,
    lanes: shared.Lanes = None,
    groups: shared.Groups = None,
    weights: shared.Weights = "exp2",
    steps: Annotated[str, typer.Option(metavar=INT, help="verified tokens in all, at least 1")] = "1000000",
    texts: Annotated[str, typer.Option(metavar=INT, help="texts that grow side by side, up to 2^20")] = "16384",
    vocab: Annotated[
        str | None,
        typer.Option(
            metavar=INT,
            help=f"vocabulary size V, up to 4096 [default: {DEFAULT_VOCAB}, or {DEFAULT_BPE_VOCAB} with bpe; a char "
            "vocabulary is the corpus's]",
        ),
    ] = None,
    c: Annotated[str, typer.Option("--c", metavar=NUMBER, help="Dirichlet concentration of synthetic rows")] = "1.0",
    corpus: Annotated[
        Path | None, typer.Option(help="text file (UTF-8) to count instead of a synthetic bigram")
    ] = None,
    tokenizer: Annotated[str, typer.Option(help="tokens of the corpus: " + ", ".join(TOKENIZERS))] = "char",
    smoothing: Annotated[str, typer.Option(help="of its counts: " + ", ".join(SMOOTHINGS))] = "witten-bell",
    k: shared.TopK = "64",
    tau: shared.Tau = "1.0",
    eps: shared.Eps = "auto",
    length: shared.Length = None,
    drafts: shared.Drafts = None,
    tree_nodes: shared.TreeNodes = None,
    verify: shared.Verify = None,
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of target, noise and verifier, 0 to 2^64 - 1")] = "0",
    telemetry: Annotated[str, typer.Option(help="off, summary, or step (a row per token in steps.jsonl)")] = "summary",
    out: shared.Out = None,
    plot: Annotated[Path | None, typer.Option(help="draw acceptance against overlap by context into this .png")] = None,
) -> int:
    """Run and show; returns the exit status."""
    options = M1Options(
        backend=backend,
        port=port,
        baud=optional_integer("baud", baud),
        noise=noise,
        lanes=optional_integer("lanes", lanes),
        groups=optional_integer("groups", groups),
        weights=weights,
        steps=integer("steps", steps),
        texts=integer("texts", texts),
        vocab=optional_integer("vocab", vocab),
        c=number("c", c),
        corpus=corpus,
        tokenizer=tokenizer,
        smoothing=smoothing,
        k=integer("K", k),
        tau=number("tau", tau),
        eps=shared.floor(eps),
        seed=integer("seed", seed),
        telemetry=telemetry,
        out=out,
        plot=plot,
        drafting=shared.draft_options(length, drafts, tree_nodes, verify),
    )
    with shared.progress_bar(options.steps) as progress:
        result = run(options, progress=progress)
    shared.print_result(result.metrics_path, result.summary)
    return shared.verdict(result.summary)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. See `host.runs.command.main`."""
    return shared.main(app, "host.run_m1", arguments)


if __name__ == "__main__":
    sys.exit(main())
