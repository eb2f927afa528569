# SPDX-License-Identifier: Apache-2.0
"""The TSU with AXI ports as one Verilog file: `python -m hw.axi --set lanes=4 --out tsu_axi.v`."""

from pathlib import Path
from typing import Annotated

import typer

from hw.build import changed
from hw.spec.config import PRESETS
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError

from .axi_tsu import AxiTsu

EPILOG = "Examples:  python -m hw.axi --out tsu.v;  python -m hw.axi --preset ecp5-25f --set lanes=4 --out build/tsu.v"


def main(
    preset: Annotated[str, typer.Option(help="One of " + ", ".join(PRESETS) + ".")] = "sim",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the TSU's configuration; may be repeated.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The Verilog file; its folder has to exist.")] = Path("tsu_axi.v"),
) -> None:
    """Write the TSU with AXI4-Lite registers and AXI4-Streams as Verilog.

    The module is called tsu_axi; docs/reference/axi.md has its registers and the layouts of its streams.
    """
    try:
        if preset not in PRESETS:
            raise SpecError("preset", preset, "one of " + ", ".join(PRESETS))
        config = changed(PRESETS[preset], change or [])
        if not out.parent.is_dir() or out.is_dir():
            raise SpecError("out", str(out), "a file in a folder that exists")
        partial = out.with_name(f"{out.name}.partial")
        partial.write_text(AxiTsu(config=config).to_verilog(), encoding="utf-8")
        partial.replace(out)
    except (SpecError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    groups = f"{config.groups} groups of " if config.groups > 1 else ""
    typer.echo(f"wrote {out}: {groups}{config.lanes} lane{'s' * (config.lanes > 1)}, SPEC_ID {spec_id(config):016x}")


if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command(epilog=EPILOG)(main)
    app(prog_name="python -m hw.axi")
