# SPDX-License-Identifier: Apache-2.0
"""What the command lines of runs share: options, numbers, the progress bar, exit statuses and one-line errors."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from host.draft.drafting import LENGTH_MAX
from host.draft.options import TREE_LENGTH, DraftOptions
from host.plan.checks import CHILDREN_MAX
from host.soundness import FAMILY_ALPHA
from host.targets.categorical import TargetError
from host.telemetry.files import OutputError
from host.telemetry.summary import Summary
from host.text.corpus import TextError
from host.tsu.base import NoiseAlarm, TsuError
from host.tsu.registry import BACKENDS
from host.tsu.serial.address import BAUD_DEFAULT
from host.verify.single import LawMismatchError
from host.verify.walk import METHODS
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from hw.spec.noise import GENERATORS

SOUND, UNSOUND, REFUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit statuses."""

INT, NUMBER = "<int>", "<number>"
"""Shown by --help. Numbers are parsed here, because typer's message would leave out the value."""

EXIT_STATUS = f"""\b
Exit status
    0  the run is statistically sound
    1  it is not (an unbiased run gives this with probability about {FAMILY_ALPHA:g}),
       or the TSU reported probabilities that are not its law's, or its noise failed a health test
    2  bad input, a backend that cannot be opened, or a result that cannot be written
  130  interrupted; what was done is kept, marked "complete": false
"""
"""End of a run's help text."""

Backend = Annotated[
    str, typer.Option(help="TSU: " + "; ".join(f"{name}, {entry.summary}" for name, entry in BACKENDS.items()))
]
Port = Annotated[
    str | None, typer.Option(help="board of --backend serial: serial port, pyserial URL, or unix:PATH if shared")
]
Baud = Annotated[
    str | None, typer.Option(metavar=INT, help=f"rate of its line, bits per second [default: {BAUD_DEFAULT}]")
]
Noise = Annotated[
    str | None,
    typer.Option(help=f"noise generator: {', '.join(GENERATORS)} [default: {TsuConfig().noise}, or the board's]"),
]
Lanes = Annotated[
    str | None,
    typer.Option(metavar=INT, help="parallel samplers, a power of two up to 64 [default: 1, or the board's]"),
]
Groups = Annotated[
    str | None,
    typer.Option(
        metavar=INT, help="groups of lanes with a psi each, up to 64 lanes in all [default: 1, or the board's]"
    ),
]
Weights = Annotated[str, typer.Option(help="weights from a table or from the on-chip exp2 unit")]
TopK = Annotated[str, typer.Option("--K", metavar=INT, help="top-K ids in psi, up to min(V, 1024)")]
Tau = Annotated[str, typer.Option(metavar=NUMBER, help="temperature of the law, above 0")]
Eps = Annotated[str, typer.Option(help="floor of a tail token: auto (leftover mass), or a number >= 0")]
Length = Annotated[
    str | None,
    typer.Option(
        "--L", metavar=INT, help=f"drafts one behind the other, up to {LENGTH_MAX} [default: 1; levels of a tree: "
        f"{TREE_LENGTH}, or as far as the proposer drafts]",
    ),
]  # fmt: skip
Drafts = Annotated[
    str | None,
    typer.Option(
        metavar=INT, help=f"drafts of a position, up to {CHILDREN_MAX} [default: 1; in a tree: {CHILDREN_MAX} at most]"
    ),
]
TreeNodes = Annotated[
    str | None,
    typer.Option(metavar=INT, help="most drafts of a token tree; its shape follows from the acceptance that was seen"),
]
Verify = Annotated[
    str | None,
    typer.Option(
        help=f"rule of the verifier: {', '.join(METHODS)} [default: block for a chain, race for several drafts]"
    ),
]
Out = Annotated[Path | None, typer.Option(help="run folder [default: runs/<UTC time>]")]


def integer(field: str, text: str) -> int:
    """The integer of an option, or `SpecError`."""
    try:
        return int(text)
    except ValueError:
        raise SpecError(field, text, "an integer") from None


def optional_integer(field: str, text: str | None) -> int | None:
    """The integer of an option that may be left out, or `SpecError`."""
    return None if text is None else integer(field, text)


def number(field: str, text: str, legal: str = "a finite number > 0") -> float:
    """The number of an option, or `SpecError`."""
    try:
        return float(text)
    except ValueError:
        raise SpecError(field, text, legal) from None


def floor(text: str) -> float | str:
    """The value of --eps."""
    return text if text == "auto" else number("eps", text, "auto, or a finite number >= 0")


def draft_options(length: str | None, drafts: str | None, tree_nodes: str | None, verify: str | None) -> DraftOptions:
    """What --L, --drafts, --tree-nodes and --verify ask for."""
    return DraftOptions(
        length=optional_integer("L", length),
        drafts=optional_integer("drafts", drafts),
        tree_nodes=optional_integer("tree_nodes", tree_nodes),
        verify=verify,
    )


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


def print_result(metrics_path: Path | None, summary: Summary) -> None:
    """Path and summary as `name=value`, one per line.

    Raises
    ------
    OutputError
        Standard output is closed, or on a full disk.
    """
    print_lines([f"metrics_path={'none' if metrics_path is None else metrics_path}", *summary.lines()])


def print_lines(lines: Sequence[str]) -> None:
    """Lines to standard output, at once.

    Raises
    ------
    OutputError
        Standard output is closed, or on a full disk.
    """
    try:
        print("\n".join(lines), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails again at its end
        raise OutputError(f"standard output cannot be written: {error.strerror}") from None


class _Said(int):
    """An exit status whose reason stands on standard error already."""


def verdict(summary: Summary) -> int:
    """Exit status of a finished run; says on standard error why it is not 0."""
    soundness = summary.soundness
    if not summary.values["complete"]:
        print("interrupted: the figures are those of the steps that were done", file=sys.stderr)
        return _Said(INTERRUPTED)
    if not soundness.sound:
        failed = ", ".join(f"{name} (p = {soundness[name].p_value:.3g})" for name in soundness.failed)
        print(f"not sound: {failed}", file=sys.stderr)
        return UNSOUND
    return SOUND


def main(app: typer.Typer, program: str, arguments: list[str] | None) -> int:
    """Parse, run, and turn every expected error into one line on standard error and an exit status.

    Parameters
    ----------
    app : Typer
    program : str
        Module of the command line.
    arguments : list of str or None
        Command line without the program name; None takes `sys.argv`. A leading word `run` is skipped.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["run"]:
        arguments = arguments[1:]
    try:
        status: int = app(arguments, prog_name=f"python -m {program}", standalone_mode=False)
    except (LawMismatchError, NoiseAlarm) as error:
        return _refuse(f"not sound: {error}", UNSOUND)
    except typer.TyperException as error:
        return _refuse(f"{error.format_message()} (--help shows all options)", REFUSED)
    except (SpecError, TargetError, TextError, OutputError, TsuError) as error:
        return _refuse(str(error), REFUSED)
    except MemoryError:
        return _refuse("out of memory: fewer steps, or a smaller vocabulary, are needed", REFUSED)
    if status == INTERRUPTED and not isinstance(status, _Said):  # typer's answer to SIGINT
        return _refuse("interrupted before there was a result", INTERRUPTED)
    return int(status or SOUND)


def _refuse(message: str, status: int) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return status
