# SPDX-License-Identifier: Apache-2.0
"""Command line of milestone 0: python -m host.run_m0 --help."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from host.m0 import run
from host.m0_setup import DEFAULT_VOCAB, M0Options
from host.runs import command as shared
from host.runs.command import INT, NUMBER, integer, number, optional_integer

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = f"""Draw draft tokens from a TSU, verify each against a target p, and test that the output follows p.

Prints name=value lines, and writes config.json, summary.json (and steps.jsonl) to runs/<UTC time>/.

\b
Examples
  python -m host.run_m0 --backend rtl
  python -m host.run_m0 --steps 5000 --vocab 500 --K 32 --seed 11
  python -m host.run_m0 --pgen zipf --alpha 1.1 --vocab 50000 --K 256 --lanes 4 --plot m0.png
  python -m host.run_m0 --backend serial --port /dev/ttyUSB0
  python -m host.run_m0 --pgen file --target p.npy --save-draws draws.npz --save-psi psi.json

{shared.EXIT_STATUS}"""


@app.command(help=HELP)
def command(
    backend: shared.Backend = "model",
    port: shared.Port = None,
    baud: shared.Baud = None,
    noise: shared.Noise = None,
    lanes: shared.Lanes = None,
    groups: shared.Groups = None,
    weights: shared.Weights = "table",
    steps: Annotated[str, typer.Option(metavar=INT, help="verified steps, at least 1")] = "100000",
    vocab: Annotated[
        str | None,
        typer.Option(
            metavar=INT,
            help=f"vocabulary size V, up to 2^20 [default: {DEFAULT_VOCAB}, or the length of --target]",
        ),
    ] = None,
    k: shared.TopK = "64",
    tau: shared.Tau = "1.0",
    eps: shared.Eps = "auto",
    pgen: Annotated[str, typer.Option(help="target: dirichlet, zipf (permuted ids) or file")] = "dirichlet",
    alpha: Annotated[str, typer.Option(metavar=NUMBER, help="Dirichlet concentration, or Zipf exponent")] = "1.0",
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of target, noise and verifier, 0 to 2^64 - 1")] = "0",
    target: Annotated[
        Path | None, typer.Option(help="p for --pgen file: .npy of shape (V,), or text, one probability a line")
    ] = None,
    telemetry: Annotated[str, typer.Option(help="off, summary, or step (a row per step in steps.jsonl)")] = "summary",
    out: shared.Out = None,
    save_draws: Annotated[Path | None, typer.Option(help="write drafts, outcomes, exact integers to this .npz")] = None,
    save_psi: Annotated[Path | None, typer.Option(help="write psi and its integer weights to this .json")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw target against emitted histogram into this .png")] = None,
) -> int:
    """Run and show; returns the exit status."""
    options = M0Options(
        backend=backend,
        port=port,
        baud=optional_integer("baud", baud),
        noise=noise,
        lanes=optional_integer("lanes", lanes),
        groups=optional_integer("groups", groups),
        weights=weights,
        steps=integer("steps", steps),
        vocab=optional_integer("vocab", vocab),
        k=integer("K", k),
        tau=number("tau", tau),
        eps=shared.floor(eps),
        pgen=pgen,
        alpha=number("alpha", alpha),
        seed=integer("seed", seed),
        target=target,
        telemetry=telemetry,
        out=out,
        save_draws=save_draws,
        save_psi=save_psi,
        plot=plot,
    )
    with shared.progress_bar(options.steps) as progress:
        result = run(options, progress=progress)
    shared.print_result(result.metrics_path, result.summary)
    return shared.verdict(result.summary)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. See `host.runs.command.main`."""
    return shared.main(app, "host.run_m0", arguments)


if __name__ == "__main__":
    sys.exit(main())
