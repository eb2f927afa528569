# SPDX-License-Identifier: Apache-2.0
"""Line, toggle and functional coverage of the RTL benches: `python -m sim.coverage` (`make coverage`)."""

import logging
import os
import re
import time
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hw.spec.errors import SpecError

from ..bench_file import Bench, BenchError, find_benches, select_benches
from ..native.toolchain import ToolMissing
from ..verilated.toolchain import find_verilator
from .explained import Review, read_rules, review
from .report import (
    DOCUMENT,
    STORED,
    Report,
    component_files,
    component_rows,
    group_rows,
    make_report,
    rewrite_document,
)
from .runner import MAKE_VARIABLES, Record, merge_records, read_record, run_one

BENCHES = Path("tests/benches")
"""Benches of the checkout; only a run of all of them is stored."""

EXAMPLES = """Examples:

- every bench, rewrites the tables: python -m sim.coverage

- go on where a run was interrupted: python -m sim.coverage --resume

- one component by its bench: python -m sim.coverage skid_buffer --of hw/tsu/skid_buffer.py

Exit status: 0 when every test passed and each gap is explained in sim/coverage/explained.toml; 1 when not, or when
something explained is covered; 2 on a wrong argument or a missing tool."""


def stored_report() -> tuple[Report, Review] | tuple[None, None]:
    """The report of the last full run and the review of its gaps; nothing where none is stored."""
    if not STORED.is_file():
        return None, None
    report = Report.from_json(STORED.read_text(encoding="utf-8"))
    return report, review(report.gaps, read_rules())


def update_document(*, check: bool) -> list[str]:
    """Rewrite the tables in `DOCUMENT`; with `check` write nothing. Returns what is wrong, a line each."""
    if not DOCUMENT.is_file():
        raise SpecError("folder", str(Path.cwd()), f"a checkout with {DOCUMENT}")
    report, reviewed = stored_report()
    old = DOCUMENT.read_text(encoding="utf-8")
    new = rewrite_document(old, report, reviewed)
    if new != old and not check:
        DOCUMENT.write_text(new, encoding="utf-8")
    wrong = [f"stale: {DOCUMENT} (run `python -m sim.coverage --docs`)"] if check and new != old else []
    return wrong + (verdict(reviewed) if reviewed is not None else [])


def verdict(reviewed: Review, *, whole: bool = True) -> list[str]:
    """What is wrong with the gaps, a line each; explanations of what is covered only of a whole run."""
    return [f"not covered, not explained: {gap}" for gap in reviewed.unexplained] + (reviewed.errors if whole else [])


def run_benches(benches: list[Bench], *, build_root: Path, resume: bool, console: Console) -> list[Record]:
    """Run benches one after the other and print a line for each; what is done when interrupted counts."""
    verilator = find_verilator()
    os.environ.update(verilator.changes())
    os.environ["MAKEFLAGS"] = f"{os.environ['MAKEFLAGS']} {MAKE_VARIABLES}"
    records: list[Record] = []
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(benches))
        try:
            for number, bench in enumerate(benches, start=1):
                bar.update(task, description=bench.name, completed=number - 1)
                start = time.monotonic()
                record = read_record(bench, build_root) if resume else None
                source = "kept"
                if record is None:
                    record = run_one(bench, verilator=verilator, build_root=build_root)
                    source = f"{time.monotonic() - start:.0f} s"
                records.append(record)
                result = "; ".join(record.failures) or "pass"
                line = f"{number}/{len(benches)} {bench.name} ({source}): {result}"
                console.print(line, soft_wrap=True, highlight=False, markup=False)
        except KeyboardInterrupt:
            console.print(f"interrupted after {len(records)} of {len(benches)} benches; --resume goes on from there")
    return records


def show(report: Report, console: Console) -> None:
    """Print both tables as lines."""
    for name, lines, toggles in component_rows(report):
        line = f"{name.strip('`*'):38} lines {lines:24} toggles {toggles}"
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    for name, _, bins in group_rows(report):
        console.print(f"{name.strip('*'):38} bins  {bins}", soft_wrap=True, highlight=False, markup=False)


def run(names: list[str], *, folder: Path, judged: str, build: Path, resume: bool) -> list[str]:
    """Run, report, and store what a full run found; returns what is wrong, a line each."""
    console = Console()
    logging.getLogger("Verilator").setLevel(logging.ERROR)
    every = find_benches(folder)
    benches = select_benches(every, names)
    records = run_benches(benches, build_root=build.resolve(), resume=resume, console=console)
    complete = len(records) == len(every) and judged == ".*" and folder == BENCHES
    structure, functional = merge_records(records)
    files = component_files() if complete else []
    failures = [f"{record.bench}: {failure}" for record in records for failure in record.failures]
    passed = [record.bench for record in records if not record.failures]
    report = make_report(structure, functional, benches=passed, failures=failures, judged=judged, files=files)
    show(report, console)
    build.mkdir(parents=True, exist_ok=True)
    (build / "report.json").write_text(report.to_json(), encoding="utf-8")
    if complete and DOCUMENT.is_file():
        STORED.parent.mkdir(parents=True, exist_ok=True)
        STORED.write_text(report.to_json(), encoding="utf-8")
        return failures + update_document(check=False)
    wrong = list(failures)
    if len(records) < len(benches):
        wrong.append(f"{len(benches) - len(records)} of {len(benches)} benches did not run")
    reviewed = review(report.gaps, read_rules())
    return [*wrong, *verdict(reviewed, whole=complete)]


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Bench, or bench/variant; all of them by default.")] = None,
    of: Annotated[str, typer.Option(help="Pattern of the files and groups to judge.")] = ".*",
    folder: Annotated[Path, typer.Option("--dir", help="Where bench_*.py are.")] = BENCHES,
    build: Annotated[Path, typer.Option(help="Where builds, records and the report go.")] = Path("build/coverage"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Take the records of benches that an interrupted run has finished.")
    ] = False,
    check_docs: Annotated[
        bool, typer.Option("--check-docs", help="Run nothing; fail when the tables are stale.")
    ] = False,
    docs: Annotated[
        bool, typer.Option("--docs", help="Run nothing; rewrite the tables from the stored report.")
    ] = False,
) -> None:
    """Measure which lines, toggles and situations of the gateware the RTL benches cover.

    A run of all benches goes to docs/reference/coverage/ of the checkout, from which the tables in
    docs/reference/coverage.md are made. A bench that fails covers nothing.
    """
    try:
        if check_docs or docs:
            wrong = update_document(check=check_docs)
        else:
            re.compile(of)
            wrong = run(list(names or []), folder=folder, judged=of, build=build, resume=resume)
    except re.error as error:
        typer.echo(f"--of {of!r} is no pattern: {error}", err=True)
        raise typer.Exit(2) from None
    except (SpecError, BenchError, ToolMissing) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    for line in wrong:
        typer.echo(line, err=True)
    if wrong:
        raise typer.Exit(1)


main.__doc__ = f"{cleandoc(main.__doc__ or '')}\n\n{EXAMPLES}"

if __name__ == "__main__":
    typer.run(main)
