# SPDX-License-Identifier: Apache-2.0
"""Verilog, bitstream and resource table of the TSU on an FPGA: `python -m hw.build --board NAME` (`make synth`)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hw.boards.board_top import BoardTop
from hw.boards.boards import BOARDS, DEFAULT_BAUD
from hw.boards.harness import SynthHarness
from hw.boards.single_lane import SingleLane
from hw.boards.targets import TARGETS, Target
from hw.boards.top import SynthTop
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.errors import SpecError, check_int
from hw.synth.block_ram import fold_output_registers
from hw.synth.floorplan import floorplan
from hw.synth.nextpnr import REPORT_FILE, place_and_route
from hw.synth.report import (
    REPORT_FOLDER,
    SynthReport,
    accepted_share,
    markdown_table,
    read_fmax_mhz,
    read_untimed_cells,
    read_usage,
)
from hw.synth.tools import Runner, SynthError
from hw.synth.yosys import NETLIST_FILE, synthesise
from hw.tsu.core import TsuCore

DEFAULT_SEED = 1
DEFAULT_TRIES = 4
"""First placement seed of the published figures, and how many are tried: the clock of one netlist differs by 10 %."""

VERILOG_FILE = "top.v"
REPORT_JSON = "report.json"
REPORT_MARKDOWN = "report.md"


def core_top(target: Target, config: TsuConfig) -> SynthTop:
    """The core or the lane of a target, on a few pins."""
    part = SingleLane(config=config) if target.part == "lane" else TsuCore(config=config)
    harness = SynthHarness(part, register_outputs=target.family == "ecp5")
    return SynthTop(harness, rst_inverted=target.rst_inverted)


def build(
    board: str,
    target: Target,
    config: TsuConfig,
    make_top: Callable[[], SynthTop | BoardTop],
    *,
    seed: int,
    tries: int,
    folder: Path,
) -> SynthReport:
    """Run the whole flow in `folder` and leave Verilog, netlist, bitstream, logs and the report there.

    Up to `tries` placements, with the seeds from `seed` on, are made until one meets the clock; the last one is kept.
    A missed clock constraint is no error: see `SynthReport.meets_clock`.
    Raises SynthError when a tool is missing, fails or takes too long.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for stale in (REPORT_JSON, REPORT_MARKDOWN):
        (folder / stale).unlink(missing_ok=True)
    runner = Runner(folder, target.time_limit_s)
    runner.say(f"verilog: {target.title}, {config.all_lanes} lane{'s' * (config.all_lanes > 1)}")
    top = make_top()
    (folder / VERILOG_FILE).write_text(top.to_verilog(target), encoding="utf-8")
    cells = synthesise(runner, target.family, top.NAME, VERILOG_FILE)
    if target.family == "ecp5":
        folded = fold_output_registers(folder / NETLIST_FILE)
        runner.say(f"block RAM: {folded} flip-flops folded into output registers")
    if "--85k" in target.device_options:
        fixed = floorplan(folder / NETLIST_FILE, top=top.NAME, lanes=config.lanes, groups=config.groups)
        runner.say(f"floorplan: {fixed} block RAMs fixed")
    for attempt in range(seed, seed + tries):
        bitstream = place_and_route(
            runner,
            family=target.family,
            device_options=target.device_options,
            pins=target.pins,
            io_type=target.io_type,
            aim_mhz=target.aim_mhz,
            seed=attempt,
            oscillator_mhz=target.oscillator_mhz,
            pulls=target.pulls,
        )
        routed = (folder / REPORT_FILE).read_text(encoding="utf-8")
        fmax_mhz = read_fmax_mhz(routed, target.clk_net)
        runner.say(f"seed {attempt}: {fmax_mhz} MHz")
        if fmax_mhz >= target.clk_mhz:
            break
    report = SynthReport(
        board=board,
        title=target.title,
        config=config.as_dict(),
        resources=read_usage(routed, cells, target.family),
        fmax_mhz=fmax_mhz,
        clk_mhz=target.clk_mhz,
        draws_per_cycle=config.lanes * accepted_share(config),
        bitstream_bytes=bitstream.stat().st_size,
        untimed_cells=read_untimed_cells(routed),
        seed=attempt,
        tools={tool: runner.version(tool) for tool in ("YOSYS", f"NEXTPNR_{target.family.upper()}")},
    )
    (folder / REPORT_JSON).write_text(report.to_json(), encoding="utf-8")
    (folder / REPORT_MARKDOWN).write_text(markdown_table([report]), encoding="utf-8")
    runner.say(f"done: {bitstream} ({report.bitstream_bytes} bytes)")
    return report


def changed(config: TsuConfig, changes: Sequence[str]) -> TsuConfig:
    """`config` with each `FIELD=VALUE` applied.

    Raises SpecError where a field does not exist or a value is not legal.
    """
    fields = config.as_dict()
    for change in changes:
        name, _, value = change.partition("=")
        if name not in fields:
            raise SpecError("set", change, "FIELD=VALUE with a field of " + ", ".join(fields))
        if isinstance(fields[name], bool):
            if value not in ("True", "False"):
                raise SpecError(name, value, "True or False")
            fields[name] = value == "True"
        elif isinstance(fields[name], int):
            if not value.isdecimal():
                raise SpecError(name, value, "an integer")
            fields[name] = int(value)
        else:
            fields[name] = value
    return config.with_fields(**fields)


def design(
    board: str, change: Sequence[str], *, clk_mhz: float | None, baud: int
) -> tuple[Target, TsuConfig, Callable[[], SynthTop | BoardTop]]:
    """What is built for a name that `--board` takes; the last one makes the top level.

    Raises SpecError where the name, a change, the clock or the rate is not legal.
    """
    if board in BOARDS:
        chosen = BOARDS[board]
        config = changed(PRESETS[chosen.preset], change)
        clk_hz = chosen.clk_hz if clk_mhz is None else round(clk_mhz * 1e6)
        chosen.check(clk_hz=clk_hz, baud=baud)
        return chosen.target(clk_hz=clk_hz), config, partial(chosen.top, config, clk_hz=clk_hz, baud=baud)
    if board not in TARGETS:
        raise SpecError("board", board, "one of " + ", ".join((*BOARDS, *TARGETS)))
    target = TARGETS[board]
    config = changed(PRESETS[target.preset], change)
    if clk_mhz is not None:
        target = replace(target, clk_mhz=clk_mhz, aim_mhz=clk_mhz)
    return target, config, partial(core_top, target, config)


def main(
    board: Annotated[
        str,
        typer.Option(help="A board: " + ", ".join(BOARDS) + "; or the core alone on a device: " + ", ".join(TARGETS)),
    ] = "ulx3s",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="FIELD=VALUE of the TSU's configuration; may be repeated.")
    ] = None,
    clk_mhz: Annotated[
        float | None, typer.Option(help="Clock to aim at and to reach, instead of the board's, MHz.")
    ] = None,
    baud: Annotated[int, typer.Option(help="Rate of a board's line, bit/s.")] = DEFAULT_BAUD,
    seed: Annotated[int, typer.Option(help="First placement seed.")] = DEFAULT_SEED,
    tries: Annotated[int, typer.Option(help="Placements made at most, until one meets the clock.")] = DEFAULT_TRIES,
    out: Annotated[Path, typer.Option(help="Build folder; one folder for each board is made in it.")] = Path(
        "build/synth"
    ),
    allow_slow: Annotated[bool, typer.Option("--allow-slow", help="A missed clock constraint is no failure.")] = False,
) -> None:
    """Synthesise, place, route and pack the TSU for a board, and print what it takes and how fast it is.

    A board is built with its PLL, UART and lamps, ready to be loaded with `python -m hw.prog`. The core alone is
    measured behind a few pins.

    The report of a build with no option but the board's that meets its clock also goes to docs/reference/fpga/,
    from which `make docs` makes the table of docs/reference/fpga.md.
    """
    published = (
        not change
        and clk_mhz is None
        and seed == DEFAULT_SEED
        and tries == DEFAULT_TRIES
        and baud == DEFAULT_BAUD
        and REPORT_FOLDER.parent.is_dir()
    )
    try:
        check_int("seed", seed, 0, 2**31 - 100)
        check_int("tries", tries, 1, 100)
        if clk_mhz is not None and not 1 <= clk_mhz <= 1000:
            raise SpecError("clk_mhz", clk_mhz, "a number in [1, 1000]")
        target, config, make_top = design(board, change or [], clk_mhz=clk_mhz, baud=baud)
        report = build(board, target, config, make_top, seed=seed, tries=tries, folder=out / board)
    except (SpecError, SynthError, OSError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    print(markdown_table([report]), end="")
    if published and report.meets_clock:
        REPORT_FOLDER.mkdir(exist_ok=True)
        (REPORT_FOLDER / f"{board}.json").write_text(report.to_json(), encoding="utf-8")
    if not report.meets_clock:
        typer.echo(f"error: {report.fmax_mhz} MHz misses the constraint of {report.clk_mhz:g} MHz", err=True)
        if not allow_slow:
            raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
