# SPDX-License-Identifier: Apache-2.0
"""Rewrites the generated parts of the documents: `python -m hw.docgen [--check]`.

A part stands between `<!-- generated:NAME -->` and `<!-- /generated -->`, each on a line of its own.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from hw.axi.tables import AXI_RENDERERS
from hw.formal.table import formal_table
from hw.link.docs import RENDERERS as LINK_RENDERERS
from hw.spec.errors import SpecError
from hw.spec.markdown import RENDERERS
from hw.synth.report import REPORT_FOLDER, SynthReport, markdown_table
from hw.testplan import plan_table

BEGIN = re.compile(r"^<!-- generated:(\S+) -->$", re.MULTILINE)
END = "<!-- /generated -->"


def fpga_table(root: Path) -> str:
    """Table of the stored synthesis reports."""
    paths = sorted((root / REPORT_FOLDER).glob("*.json"))
    if not paths:
        return "No synthesis report is stored: run `make synth`.\n"
    return markdown_table(SynthReport.from_json(path.read_text(encoding="utf-8")) for path in paths)


def renderers(root: Path) -> dict[str, Callable[[], str]]:
    """Every table by the name that stands in a marker."""
    return {
        **RENDERERS,
        **AXI_RENDERERS,
        **LINK_RENDERERS,
        "formal": formal_table,
        "fpga": lambda: fpga_table(root),
        "testplan": lambda: plan_table(root),
    }


def rewrite(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """`text` with every generated part made anew.

    Raises SpecError where a marker names no table or is not closed.
    """
    parts, position = [], 0
    for begin in BEGIN.finditer(text):
        name = begin.group(1)
        if name not in tables:
            raise SpecError("generated", name, "one of " + ", ".join(tables))
        end = text.find("\n" + END, begin.end())
        following = BEGIN.search(text, begin.end())
        if end < 0 or (following is not None and following.start() < end):
            raise SpecError("generated", name, f"a marker that is closed by {END}")
        parts.append(text[position : begin.end()] + "\n\n" + tables[name]())
        position = end
    return "".join(parts) + text[position:]


def stale_documents(root: Path) -> dict[Path, str]:
    """Documents of the checkout `root` that differ from what would be generated, with their new text."""
    tables = renderers(root)
    stale = {}
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        old = path.read_text(encoding="utf-8")
        try:
            new = rewrite(old, tables)
        except SpecError as error:
            raise SpecError(f"{path.relative_to(root)}: {error.field}", error.value, error.legal) from error
        if new != old:
            stale[path] = new
    return stale


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a document is stale.")] = False,
    root: Annotated[Path, typer.Option(help="The checkout.")] = Path(),
) -> None:
    """Rewrite the generated parts of README.md and docs/."""
    if not (root / "docs").is_dir() or not (root / "README.md").is_file():
        typer.echo(f"root = {root} is not legal: expected a checkout with README.md and docs/", err=True)
        raise typer.Exit(2)
    try:
        stale = stale_documents(root)
    except SpecError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    for path, text in stale.items():
        if check:
            typer.echo(f"stale: {path.relative_to(root)} (run `make docs`)", err=True)
        else:
            path.write_text(text, encoding="utf-8")
            typer.echo(f"wrote {path.relative_to(root)}")
    if check and stale:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
