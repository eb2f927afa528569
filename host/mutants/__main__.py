# SPDX-License-Identifier: Apache-2.0
"""Mutants of the TSU's netlist against the bench: `python -m host.mutants` (`make mutants`)."""

import time
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from host.tsu.base import TsuError
from hw.spec.errors import SpecError, check_int
from sim.mutants.explained import contradictions, read_rules
from sim.mutants.report import (
    DOCUMENT,
    REPORT_FOLDER,
    MutationReport,
    failures,
    read_reports,
    rewrite_document,
    score,
)
from sim.native.build import NativeBuildError
from sim.native.toolchain import ToolMissing

from .campaign import DEFAULT_SEED, Campaign, NetlistError
from .targets import TARGETS

EXAMPLES = """Examples:

- every target, rewrites the tables: python -m host.mutants

- a part of one: python -m host.mutants --target weights --limit 100

- the tables from the stored reports: python -m host.mutants --docs

Exit status: 0 when at least 1,000 mutants were tried and 99 % of those that are not equivalent were killed (only the
share counts with --target or --limit); 1 when not, or when a mutant explained as equivalent is killed; 2 on a wrong
argument or a missing tool."""


def update_document(*, check: bool) -> bool:
    """Rewrite the tables in `DOCUMENT`, or nothing with `check`. Returns whether they were stale. Raises SpecError."""
    if not DOCUMENT.is_file():
        raise SpecError("folder", str(Path.cwd()), f"a checkout with {DOCUMENT}")
    old = DOCUMENT.read_text(encoding="utf-8")
    new = rewrite_document(old, read_reports(REPORT_FOLDER, TARGETS))
    if new != old and not check:
        DOCUMENT.write_text(new, encoding="utf-8")
    return new != old


def run_target(
    name: str, *, seed: int, limit: int | None, folder: Path, console: Console
) -> tuple[MutationReport, list[str]]:
    """Run one target; its report, and rules that a killed mutant contradicts, a line each."""
    start = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{name}: building", total=None)
        campaign = Campaign(target=TARGETS[name], seed=seed, folder=folder)
        cycles = campaign.check_netlist()
        indices = [mutant.index for mutant in campaign.mutants][:limit]
        bar.update(task, description=name, total=len(indices))
        campaign.run(indices, lambda done: bar.update(task, completed=done))
        alive = len(indices) - len(campaign.killed())
        bar.update(task, description=f"{name}: proofs for survivors", total=alive, completed=0)
        campaign.prove(lambda done: bar.update(task, completed=done))
    rules = read_rules()
    report = campaign.report(rules, cycles=cycles)
    (folder / f"{name}.json").write_text(report.to_json(), encoding="utf-8")
    for survivor in report.survivors:
        if not survivor.equivalent:
            console.print(f"alive: {survivor.text}", soft_wrap=True, highlight=False, markup=False)
    console.print(
        f"{name}: {report.tried} mutants, {report.dead} killed, {report.equivalent} equivalent, "
        f"{score([report]):.2%}, {time.monotonic() - start:.0f} s",
        highlight=False,
        soft_wrap=True,
    )
    return report, contradictions(rules, name, campaign.killed())


def main(
    target: Annotated[
        list[str] | None, typer.Option(help="One of " + ", ".join(TARGETS) + "; may be repeated. Default: all.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Mutants of each target. Default: all.")] = None,
    seed: Annotated[int, typer.Option(help="Of the list of mutants and of the work.")] = DEFAULT_SEED,
    out: Annotated[Path, typer.Option(help="Folder of the results of this run.")] = Path("build/mutants"),
    check_docs: Annotated[
        bool, typer.Option("--check-docs", help="Run nothing; fail when the tables are stale.")
    ] = False,
    docs: Annotated[
        bool, typer.Option("--docs", help="Run nothing; rewrite the tables from the stored reports.")
    ] = False,
) -> None:
    """Change the TSU's netlist in one place at a time and see whether the bench notices.

    Full runs with the default seed also go to docs/reference/mutants/ of the checkout, from which the tables in
    docs/reference/mutants.md are made. Results are kept mutant by mutant in build/mutants.
    """
    console = Console()
    try:
        if check_docs or docs:
            if update_document(check=check_docs) and check_docs:
                typer.echo(f"stale: {DOCUMENT} (run `python -m host.mutants --docs`)", err=True)
                raise typer.Exit(1)
            return
        names = list(target or TARGETS)
        for name in names:
            if name not in TARGETS:
                raise SpecError("target", name, "one of " + ", ".join(TARGETS))
        check_int("seed", seed, 0, (1 << 31) - 1)
        if limit is not None:
            check_int("limit", limit, 1, 20_000)
        reports, wrong = [], []
        for name in names:
            report, contradicted = run_target(name, seed=seed, limit=limit, folder=out, console=console)
            reports.append(report)
            wrong += contradicted
            if limit is None and seed == DEFAULT_SEED and DOCUMENT.is_file():
                REPORT_FOLDER.mkdir(parents=True, exist_ok=True)
                (REPORT_FOLDER / f"{name}.json").write_text(report.to_json(), encoding="utf-8")
                update_document(check=False)
    except (SpecError, ToolMissing) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (NativeBuildError, NetlistError, TsuError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo(f"interrupted: the finished mutants are in {out}", err=True)
        raise typer.Exit(130) from None
    wrong += failures(reports, count=target is None and limit is None)
    for line in wrong:
        typer.echo(line, err=True)
    if wrong:
        raise typer.Exit(1)


main.__doc__ = f"{cleandoc(main.__doc__ or '')}\n\n{EXAMPLES}"

if __name__ == "__main__":
    typer.run(main)
