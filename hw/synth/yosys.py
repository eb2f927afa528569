# SPDX-License-Identifier: Apache-2.0
"""Logic synthesis: Verilog to a netlist of device cells."""

import json
from collections.abc import Mapping

from hw.tsu.replica import MODULE_PREFIX

from .tools import Runner

STAT_FILE = "cells.json"
NETLIST_FILE = "netlist.json"

SYNTHESIS: Mapping[str, str] = {
    "ecp5": "synth_ecp5",
    "ice40": "synth_ice40 -device u -dsp -dffe_min_ce_use 5",
}
"""Synthesis command of each family (both map with abc9).

The eight flip-flops of an iCE40 tile share one enable. One that would go to fewer than 5 becomes logic instead: of 146
sets of enable and reset 86 are left, and a UP5K that is 93 % full can be placed at all.
"""


def synthesis_script(family: str, top: str, verilog_file: str) -> str:
    """Yosys commands that turn `verilog_file` into `NETLIST_FILE` and count its cells in `STAT_FILE`.

    Modules of `hw.tsu.replica` stay modules until the end: registers of equal contents are only merged inside a module.
    """
    return "; ".join(
        (
            f"read_verilog {verilog_file}",
            f"setattr -mod -set keep_hierarchy 1 *.{MODULE_PREFIX}*",
            f"{SYNTHESIS[family]} -top {top}",
            "setattr -mod -unset keep_hierarchy *",
            "flatten",
            "clean",
            f"write_json {NETLIST_FILE}",
            f"tee -q -o {STAT_FILE} stat -json",
        )
    )


def synthesise(runner: Runner, family: str, top: str, verilog_file: str) -> dict[str, int]:
    """Run Yosys in the runner's folder and return the number of cells of each type.

    Raises SynthError when Yosys is missing, fails or exceeds the time limit.
    """
    runner.run("yosys", "YOSYS", ["-p", synthesis_script(family, top, verilog_file)])
    return cell_counts((runner.folder / STAT_FILE).read_text(encoding="utf-8"))


def cell_counts(stat_json: str) -> dict[str, int]:
    """Cells by type of the whole design, from what `stat -json` wrote."""
    counts = json.loads(stat_json)["design"]["num_cells_by_type"]
    return {str(name): int(count) for name, count in counts.items()}
