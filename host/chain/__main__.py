# SPDX-License-Identifier: Apache-2.0
"""Gibbs against exact draws from chains of tokens: `python -m host.chain --help`."""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host.extras import install_hint
from host.runs import command as shared
from host.runs.command import INT, integer
from host.telemetry.files import check_destination, write_json
from host.text.corpus import read_corpus
from host.tsu.base import TsuError
from hw.spec.errors import SpecError, check_int

from .corpus import corpus_chain
from .mixing import GOOD_ENOUGH, SEARCH_SWEEPS
from .model import ChainModel, random_chain

if TYPE_CHECKING:
    from .study import Mixing

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)

HELP = """How far are Gibbs draws of thrml from the law of a chain of L categorical nodes with pairwise couplings?

Biases and couplings are normal random numbers of 1 nat, or with --corpus the bigram of a text's K most frequent
characters; the couplings are multiplied by each strength. Prints, for each strength and 1, 2, 4, ... sweeps, the
total variation between draws and exact joint (tv), that of the law of such draws, by enumeration (tv_law), and that
of as many exact draws (tv_exact). Needs the extra thrml.

\b
Examples
  python -m host.chain
  python -m host.chain --length 3 --K 4 --strengths 1,3 --sweeps 16
  python -m host.chain --corpus book.txt --strengths 1
  python -m host.chain --plot chain.png --json chain.json

\b
Exit status
    0  done
    2  bad input, a missing package, or a result that cannot be written
  130  interrupted
"""


@app.command(help=HELP)
def command(
    length: Annotated[str, typer.Option(metavar=INT, help="nodes L, 2 to 4")] = "4",
    k: Annotated[str, typer.Option("--K", metavar=INT, help="states of a node, 2 to 8")] = "8",
    strengths: Annotated[
        str, typer.Option(metavar="<numbers>", help="what the couplings are multiplied by, with commas, 0 to 20")
    ] = "0.5,1,2,4,8",
    corpus: Annotated[Path | None, typer.Option(help="text file (UTF-8) that the chain is counted in")] = None,
    sweeps: Annotated[str, typer.Option(metavar=INT, help="most sweeps, up to 4096")] = "64",
    chains: Annotated[str, typer.Option(metavar=INT, help="Gibbs chains and exact draws, 1000 to 2^24")] = "262144",
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of random chain and draws, 0 to 2^64 - 1")] = "1",
    plot: Annotated[Path | None, typer.Option(help="draw total variation against sweeps into this .png")] = None,
    json: Annotated[Path | None, typer.Option(help="write every figure to this .json")] = None,
) -> int:
    """Measure and show; returns the exit status."""
    missing = [name for name in ("jax", "thrml") if find_spec(name) is None]
    if missing:
        raise TsuError(install_hint(user="host.chain", package=missing[0], extra="thrml"))
    from host.report.figure import check_plot

    from .study import Study, run_study

    sizes = check_int("length", integer("length", length), 2, 4), check_int("K", integer("K", k), 2, 8)
    study = Study(
        unit=_unit(corpus, *sizes, seed=integer("seed", seed)),
        strengths=_numbers(strengths),
        sweeps=integer("sweeps", sweeps),
        chains=integer("chains", chains),
        seed=integer("seed", seed),
    )
    files = {name: check_destination(name, path) for name, path in (("plot", plot), ("json", json)) if path is not None}
    if len(set(files.values())) < len(files):
        raise SpecError("json", str(json), "a file of its own; the plot goes there too")
    if plot is not None:
        check_plot(plot)
    found = run_study(study, progress=_show)
    if json is not None:
        asked = {"length": sizes[0], "k": sizes[1], "corpus": None if corpus is None else corpus.name}
        asked |= {"sweeps": study.sweeps, "chains": study.chains, "seed": study.seed}
        write_json(json, {"schema_version": 1, **asked, "mixing": [mixing.as_json() for mixing in found]})
    if plot is not None:
        from host.report.mixing import plot_mixing

        plot_mixing(plot, study=study, found=found, unit="1 nat" if corpus is None else "the couplings of the text")
    return shared.SOUND


def _unit(corpus: Path | None, length: int, k: int, *, seed: int) -> ChainModel:
    """The chain of strength 1."""
    if corpus is None:
        return random_chain(length=length, k=k, coupling=1.0, seed=seed)
    return corpus_chain(read_corpus(corpus).text, length=length, k=k)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise SpecError("strengths", text, "numbers with commas between them") from None


def _show(mixing: "Mixing") -> None:
    """Lines of one strength."""
    lines = [f"sweeps={point.sweeps} tv={point.measured:.4f} tv_law={point.law:.3g}" for point in mixing.points]
    for bound, sweeps in zip(GOOD_ENOUGH, mixing.needed, strict=True):
        lines.append(f"sweeps_until_{bound:g}={f'none within {SEARCH_SWEEPS}' if sweeps is None else sweeps}")
    rates = f"exact_draws_per_s={1 / mixing.exact_s:.3g} gibbs_sweeps_per_s={1 / mixing.sweep_s:.3g}"
    lines.append(f"tv_exact={mixing.exact:.4f} {rates}")
    shared.print_lines([f"strength={mixing.strength:g} {line}" for line in lines])


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status. See `host.runs.command.main`."""
    return shared.main(app, "host.chain", arguments)


if __name__ == "__main__":
    sys.exit(main())
