# SPDX-License-Identifier: Apache-2.0
"""Statistical tests of the noise that the gateware makes: `python -m sim.noise` (`make noise`)."""

import time
from dataclasses import replace
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from hw.spec.errors import SpecError, check_int
from hw.spec.noise import GENERATORS, get_generator
from sim.native.build import NativeBuildError
from sim.native.toolchain import ToolMissing

from .battery import DEFAULT_SEED, DEFAULT_WORDS, Plan, full_plan, quick_plan, run_battery, write_report
from .report import DOCUMENT, REPORT_FOLDER, NoiseReport, read_reports, rewrite_document
from .source import SourceError

EXAMPLES = """Examples:

- every generator, 10^9 words, rewrites the table: python -m sim.noise

- seconds, a smoke test: python -m sim.noise --quick

- one generator: python -m sim.noise --generator lfsr --words 10000000

Exit status: 0 when each generator fails what sees its known weaknesses, and one without any fails nothing; 1 when not,
or when the table would lose rows of programs that are missing here; 2 on a wrong argument or a missing tool."""


def update_document(*, check: bool) -> bool:
    """Rewrite the table in `DOCUMENT`; with `check` write nothing. Returns whether it was stale. Raises SpecError."""
    if not DOCUMENT.is_file():
        raise SpecError("folder", str(Path.cwd()), f"a checkout with {DOCUMENT}")
    old = DOCUMENT.read_text(encoding="utf-8")
    new = rewrite_document(old, read_reports(REPORT_FOLDER))
    if new != old and not check:
        DOCUMENT.write_text(new, encoding="utf-8")
    return new != old


def run_one(generator: str, *, seed: int, plan: Plan, quick: bool, out: Path, console: Console) -> NoiseReport:
    """Run the battery on one generator and print a line for each check."""
    printed = 0

    def save(report: NoiseReport) -> None:
        nonlocal printed
        write_report(report, out)
        for check in report.checks[printed:]:
            console.print(f"{check.status:7} {check.name}: {check.figure}", soft_wrap=True, highlight=False)
        printed = len(report.checks)

    console.print(f"{generator}: {GENERATORS[generator].summary}", soft_wrap=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("building the gateware", total=1.0)

        def progress(name: str, share: float) -> None:
            bar.update(task, description=name, completed=share)

        return run_battery(generator=generator, seed=seed, plan=plan, quick=quick, progress=progress, save=save)


def run_all(generators: list[str], *, seed: int, plan: Plan, quick: bool, out: Path) -> list[str]:
    """Run the battery on each generator; returns what differs from what is known, a line each."""
    console = Console()
    wrong: list[str] = []
    for generator in generators:
        start = time.monotonic()
        report = run_one(generator, seed=seed, plan=plan, quick=quick, out=out, console=console)
        wrong += report.unexpected()
        console.print(f"{generator}: {time.monotonic() - start:.0f} s", highlight=False)
        if not quick and plan.words == DEFAULT_WORDS and seed == DEFAULT_SEED and DOCUMENT.is_file():
            wrong += publish(report)
    return wrong


def publish(report: NoiseReport) -> list[str]:
    """Store a report in the checkout and rewrite the table; returns why not, in one line, where it would lose rows."""
    try:
        for stored in read_reports(REPORT_FOLDER):
            if stored.generator == report.generator:
                report = report.with_rows_of(stored)
    except SpecError as error:
        return [f"{DOCUMENT} is not rewritten: {error}"]
    write_report(report, REPORT_FOLDER)
    update_document(check=False)
    return []


def main(
    words: Annotated[int | None, typer.Option(help="Words in the correlations, over all streams.")] = None,
    generator: Annotated[
        list[str] | None, typer.Option(help="One of " + ", ".join(GENERATORS) + "; may be repeated. Default: all.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes: seconds instead of minutes.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the streams.")] = DEFAULT_SEED,
    testu01: Annotated[
        bool | None,
        typer.Option("--testu01/--no-testu01", help="SmallCrush, if libtestu01 is there. Default: in full runs."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the reports of this run.")] = Path("build/noise"),
    check_docs: Annotated[
        bool, typer.Option("--check-docs", help="Run nothing; fail when the table is stale.")
    ] = False,
    docs: Annotated[
        bool, typer.Option("--docs", help="Run nothing; rewrite the table from the stored reports.")
    ] = False,
) -> None:
    """Test words taken from the gateware of each noise generator.

    Runs with the default words and seed also go to docs/reference/noise/ of the checkout, from which the table in
    docs/reference/noise.md is made. Rows of programs that are not installed stay as they were stored, if the words are
    the same.
    """
    try:
        if check_docs or docs:
            if update_document(check=check_docs) and check_docs:
                typer.echo(f"stale: {DOCUMENT} (run `python -m sim.noise --docs`)", err=True)
                raise typer.Exit(1)
            return
        names = list(generator or GENERATORS)
        for name in names:
            get_generator(name)
        check_int("seed", seed, 0, (1 << 64) - 1)
        make_plan = quick_plan if quick else full_plan
        plan = make_plan() if words is None else make_plan(words=words)
        plan = plan if testu01 is None else replace(plan, testu01=testu01)
        wrong = run_all(names, seed=seed, plan=plan, quick=quick, out=out)
    except (SpecError, ToolMissing) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (NativeBuildError, SourceError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"interrupted: the finished checks are in {out}", err=True)
        raise typer.Exit(130) from None
    for line in wrong:
        typer.echo(line, err=True)
    if wrong:
        raise typer.Exit(1)


main.__doc__ = f"{cleandoc(main.__doc__ or '')}\n\n{EXAMPLES}"

if __name__ == "__main__":
    typer.run(main)
