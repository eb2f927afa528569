# SPDX-License-Identifier: Apache-2.0
"""The table of what the link costs: `python -m sim.board.cost` (docs/reference/link.md)."""

import json
from dataclasses import asdict, replace
from inspect import cleandoc
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hw.spec.config import PRESETS
from hw.spec.errors import SpecError
from hw.spec.markdown import table
from sim.native.build import NativeBuildError
from sim.native.toolchain import ToolMissing

from .device import BoardError, BoardOptions
from .measure import Cost, measure

DOCUMENT = Path("docs/reference/link.md")
"""The document that shows the table, in the checkout."""

STORED = Path("docs/reference/link/cost.json")
"""What was measured last, in the checkout."""

BEGIN, END = "<!-- link-cost:table -->", "<!-- /link-cost -->"
"""Lines around the table in `DOCUMENT`."""

BAUDS = (115_200, 1_000_000, 3_000_000, 12_000_000)
"""Rates of the table, bit/s."""

OPTIONS = BoardOptions(config=PRESETS["sim"].with_fields(k_max=256), clk_hz=48_000_000, baud=BAUDS[-1])
"""The board measured: the default TSU with room for K = 256, at the slowest clock that every rate allows."""

TIME_TOLERANCE = 0.02
"""How far a time may be from the stored one: the pipeline of the TSU may change by some cycles, the link may not."""

EXAMPLES = """Examples:

- measure every rate and rewrite the table (minutes): python -m sim.board.cost

- measure the fastest rate and compare with what is stored: python -m sim.board.cost --check

- rewrite the table from what is stored: python -m sim.board.cost --docs

Exit status: 0 when all is as stored; 1 when not, or when the board cannot be built; 2 on a wrong folder or a missing
tool."""


def measured(bauds: tuple[int, ...], console: Console) -> dict[int, list[Cost]]:
    """Costs at each rate. Raises ToolMissing, NativeBuildError, BoardError."""
    found = {}
    with console.status("building the board") as status:
        for baud in bauds:
            options = replace(OPTIONS, baud=baud)
            status.update(f"{baud} baud")
            found[baud] = measure(options)
    return found


def to_json(costs: dict[int, list[Cost]]) -> str:
    """Costs with the clock and the fields of the TSU."""
    rows = {str(baud): [asdict(cost) for cost in of_baud] for baud, of_baud in costs.items()}
    facts = {"clk_hz": OPTIONS.clk_hz, "config": OPTIONS.config.as_dict(), "costs": rows}
    return json.dumps(facts, indent=2) + "\n"


def from_json(text: str) -> dict[int, list[Cost]]:
    """What `to_json` wrote."""
    rows = json.loads(text)["costs"]
    return {int(baud): [Cost(**cost) for cost in of_baud] for baud, of_baud in rows.items()}


def microseconds(cost: Cost) -> float:
    """Time of one psi, or of one draw of a batch."""
    return cost.cycles / OPTIONS.clk_hz * 1e6 / cost.amount


def cost_table(costs: dict[int, list[Cost]]) -> str:
    """A row for each command: bytes both ways, and microseconds at each rate; per draw where several were asked for."""
    header = ["what", "bytes to the board", "bytes from it", *(f"us at {baud:,} baud" for baud in costs)]
    rows = []
    for same in zip(*costs.values(), strict=True):
        first = same[0]
        what = first.what if first.amount == 1 else f"{first.what}, each"
        sizes = [f"{size / first.amount:.4g}" for size in (first.bytes_down, first.bytes_up)]
        rows.append([what, *sizes, *(f"{microseconds(cost):,.1f}" for cost in same)])
    return table(header, rows)


def rewrite(text: str, costs: dict[int, list[Cost]]) -> str:
    """`text` with the table between `BEGIN` and `END` made anew. Raises SpecError where these lines are missing."""
    begin, end = text.find(BEGIN + "\n"), text.find("\n" + END)
    if begin < 0 or end < begin:
        raise SpecError("document", DOCUMENT.name, f"a table between {BEGIN} and {END}")
    return text[: begin + len(BEGIN)] + "\n\n" + cost_table(costs) + text[end:]


def differences(stored: dict[int, list[Cost]], now: dict[int, list[Cost]]) -> list[str]:
    """What differs from what is stored, a line each: any byte, and any time by more than `TIME_TOLERANCE`."""
    wrong = []
    for baud, costs in now.items():
        known = {cost.what: cost for cost in stored.get(baud, [])}
        for cost in costs:
            old = known.pop(cost.what, None)
            if old is None:
                wrong.append(f"{baud} baud, {cost.what}: not stored")
            elif (old.bytes_down, old.bytes_up) != (cost.bytes_down, cost.bytes_up):
                wrong.append(
                    f"{baud} baud, {cost.what}: {cost.bytes_down} + {cost.bytes_up} bytes, "
                    f"stored {old.bytes_down} + {old.bytes_up}"
                )
            elif abs(cost.cycles - old.cycles) > TIME_TOLERANCE * old.cycles:
                wrong.append(f"{baud} baud, {cost.what}: {cost.cycles} cycles, stored {old.cycles}")
        wrong += [f"{baud} baud, {what}: stored, not measured" for what in known]
    return wrong


def _document() -> str:
    if not DOCUMENT.is_file():
        raise SpecError("folder", str(Path.cwd()), f"a checkout with {DOCUMENT}")
    return DOCUMENT.read_text(encoding="utf-8")


def _check(console: Console) -> list[str]:
    """What is stale: the table, and the fastest rate of what is stored."""
    stored = from_json(STORED.read_text(encoding="utf-8"))
    text = _document()
    wrong = [f"stale: {DOCUMENT} (run `python -m sim.board.cost --docs`)"] if rewrite(text, stored) != text else []
    return wrong + differences(stored, measured(BAUDS[-1:], console))


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when something differs.")] = False,
    docs: Annotated[bool, typer.Option("--docs", help="Measure nothing; rewrite the table.")] = False,
) -> None:
    """Measure bytes and cycles of the link on the simulated board, and rewrite the table in docs/reference/link.md.

    Times are simulated: from the first start bit of a command to the stop bit of the last frame that answers it, with a
    host that takes no time and acknowledges every second frame.
    """
    console = Console(stderr=True)
    try:
        if check:
            wrong = _check(console)
            for line in wrong:
                typer.echo(line, err=True)
            if wrong:
                raise typer.Exit(1)
            return
        text = _document()
        if not docs:
            costs = measured(BAUDS, console)
            STORED.parent.mkdir(exist_ok=True)
            STORED.write_text(to_json(costs), encoding="utf-8")
        stored = from_json(STORED.read_text(encoding="utf-8"))
        DOCUMENT.write_text(rewrite(text, stored), encoding="utf-8")
        print(cost_table(stored), end="")
    except (SpecError, ToolMissing) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except (NativeBuildError, BoardError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        typer.echo("interrupted: nothing was written", err=True)
        raise typer.Exit(130) from None


main.__doc__ = f"{cleandoc(main.__doc__ or '')}\n\n{EXAMPLES}"

if __name__ == "__main__":
    typer.run(main)
