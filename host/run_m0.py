# SPDX-License-Identifier: Apache-2.0
"""Command line of milestone 0: python -m host.run_m0 --help."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from host.m0 import M0Result, run
from host.m0_setup import DEFAULT_VOCAB, M0Options
from host.soundness import FAMILY_ALPHA
from host.targets.categorical import TargetError
from host.telemetry.files import OutputError
from host.tsu.base import NoiseAlarm, TsuError
from host.tsu.registry import BACKENDS
from host.tsu.serial.address import BAUD_DEFAULT
from host.verify.single import LawMismatchError
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from hw.spec.noise import GENERATORS

SOUND, UNSOUND, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""

INT, NUMBER = "<int>", "<number>"
"""Shown by --help. Numbers are parsed here, because typer's message would leave out the value."""

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

\b
Exit status
    0  the run is statistically sound
    1  it is not (an unbiased run gives this with probability about {FAMILY_ALPHA:g}),
       or the TSU reported probabilities that are not its law's, or its noise failed a health test
    2  bad input, a backend that cannot be opened, or a result that cannot be written
  130  interrupted; what was done is kept, marked "complete": false
"""

BACKEND_HELP = "TSU: " + "; ".join(f"{name}, {entry.summary}" for name, entry in BACKENDS.items())


@app.command(help=HELP)
def command(
    backend: Annotated[str, typer.Option(help=BACKEND_HELP)] = "model",
    port: Annotated[
        str | None, typer.Option(help="board of --backend serial: serial port, pyserial URL, or unix:PATH if shared")
    ] = None,
    baud: Annotated[
        str | None, typer.Option(metavar=INT, help=f"rate of its line, bits per second [default: {BAUD_DEFAULT}]")
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(help=f"noise generator: {', '.join(GENERATORS)} [default: {TsuConfig().noise}, or the board's]"),
    ] = None,
    lanes: Annotated[
        str | None,
        typer.Option(metavar=INT, help="parallel samplers, a power of two up to 64 [default: 1, or the board's]"),
    ] = None,
    groups: Annotated[
        str | None,
        typer.Option(
            metavar=INT, help="groups of lanes with a psi each, up to 64 lanes in all [default: 1, or the board's]"
        ),
    ] = None,
    weights: Annotated[str, typer.Option(help="weights from a table or from the on-chip exp2 unit")] = "table",
    steps: Annotated[str, typer.Option(metavar=INT, help="verified steps, at least 1")] = "100000",
    vocab: Annotated[
        str | None,
        typer.Option(
            metavar=INT,
            help=f"vocabulary size V, up to 2^20 [default: {DEFAULT_VOCAB}, or the length of --target]",
        ),
    ] = None,
    k: Annotated[str, typer.Option("--K", metavar=INT, help="top-K ids in psi, up to min(V, 1024)")] = "64",
    tau: Annotated[str, typer.Option(metavar=NUMBER, help="temperature of the law, above 0")] = "1.0",
    eps: Annotated[str, typer.Option(help="floor of a tail token: auto (leftover mass), or a number >= 0")] = "auto",
    pgen: Annotated[str, typer.Option(help="target: dirichlet, zipf (permuted ids) or file")] = "dirichlet",
    alpha: Annotated[str, typer.Option(metavar=NUMBER, help="Dirichlet concentration, or Zipf exponent")] = "1.0",
    seed: Annotated[str, typer.Option(metavar=INT, help="seed of target, noise and verifier, 0 to 2^64 - 1")] = "0",
    target: Annotated[
        Path | None, typer.Option(help="p for --pgen file: .npy of shape (V,), or text, one probability a line")
    ] = None,
    telemetry: Annotated[str, typer.Option(help="off, summary, or step (a row per step in steps.jsonl)")] = "summary",
    out: Annotated[Path | None, typer.Option(help="run folder [default: runs/<UTC time>]")] = None,
    save_draws: Annotated[Path | None, typer.Option(help="write drafts, outcomes, exact integers to this .npz")] = None,
    save_psi: Annotated[Path | None, typer.Option(help="write psi and its integer weights to this .json")] = None,
    plot: Annotated[Path | None, typer.Option(help="draw target against emitted histogram into this .png")] = None,
) -> int:
    """Run and show; returns the exit status."""
    options = M0Options(
        backend=backend,
        port=port,
        baud=None if baud is None else _integer("baud", baud),
        noise=noise,
        lanes=None if lanes is None else _integer("lanes", lanes),
        groups=None if groups is None else _integer("groups", groups),
        weights=weights,
        steps=_integer("steps", steps),
        vocab=None if vocab is None else _integer("vocab", vocab),
        k=_integer("K", k),
        tau=_number("tau", tau, "a finite number > 0"),
        eps=eps if eps == "auto" else _number("eps", eps, "auto, or a finite number >= 0"),
        pgen=pgen,
        alpha=_number("alpha", alpha, "a finite number > 0"),
        seed=_integer("seed", seed),
        target=target,
        telemetry=telemetry,
        out=out,
        save_draws=save_draws,
        save_psi=save_psi,
        plot=plot,
    )
    with progress_bar(options.steps) as progress:
        result = run(options, progress=progress)
    return show(result)


def _integer(field: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SpecError(field, text, "an integer") from None


def _number(field: str, text: str, legal: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SpecError(field, text, legal) from None


@contextmanager
def progress_bar(steps: int) -> Iterator[Callable[[int, float], None] | None]:
    """A bar on standard error where that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("accepted {task.fields[rate]:.4f}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("steps", total=steps, rate=0.0)
        yield lambda done, rate: bar.update(task, completed=done, rate=rate)


def show(result: M0Result) -> int:
    """Print the summary; returns the exit status.

    Raises
    ------
    OutputError
        Standard output is closed, or on a full disk.
    """
    try:
        print(f"metrics_path={'none' if result.metrics_path is None else result.metrics_path}")
        print("\n".join(result.summary.lines()), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails again at its end
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None
    if not result.complete:
        print("interrupted: the figures are those of the steps that were done", file=sys.stderr)
        return INTERRUPTED
    if not result.summary.soundness.sound:
        failed = ", ".join(
            f"{name} (p = {result.summary.soundness[name].p_value:.3g})" for name in result.summary.soundness.failed
        )
        print(f"not sound: {failed}", file=sys.stderr)
        return UNSOUND
    return SOUND


def main(arguments: list[str] | None = None) -> int:
    """Parse, run, and turn every expected error into one line on standard error and an exit status.

    Parameters
    ----------
    arguments : list of str or None
        Command line without the program name; None takes `sys.argv`. A leading word `run` is skipped.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["run"]:
        arguments = arguments[1:]
    try:
        status: int = app(arguments, prog_name="python -m host.run_m0", standalone_mode=False)
    except (LawMismatchError, NoiseAlarm) as error:
        return _refuse(f"not sound: {error}", UNSOUND)
    except typer.TyperException as error:
        return _refuse(f"{error.format_message()} (--help shows all options)", REFUSED)
    except (SpecError, TargetError, OutputError, TsuError) as error:
        return _refuse(str(error), REFUSED)
    except MemoryError:
        return _refuse("out of memory: fewer steps, or a smaller vocabulary, are needed", REFUSED)
    except KeyboardInterrupt:
        return _refuse("interrupted before there was a result", INTERRUPTED)
    return status or SOUND


def _refuse(message: str, status: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
