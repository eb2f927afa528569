# SPDX-License-Identifier: Apache-2.0
"""Where the lanes of an array go on an ECP5-85: each lane's block RAMs are fixed, and the rest of it follows them.

Left to itself, placement pulls the lanes of a large array apart: of a lane that fills 3 % of the chip, two registers of
one path lay 50 rows from each other. Block RAMs are in four rows, so a lane gets a stretch of one row.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .block_ram import BLOCK_RAM

ROWS = (22, 46, 70, 82)
"""Rows of the LFE5U-85F that hold block RAM. Source: Project Trellis, tile grid of the device."""

COLUMNS = tuple(x for first in (*range(4, 67, 9), *range(69, 115, 9)) for x in range(first, first + 8, 2) if x != 69)
"""Columns of their block RAMs, four in nine columns; the one at 69 is not there in every row."""

FIRST_COLUMN = 69
"""Behind the middle of the chip the groups of four begin at 69 + 9 n, before it at 4 + 9 n."""

PLANS: Mapping[int, tuple[tuple[int, int], ...]] = {
    # Around the middle, which is left to loader and collector; neighbours in the seed chain are neighbours here.
    8: ((22, 4), (22, 20), (22, 36), (46, 36), (70, 36), (70, 20), (70, 4), (46, 4)),
    # Four in each row.
    16: tuple((row, first) for row in ROWS for first in (1, 13, 25, 37)),
}
"""By the number of lanes: for each of them its row, and the place of its first block in `COLUMNS`."""

ORDER = ("level_", "leaves.ids", "leaves.weights", "results")
"""Parts of a lane in the order of its pipeline."""

_LANE = re.compile(r"(?:\bgroup_(\d+)\.)?\blane_(\d+)\.(.*)")


def bel(row: int, index: int) -> str:
    """Name that nextpnr gives to block RAM `index` of `COLUMNS` in a row of `ROWS`."""
    x = COLUMNS[index]
    first = FIRST_COLUMN if x >= FIRST_COLUMN else COLUMNS[0]
    return f"X{x}/Y{row}/EBR{(x - first) % 9 // 2}"


def fix_block_rams(module: Mapping[str, Any], *, lanes: int, groups: int = 1) -> int:
    """Write into each block RAM of the lanes where it goes.

    Parameters
    ----------
    module : mapping
        One flat module of Yosys' JSON netlist, mapped for ECP5; parts of lane i of group g are called
        `..group_<g>.lane_<i>.<part>..`, of the only group `..lane_<i>.<part>..`.
    lanes, groups : int
        Lanes of a group, and groups.

    Returns
    -------
    int
        How many block RAMs were fixed; 0 where `PLANS` has no plan for so many lanes.
    """
    plan = PLANS.get(lanes * groups)
    if plan is None:
        return 0
    blocks: dict[int, list[tuple[int, str]]] = {}
    for name, cell in module["cells"].items():
        found = _LANE.search(name)
        if cell["type"] == BLOCK_RAM and found is not None:
            group, lane, part = int(found[1] or 0), int(found[2]), found[3]
            rank = next((rank for rank, known in enumerate(ORDER) if known in part), len(ORDER))
            blocks.setdefault(lanes * group + lane, []).append((rank, name))
    for lane, found_blocks in blocks.items():
        row, first = plan[lane]
        for index, (_, name) in enumerate(sorted(found_blocks), start=first):
            module["cells"][name].setdefault("attributes", {})["BEL"] = bel(row, index)
    return sum(map(len, blocks.values()))


def floorplan(path: Path, *, top: str, lanes: int, groups: int) -> int:
    """`fix_block_rams` on a netlist file that Yosys wrote; how many were fixed."""
    netlist = json.loads(path.read_text(encoding="utf-8"))
    fixed = fix_block_rams(netlist["modules"][top], lanes=lanes, groups=groups)
    if fixed:
        path.write_text(json.dumps(netlist), encoding="utf-8")
    return fixed
