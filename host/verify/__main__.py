# SPDX-License-Identifier: Apache-2.0
"""Acceptance of the rules for several drafts of one position: `python -m host.verify --help`."""

import sys
from typing import Annotated

import typer

from host.runs import command as shared
from host.runs.command import INT, integer
from hw.spec.config import K_LIMIT, VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

from .siblings import DRAFTS_MAX, METHODS
from .study import TARGETS, acceptance_of, made_up_target

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = """What each rule for n drafts of one position accepts, computed and not sampled.

The drafts come from the psi of a made-up target, with K ids and the tail for n drafts. Prints, for each target, V and
n: alpha*_n, which no rule exceeds; the acceptance of race, rrs (recursive rejection), kseq and gumbel (the emitted
token depends on seed and position alone); and coupled, that of one draft, of a psi for one draft, that shares the
random numbers of gumbel, as no TSU does.

\b
Examples
  python -m host.verify
  python -m host.verify --target logits --vocab 32000 --drafts 4,8
  python -m host.verify --target zipf --vocab 1000 --K 16 --drafts 2 --seed 5

\b
Exit status
    0  printed
    2  bad input
  130  interrupted
"""


@app.command(help=HELP)
def compare(
    target: Annotated[str, typer.Option(help="targets, separated by commas: " + ", ".join(TARGETS))] = "dirichlet,zipf",
    vocab: Annotated[str, typer.Option(help="vocabulary sizes V, separated by commas")] = "500,1000",
    drafts: Annotated[str, typer.Option(help=f"n, separated by commas, up to {DRAFTS_MAX}")] = "2,4,8,16",
    k: Annotated[str, typer.Option("--K", metavar=INT, help="ids of a psi")] = "64",
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of the targets")] = "1",
) -> int:
    """See `HELP`."""
    names = target.split(",")
    for name in names:
        if name not in TARGETS:
            raise SpecError("target", name, "one of " + ", ".join(TARGETS))
    sizes = [check_int("vocab", integer("vocab", part), 8, VOCAB_LIMIT) for part in vocab.split(",")]
    counts = [check_int("drafts", integer("drafts", part), 1, DRAFTS_MAX) for part in drafts.split(",")]
    ids = check_int("K", integer("K", k), 1, min(K_LIMIT, *sizes))
    start = check_int("seed", integer("seed", seed), 0, (1 << 64) - 1)
    _print_row("target", "V", "n", "alpha*_n", *METHODS, "coupled")
    for name in names:
        for size in sizes:
            p = made_up_target(name, vocab_size=size, seed=start)
            for n in counts:
                found = acceptance_of(p, k=ids, drafts=n)
                figures = (found.optimum, *(found.methods[method] for method in METHODS), found.coupled)
                _print_row(name, str(size), str(n), *(f"{figure:.4f}" for figure in figures))
    return shared.SOUND


def _print_row(*cells: str) -> None:
    typer.echo(" ".join(f"{cell:>9}" for cell in cells))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit status."""
    return shared.main(app, "host.verify", arguments)


if __name__ == "__main__":
    sys.exit(main())
