# SPDX-License-Identifier: Apache-2.0
"""What the sub-commands of `python -m host.plan` share: options, the acceptance table, progress, tables."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from host.runs.command import INT, NUMBER, TopK, integer, number, optional_integer
from host.tsu.serial.address import byte_seconds, check_baud
from hw.spec.errors import SpecError

from .acceptance import RULES, AcceptanceTable, Rows, acceptance_table, check_rule
from .sources import make_targets

INTS = "<ints>"
"""Shown by --help."""

SYMMETRIC = ("optimal", "race")
"""Rules that treat drafts alike; the others go draft by draft."""

DEFAULT_VOCAB = 1000
"""Vocabulary of a generated target."""

DRAW_RATE = 1.5e8
"""Draws per second of one lane at 150 MHz."""

Pgen = Annotated[str, typer.Option(help="target: dirichlet, zipf (permuted ids) or file")]
Vocab = Annotated[
    str | None,
    typer.Option(metavar=INT, help=f"vocabulary size V [default: {DEFAULT_VOCAB}, or the length of --target]"),
]
Alpha = Annotated[str, typer.Option(metavar=NUMBER, help="Dirichlet concentration, or Zipf exponent")]
Seed = Annotated[str, typer.Option(metavar=INT, help="seed of the first context; the next has the next seed")]
Contexts = Annotated[str, typer.Option(metavar=INT, help="generated targets over which acceptance is averaged")]
Target = Annotated[Path | None, typer.Option(help="p for --pgen file: .npy of shape (V,) or (contexts, V), or text")]
Rule = Annotated[
    str,
    typer.Option(help="verification of the drafts of a node: " + ", ".join(RULES) + " (optimal: what none exceeds)"),
]
Acceptances = Annotated[
    str | None,
    typer.Option(metavar="<numbers>", help="measured a_1,a_2,... in place of a target; with semicolons: of each depth"),
]
Drafts = Annotated[
    str, typer.Option(help="drafts that the tail of psi is made for: auto (those of the node), or a number")
]
Nodes = Annotated[str, typer.Option(metavar=INTS, help="node budgets, with commas, up to 256")]
Baud = Annotated[
    str | None, typer.Option(metavar=INT, help="rate of a serial line, bits per second [default: 12000000]")
]
BytesPerS = Annotated[str | None, typer.Option(metavar=NUMBER, help="rate of another link, in place of --baud")]
DrawBytes = Annotated[str, typer.Option(metavar=NUMBER, help="bytes of a draw on the link")]
DrawsPerS = Annotated[str, typer.Option(metavar=NUMBER, help="rate of the TSU")]

__all__ = ["TopK"]


@dataclass(frozen=True, kw_only=True)
class Source:
    """What acceptance is taken from.

    Parameters
    ----------
    tables : tuple of AcceptanceTable
        Entry d is of the drafts below nodes of depth d; the last is of all further depths, too.
    targets : float64 ndarray of shape (contexts, V), or None
        None where acceptances were given.
    drafts : int or None
        Drafts that the tail of psi is made for; None: those of the node.
    """

    tables: tuple[AcceptanceTable, ...]
    targets: Rows | None
    drafts: int | None


def targets_from(
    pgen: str, vocab: str | None, alpha: str, seed: str, contexts: str, target: Path | None
) -> Rows:  # fmt: skip
    """Targets of the options of these names."""
    size = optional_integer("vocab", vocab)
    return make_targets(
        pgen=pgen,
        vocab_size=DEFAULT_VOCAB if size is None and pgen != "file" else size,
        alpha=number("alpha", alpha),
        seed=integer("seed", seed),
        contexts=integer("contexts", contexts),
        file=target,
    )


def source(
    *, rule: str, acceptances: str | None, drafts: str, k: int, targets: Callable[[], Rows]
) -> Source:  # fmt: skip
    """The table of the options --rule, --acceptances, --drafts, --K, and of the targets where they are asked for."""
    check_rule(rule)
    made_for = None if drafts == "auto" else integer("drafts", drafts)
    if acceptances is not None:
        make = AcceptanceTable.symmetric if rule in SYMMETRIC else AcceptanceTable.sequential
        levels = [numbers("acceptances", level) for level in acceptances.split(";")]
        return Source(tables=tuple(make([0.0, *level]) for level in levels), targets=None, drafts=made_for)
    rows = targets()
    with progress_bar("drafts", 16) as progress:
        table = acceptance_table(targets=rows, k=k, rule=rule, drafts=made_for, progress=progress)
    return Source(tables=(table,), targets=rows, drafts=made_for)


def numbers(field: str, text: str) -> list[float]:
    """Numbers with commas between them, or `SpecError`."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise SpecError(field, text, "numbers with commas between them") from None


def integers(field: str, text: str) -> list[int]:
    """Integers with commas between them, or `SpecError`."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise SpecError(field, text, "integers with commas between them") from None


def link_rate(baud: str | None, bytes_per_s: str | None) -> float:
    """Bytes per second of the options --baud and --bytes-per-s."""
    if bytes_per_s is None:
        return 1 / byte_seconds(check_baud(12_000_000 if baud is None else integer("baud", baud)), 1)
    if baud is not None:
        raise SpecError("bytes_per_s", bytes_per_s, "not given together with baud")
    return number("bytes_per_s", bytes_per_s)


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[int], object] | None]:
    """A bar on standard error where that is a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def columns_of(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table as lines: right-aligned columns, two spaces apart."""
    widths = [max(len(cell) for cell in column) for column in zip(header, *rows, strict=True)]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
