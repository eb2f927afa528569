# SPDX-License-Identifier: Apache-2.0
"""Loads a bitstream onto a board: `python -m hw.prog --board NAME` (`make prog`)."""

import os
import shlex
import shutil
import subprocess
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer

from hw.boards.boards import BOARDS
from hw.spec.errors import SpecError

LOADERS = ("openFPGALoader", "yowasp-openfpgaloader")
"""Programs that are looked for on PATH, unless the environment variable OPENFPGALOADER names another."""

EXAMPLES = """Examples:

- python -m hw.prog --board icebreaker

- look first: python -m hw.prog --board ulx3s --dry-run

Exit status: 0 when the board was loaded; 1 when the loader failed; 2 on a wrong argument, without bitstream or
loader."""


def find_loader() -> str:
    """Path of openFPGALoader. Raises SpecError where there is none."""
    named = os.environ.get("OPENFPGALOADER")
    names = (named,) if named else LOADERS
    found = next((path for name in names if (path := shutil.which(name)) is not None), None)
    if found is None:
        raise SpecError("OPENFPGALOADER", named or "", f"a program: install {LOADERS[0]}, or name one")
    return found


def main(
    board: Annotated[str, typer.Option(help="One of " + ", ".join(BOARDS) + ".")] = "ulx3s",
    out: Annotated[Path, typer.Option(help="Build folder of `python -m hw.build`.")] = Path("build/synth"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command, and do nothing.")] = False,
) -> None:
    """Load the bitstream that `python -m hw.build --board NAME` made, with openFPGALoader.

    A ULX3S takes it into its configuration memory and forgets it without power; an iCEBreaker into its flash.
    """
    try:
        if board not in BOARDS:
            raise SpecError("board", board, "one of " + ", ".join(BOARDS))
        chosen = BOARDS[board]
        bitstream = out / board / chosen.bitstream
        if dry_run:
            typer.echo(shlex.join([LOADERS[0], *chosen.loader, str(bitstream)]))
            return
        if not bitstream.is_file():
            raise SpecError("bitstream", str(bitstream), f"a file: run `python -m hw.build --board {board}`")
        command = [find_loader(), *chosen.loader, str(bitstream)]
    except SpecError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    try:
        status = subprocess.run(command, check=False).returncode
    except OSError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted: the board may hold part of a bitstream", err=True)
        raise typer.Exit(130) from None
    if status:
        typer.echo(f"error: {Path(command[0]).name} ended with status {status}", err=True)
        raise typer.Exit(1)


main.__doc__ = f"{cleandoc(main.__doc__ or '')}\n\n{EXAMPLES}"

if __name__ == "__main__":
    typer.run(main)
