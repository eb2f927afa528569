# SPDX-License-Identifier: Apache-2.0
"""Formal proofs of the TSU's components: `python -m hw.formal [NAME ...]` (`make formal`)."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from hw.spec.errors import SpecError, check_int

from .sby import TOOLS, FormalError, find_tool
from .table import formal_table
from .tasks import run_all, select

app = typer.Typer(add_completion=False)


@app.command()
def main(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Component, proof or task; all of them by default.")
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Print the tasks and stop.")] = False,
    table: Annotated[
        bool, typer.Option("--table", help="Print the table of docs/reference/formal.md and stop.")
    ] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only the few proofs that the unit tests run.")] = False,
    jobs: Annotated[int, typer.Option(help="Tasks at a time.")] = 2,
    limit_s: Annotated[int, typer.Option(help="Longest time one task may take, seconds.")] = 240,
    build: Annotated[Path, typer.Option(help="Where tasks leave their logs and traces.")] = Path("build/formal"),
) -> None:
    """Prove the properties of the TSU's components, reach every cover statement, and find every seeded bug.

    Examples: `python -m hw.formal`, `python -m hw.formal credit_fifo`, `python -m hw.formal pbit_tree/k-8:cover`.

    Exit status 1: a proof failed, a cover statement is out of reach or a seeded bug was not found. 2: a name or an
    argument is wrong, or a tool is missing.
    """
    try:
        check_int("jobs", jobs, 1, 64)
        check_int("limit_s", limit_s, 1, 86400)
        tasks = select(names or [], quick=quick)
        if table:
            print(formal_table(), end="")
            return
        if show:
            print("\n".join(f"{task.name:58s} {task.method}" for task in tasks))
            return
        for tool in TOOLS:
            find_tool(tool)
    except (SpecError, FormalError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None

    began, failed = time.monotonic(), 0
    console = Console(highlight=False)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("proofs", total=len(tasks))
        for result in run_all(tasks, build=build, limit_s=limit_s, jobs=jobs):
            failed += bool(result.problem)
            progress.advance(bar)
            if console.is_terminal:
                progress.console.print(result.line(), markup=False, soft_wrap=True)
            else:
                print(result.line(), flush=True)
    print(f"{len(tasks) - failed} passed, {failed} failed, in {time.monotonic() - began:.0f} s")
    if failed:
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
