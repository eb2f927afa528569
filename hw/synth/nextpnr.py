# SPDX-License-Identifier: Apache-2.0
"""Place and route, and the packing of a bitstream."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .tools import Runner, SynthError
from .yosys import NETLIST_FILE

REPORT_FILE = "nextpnr.json"

TIMING_WEIGHT = 30
"""How much the ECP5 placer cares for critical paths beside wire length; its default of 10 gave a clock 12 % lower."""


def lpf_lines(
    pins: Mapping[str, str], io_type: str, clk_mhz: float, pulls: Mapping[str, str] | None = None
) -> list[str]:
    """Constraints of an ECP5 design: a pin and an electrical standard for each port, and the frequency of `clk`."""
    lines = [f'FREQUENCY PORT "clk" {clk_mhz} MHZ;']
    for port, pin in pins.items():
        pull = f" PULLMODE={pulls[port]}" if pulls and port in pulls else ""
        lines += [f'LOCATE COMP "{port}" SITE "{pin}";', f'IOBUF PORT "{port}" IO_TYPE={io_type}{pull};']
    return lines


def pcf_lines(pins: Mapping[str, str], clk_mhz: float, pulls: Mapping[str, str] | None = None) -> list[str]:
    """Constraints of an iCE40 design: a pin for each port, and the frequency of `clk`; an iCE40 can only pull up."""
    up = {port for port, pull in (pulls or {}).items() if pull == "UP"}
    places = [f"set_io {'-pullup yes ' * (port in up)}{port} {pin}" for port, pin in pins.items()]
    return [*places, f"set_frequency clk {clk_mhz}"]


def place_and_route(
    runner: Runner,
    *,
    family: str,
    device_options: Sequence[str],
    pins: Mapping[str, str],
    io_type: str,
    aim_mhz: float,
    seed: int,
    oscillator_mhz: float | None = None,
    pulls: Mapping[str, str] | None = None,
) -> Path:
    """Place, route and pack the netlist in the runner's folder; return the path of the bitstream.

    `aim_mhz` is the frequency of `clk`, or with `oscillator_mhz`, which then is, that of the clock made of it.
    A missed clock constraint is no error here: `REPORT_FILE` says what was reached.
    Raises SynthError when a tool is missing, fails (a design that does not fit fails here) or exceeds the time limit.
    """
    common = ["--json", NETLIST_FILE, "--report", REPORT_FILE, "--seed", str(seed), "--freq", str(aim_mhz)]
    common += ["--timing-allow-fail", *device_options]
    if family == "ecp5":
        constraints, routed, packer = "pins.lpf", "routed.config", "ECPPACK"
        lines = lpf_lines(pins, io_type, oscillator_mhz or aim_mhz, pulls)
        options = ["--lpf", constraints, "--textcfg", routed, "--placer-heap-timingweight", str(TIMING_WEIGHT)]
        pack = ["--compress", routed, "top.bit"]
    else:
        constraints, routed, packer = "pins.pcf", "routed.asc", "ICEPACK"
        lines = pcf_lines(pins, oscillator_mhz or aim_mhz, pulls)
        options = ["--pcf", constraints, "--asc", routed]
        pack = [routed, "top.bin"]
    (runner.folder / constraints).write_text("\n".join(lines) + "\n", encoding="utf-8")
    runner.run("nextpnr", f"NEXTPNR_{family.upper()}", [*common, *options])
    runner.run("pack", packer, pack)
    bitstream = runner.folder / pack[-1]
    if not bitstream.exists() or bitstream.stat().st_size == 0:
        raise SynthError(f"pack: {packer.lower()} wrote no bitstream to {bitstream}")
    return bitstream
