# SPDX-License-Identifier: Apache-2.0
"""What the sub-commands of `python -m host.train` share: options, settings, progress, the figures at the end."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from host.models.extra import check_train_extra
from host.report.figure import check_plot
from host.runs.command import INT, integer, number
from host.telemetry.files import OutputError, check_destination
from hw.spec.errors import check_int

from .log import read_rows
from .settings import TrainSettings

OutOption = Annotated[Path, typer.Option(help="folder of the model, made if need be")]
ResumeOption = Annotated[bool, typer.Option("--resume", help="go on from the checkpoint in --out")]
PlotOption = Annotated[Path | None, typer.Option(help="draw the learning curve into this .png")]
ThreadsOption = Annotated[str, typer.Option(metavar=INT, help="processor threads; one is fastest on a shared machine")]


def setting(name: str, what: str, metavar: str, recipes: Mapping[str, TrainSettings]) -> Any:
    """An option that changes a field of the recipe of each kind; its help says what the recipes have."""
    defaults = {kind: f"{getattr(recipe, name):g}" for kind, recipe in recipes.items()}
    shown = ", ".join(f"{value} ({kind})" if len(defaults) > 1 else value for kind, value in defaults.items())
    return typer.Option(metavar=metavar, help=f"{what} [default: {shown}]")


def settings_from(recipe: TrainSettings, seed: str, **given: str | None) -> TrainSettings:
    """The recipe with what the command line says otherwise."""
    changes: dict[str, Any] = {"seed": integer("seed", seed)}
    for name, value in given.items():
        if value is not None:
            changes[name] = number(name, value, "a finite number > 0") if name == "rate" else integer(name, value)
    return replace(recipe, **changes)


def prepare(field: str, value: str, plot: Path | None, threads: str) -> None:
    """Check what can be checked beforehand, and set the threads; `field` and `value` name what needs torch."""
    check_train_extra(field, value)
    count = check_int("threads", integer("threads", threads), 1, 1024)
    if plot is not None:
        check_plot(check_destination("plot", plot))
    import torch

    torch.set_num_threads(count)


@contextmanager
def progress_bar(steps: int) -> Iterator[Callable[[int, Mapping[str, float]], None] | None]:
    """A bar on standard error where that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[shown]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("steps", total=steps, shown="")

        def report(done: int, figures: Mapping[str, float]) -> None:
            shown = " ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "score")
            bar.update(task, completed=done)
            if shown:
                bar.update(task, shown=shown)

        yield report


def show(folder: Path, plot: Path | None) -> int:
    """Print the row of the best model, and draw the curve; returns the exit status.

    Raises
    ------
    OutputError
        A result cannot be written.
    """
    rows = read_rows(folder)
    best = max(rows, key=lambda row: row["score"])
    if plot is not None:
        from host.report.learning_curve import plot_learning

        plot_learning(plot, rows)
    lines = [f"model_path={folder}", f"steps={rows[-1]['step']}", f"best_step={best['step']}"]
    lines += [f"{name}={best[name]:.6g}" for name in best if name not in ("step", "score", "rate", "cpu_s")]
    lines.append(f"cpu_s={rows[-1]['cpu_s']:.1f}")
    return print_lines(lines)


def print_lines(lines: list[str]) -> int:
    """Show the results; returns the exit status."""
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails again at its end
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None
    return 0
