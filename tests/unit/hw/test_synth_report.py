# SPDX-License-Identifier: Apache-2.0
"""Parsers of the synthesis flow, on excerpts of files that real runs wrote, and its exit statuses."""

import json
import stat
import sys
from fractions import Fraction
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hw import build
from hw.spec.config import PRESETS, TsuConfig
from hw.synth import tools
from hw.synth.report import (
    SynthReport,
    Usage,
    accepted_share,
    markdown_table,
    read_fmax_mhz,
    read_untimed_cells,
    read_usage,
)
from hw.synth.tools import Runner, SynthError, last_error
from hw.synth.yosys import cell_counts

# nextpnr-ecp5 0.11.1, the ecp5-25f preset at one stage of its development; other kinds of cells left out.
ECP5_NEXTPNR = """{"critical_paths": [], "fmax": {"$glbnet$clk$TRELLIS_IO_IN": {"achieved": 99.47278594970703,
"constraint": 150.01499938964844}}, "utilization": {"DP16KD": {"available": 56, "used": 17},
"EHXPLLL": {"available": 2, "used": 0}, "MULT18X18D": {"available": 28, "used": 14},
"TRELLIS_COMB": {"available": 24288, "used": 5851}, "TRELLIS_FF": {"available": 24288, "used": 7997}}}"""

# nextpnr-ice40 0.11.1 and Yosys 0.70, a small design whose multipliers have no clock.
ICE40_NEXTPNR = """{"critical_paths": [], "fmax": {"$PACKER_GND_NET_$glb_clk": {"achieved": 256.0819396972656,
"constraint": 12}, "clk$SB_IO_IN_$glb_clk": {"achieved": 60.95330810546875, "constraint": 12.00004768371582}},
"utilization": {"ICESTORM_DSP": {"available": 8, "used": 8}, "ICESTORM_LC": {"available": 5280, "used": 432},
"ICESTORM_RAM": {"available": 30, "used": 2}, "SB_IO": {"available": 39, "used": 7}}}"""
NETLIST = '{"modules": {"top": {"ports": {}, "cells": {}}}}'

ICE40_YOSYS = """{"creator": "Yosys 0.70", "invocation": "stat -json ", "modules": {"\\\\top": {"num_cells": 772}},
"design": {"num_cells": 772, "num_cells_by_type": {"$scopeinfo": 2, "SB_CARRY": 96, "SB_DFF": 2, "SB_DFFESR": 201,
"SB_DFFSR": 219, "SB_LUT4": 242, "SB_MAC16": 8, "SB_RAM40_4K": 2}}}"""


def test_ecp5_usage() -> None:
    assert read_usage(ECP5_NEXTPNR, {}, "ecp5") == {
        "LUT": Usage(5851, 24288),
        "FF": Usage(7997, 24288),
        "BRAM": Usage(17, 56),
        "DSP": Usage(14, 28),
    }
    assert read_untimed_cells(ECP5_NEXTPNR) == ()


def test_ice40_usage_counts_flip_flops_in_the_netlist() -> None:
    usage = read_usage(ICE40_NEXTPNR, cell_counts(ICE40_YOSYS), "ice40")
    assert usage == {
        "LUT": Usage(432, 5280),
        "FF": Usage(2 + 201 + 219, 5280),
        "BRAM": Usage(2, 30),
        "DSP": Usage(8, 8),
    }
    assert read_untimed_cells(ICE40_NEXTPNR) == ("ICESTORM_DSP",)


def test_fmax_is_that_of_the_clock_port() -> None:
    assert read_fmax_mhz(ECP5_NEXTPNR) == 99.47
    assert read_fmax_mhz(ICE40_NEXTPNR) == 60.95


def test_fmax_without_our_clock_is_an_error() -> None:
    with pytest.raises(SynthError, match="no clock of port clk: it has other"):
        read_fmax_mhz('{"fmax": {"other": {"achieved": 1.0, "constraint": 1.0}}}')


@pytest.mark.parametrize("name", list(PRESETS))
def test_accepted_share_is_a_lower_bound(name: str) -> None:
    """Section 5 of the contract in exact fractions, at the worst legal Z and the worst tail size of small search."""
    config = PRESETS[name]
    uniform, tail = 1 << config.uniform_bits, 1 << config.tail_noise_bits
    scale = uniform // config.total_max
    worst_head = Fraction(scale * config.total_max, uniform)
    sizes = range(max(1, config.vocab_max - 2000), config.vocab_max)
    worst_tail = min(1 - Fraction(tail % n, tail) for n in sizes)
    assert accepted_share(config) <= worst_head * worst_tail
    assert accepted_share(config) > 0.99 or name == "tiny"


def report(**changes: object) -> SynthReport:
    fields: dict[str, object] = {
        "board": "ecp5-25f",
        "title": "Board, device",
        "config": TsuConfig(lanes=2).as_dict(),
        "resources": read_usage(ECP5_NEXTPNR, {}, "ecp5"),
        "fmax_mhz": 99.47,
        "clk_mhz": 150.0,
        "draws_per_cycle": 1.99,
        "bitstream_bytes": 260419,
        "untimed_cells": (),
        "seed": 1,
        "tools": {"YOSYS": "Yosys 0.70"},
    }
    return SynthReport(**{**fields, **changes})  # type: ignore[arg-type]


def test_report_survives_json() -> None:
    original = report(untimed_cells=("ICESTORM_DSP",))
    assert SynthReport.from_json(original.to_json()) == original


def test_meets_clock_at_the_constraint_and_not_below() -> None:
    assert report(fmax_mhz=150.0).meets_clock
    assert not report(fmax_mhz=149.99).meets_clock


def test_table_row() -> None:
    assert markdown_table([report()]).splitlines()[2] == (
        "| Board, device | 64, 48, 2 | 5851 (24.1 %) | 7997 (32.9 %) | 17 (30.4 %) | 14 (50.0 %) "
        "| 99.5 | 150 | 197.9 M |"
    )
    assert "99.5 (multipliers untimed)" in markdown_table([report(untimed_cells=("ICESTORM_DSP",))])


def test_last_error_prefers_errors() -> None:
    log = "Info: packing\nERROR: Unable to place cell 'x', no BELs remaining\n2 warnings, 1 error\n\n"
    assert last_error(log) == "ERROR: Unable to place cell 'x', no BELs remaining"
    assert last_error("one\ntwo\n") == "two"
    assert last_error("") == "no output"


def fake_tool(folder: Path, name: str, body: str) -> str:
    """An executable that runs `body` as Python in its working directory."""
    path = folder / name
    path.write_text(
        f"#!{sys.executable}\nimport sys\nif '--version' in sys.argv: sys.exit(print('{name} 1.0'))\n{body}\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_missing_tool_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YOSYS", str(tmp_path / "none"))
    with pytest.raises(SynthError, match="none is not installed: install the extra `hw`"):
        tools.find_tool("YOSYS")


def test_failing_tool_gives_its_error_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YOSYS", fake_tool(tmp_path, "yosys", "print('ERROR: no such file'); sys.exit(3)"))
    with pytest.raises(SynthError, match="stage: exit status 3: ERROR: no such file"):
        Runner(tmp_path, 60).run("stage", "YOSYS", [])


def test_slow_tool_is_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("YOSYS", fake_tool(tmp_path, "yosys", "import time; time.sleep(60)"))
    with pytest.raises(SynthError, match="stage: stopped after 1 s"):
        Runner(tmp_path, 1).run("stage", "YOSYS", [])


@pytest.fixture
def fake_tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stand-ins that write the recorded files, so that the flow itself runs in a second. Returns a working folder."""
    bodies = {
        "YOSYS": f"open('cells.json', 'w').write({ICE40_YOSYS!r}); open('netlist.json', 'w').write({NETLIST!r})",
        "NEXTPNR_ECP5": f"open('nextpnr.json', 'w').write({ECP5_NEXTPNR!r})",
        "ECPPACK": "open('top.bit', 'wb').write(b'bits')",
    }
    for variable, body in bodies.items():
        monkeypatch.setenv(variable, fake_tool(tmp_path, variable.lower(), body))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def run_build(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(build.main)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


SMALL = ("--set", "k_max=4", "--set", "weight_source=table", "--board", "ecp5-25f")


def test_missed_clock_fails(fake_tools: Path) -> None:
    status, output = run_build(*SMALL)
    assert status == 1
    assert "error: 99.47 MHz misses the constraint of 150 MHz" in output
    stored = SynthReport.from_json((fake_tools / "build/synth/ecp5-25f/report.json").read_text())
    assert (stored.config["k_max"], stored.bitstream_bytes, stored.meets_clock) == (4, 4, False)


def test_seeds_are_tried_until_one_meets_the_clock(fake_tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = ECP5_NEXTPNR.replace("99.47278594970703", "151.0")
    written = f"{fast!r} if sys.argv[sys.argv.index('--seed') + 1] == '3' else {ECP5_NEXTPNR!r}"
    body = f"open('nextpnr.json', 'w').write({written})"
    monkeypatch.setenv("NEXTPNR_ECP5", fake_tool(fake_tools, "lucky", body))
    status, output = run_build(*SMALL)
    assert (status, output.count("seed 2: 99.47 MHz"), output.count("seed 4:")) == (0, 1, 0)
    stored = SynthReport.from_json((fake_tools / "build/synth/ecp5-25f/report.json").read_text())
    assert (stored.seed, stored.fmax_mhz) == (3, 151.0)
    assert run_build(*SMALL, "--tries", "2")[0] == 1


def test_allow_slow_and_a_lower_constraint_pass(fake_tools: Path) -> None:
    assert run_build(*SMALL, "--allow-slow")[0] == 0
    assert run_build(*SMALL, "--clk-mhz", "99.4")[0] == 0


def test_only_default_builds_that_meet_the_clock_are_published(
    fake_tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = fake_tools / "docs/reference/fpga/ecp5-25f.json"
    stored.parent.parent.mkdir(parents=True)
    monkeypatch.setitem(PRESETS, "ecp5-25f", PRESETS["tiny"])
    run_build("--board", "ecp5-25f")  # misses 150 MHz
    run_build("--board", "ecp5-25f", "--clk-mhz", "50")  # not the default
    assert not stored.exists()
    fast = ECP5_NEXTPNR.replace("99.47278594970703", "151.0")
    body = f"open('nextpnr.json', 'w').write({fast!r})"
    monkeypatch.setenv("NEXTPNR_ECP5", fake_tool(fake_tools, "fast", body))
    assert run_build("--board", "ecp5-25f")[0] == 0
    assert json.loads(stored.read_text())["fmax_mhz"] == 151.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--board", "none"],
            "board = 'none' is not legal: expected one of ulx3s, ulx3s-25f, icebreaker, ecp5-85f, ecp5-85f-array,",
        ),
        (["--set", "colour=1"], "set = 'colour=1' is not legal: expected FIELD=VALUE with a field of k_max"),
        (["--set", "lanes=many"], "lanes = 'many' is not legal: expected an integer"),
        (["--set", "lanes=3"], "lanes = 3 is not legal: expected a power of two in [1, 64]"),
        (["--seed", "-1"], "seed = -1 is not legal: expected an integer in [0, 2147483548]"),
        (["--tries", "0"], "tries = 0 is not legal: expected an integer in [1, 100]"),
        (["--clk-mhz", "0"], "clk_mhz = 0.0 is not legal: expected a number in [1, 1000]"),
    ],
)
def test_bad_options_give_one_line(arguments: list[str], message: str) -> None:
    status, output = run_build(*arguments)
    assert status == 2
    assert output.startswith(f"error: {message}")
    assert output.count("\n") == 1


def test_unwritable_build_folder_gives_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, output = run_build("--out", str(tmp_path / "file"))
    assert status == 2
    assert output.startswith("error: ")
    assert output.count("\n") == 1


@pytest.mark.slow
def test_real_flow_packs_a_bitstream(tmp_path: Path) -> None:
    """The smallest TSU through the real tools; an iCE40 bitstream holds the preamble 7E AA 99 7E."""
    fields = {**PRESETS["tiny"].as_dict(), "weight_source": "table"}
    options = [f"--set={name}={value}" for name, value in fields.items()]
    status, output = run_build("--board", "up5k", "--out", str(tmp_path), "--allow-slow", *options)
    assert status == 0, output
    assert bytes.fromhex("7EAA997E") in (tmp_path / "up5k" / "top.bin").read_bytes()
