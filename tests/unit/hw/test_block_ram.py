# SPDX-License-Identifier: Apache-2.0
"""Folding of flip-flops into block RAMs: what is folded, what is left alone, and that the netlist stays whole."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw.synth.block_ram import fold_module, fold_output_registers

CLOCK, ENABLE = 2, 3
FIRST_WORD_BIT, FIRST_Q = 100, 200


def flip_flop(data: int, q: int, *, enable: str = "CE") -> dict[str, Any]:
    connections = {"CLK": [CLOCK], "DI": [data], "LSR": ["0"], "Q": [q]}
    directions = {"CLK": "input", "DI": "input", "LSR": "input", "Q": "output"}
    if enable == "CE":
        connections["CE"], directions["CE"] = [ENABLE], "input"
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": enable, "CLKMUX": "CLK", "LSRMUX": "LSR"},
        "port_directions": directions,
        "connections": connections,
    }


def block(*, wide: bool, used: int, clock: int = CLOCK) -> dict[str, Any]:
    """A block RAM that port B reads; the first `used` bits of the word have nets."""
    names = [f"DOA{i}" for i in range(18)] + [f"DOB{i}" for i in range(18)] if wide else [f"DOB{i}" for i in range(18)]
    outputs = {name: [FIRST_WORD_BIT + index] for index, name in enumerate(names[:used])}
    inputs: dict[str, list[Any]] = {"CLKB": [clock], "OCEA": ["0"], "OCEB": ["1"]}
    return {
        "type": "DP16KD",
        "parameters": {
            "DATA_WIDTH_B": format(36 if wide else 18, "032b"),
            "REGMODE_A": "NOREG",
            "REGMODE_B": "NOREG",
            "CLKAMUX": "CLKA",
            "CLKBMUX": "CLKB",
        },
        "port_directions": dict.fromkeys(outputs, "output") | dict.fromkeys(inputs, "input"),
        "connections": outputs | inputs,
    }


def module(*, wide: bool = False, used: int = 18, enable: str = "CE") -> dict[str, Any]:
    """A block RAM with a flip-flop behind every used bit, whose outputs are pins."""
    cells = {"ram": block(wide=wide, used=used)}
    for index in range(used):
        cells[f"ff{index}"] = flip_flop(FIRST_WORD_BIT + index, FIRST_Q + index, enable=enable)
    ports = {"q": {"direction": "output", "bits": [FIRST_Q + index for index in range(used)]}}
    return {"ports": ports, "cells": cells}


@pytest.mark.parametrize("used", [5, 18])
def test_narrow_word_is_folded_with_its_enable(used: int) -> None:
    netlist = module(used=used)
    assert fold_module(netlist) == used
    ram = netlist["cells"]["ram"]
    assert list(netlist["cells"]) == ["ram"]
    assert (ram["parameters"]["REGMODE_A"], ram["parameters"]["REGMODE_B"]) == ("NOREG", "OUTREG")
    assert (ram["connections"]["OCEA"], ram["connections"]["OCEB"]) == (["0"], [ENABLE])
    assert [ram["connections"][f"DOB{i}"] for i in range(used)] == [[FIRST_Q + i] for i in range(used)]


def test_wide_word_needs_the_registers_of_both_halves() -> None:
    netlist = module(wide=True, used=36, enable="1 ")
    assert fold_module(netlist) == 36
    ram = netlist["cells"]["ram"]
    assert (ram["parameters"]["REGMODE_A"], ram["parameters"]["REGMODE_B"]) == ("OUTREG", "OUTREG")
    assert (ram["connections"]["OCEA"], ram["connections"]["OCEB"]) == (["1"], ["1"])


def other_reader(netlist: dict[str, Any]) -> None:
    netlist["cells"]["lut"] = {
        "type": "LUT4",
        "parameters": {},
        "port_directions": {"A": "input", "Z": "output"},
        "connections": {"A": [FIRST_WORD_BIT], "Z": [400]},
    }


def pin_reader(netlist: dict[str, Any]) -> None:
    netlist["ports"]["raw"] = {"direction": "output", "bits": [FIRST_WORD_BIT + 3]}


def reset(netlist: dict[str, Any]) -> None:
    netlist["cells"]["ff1"]["connections"]["LSR"] = [4]


def other_clock(netlist: dict[str, Any]) -> None:
    netlist["cells"]["ff1"]["connections"]["CLK"] = [5]


def falling_edge(netlist: dict[str, Any]) -> None:
    netlist["cells"]["ff1"]["parameters"]["CLKMUX"] = "INV"


def falling_read(netlist: dict[str, Any]) -> None:
    netlist["cells"]["ram"]["parameters"]["CLKBMUX"] = "INV"


def two_enables(netlist: dict[str, Any]) -> None:
    netlist["cells"]["ff1"]["connections"]["CE"] = [6]


def inverted_enable(netlist: dict[str, Any]) -> None:
    for name, cell in netlist["cells"].items():
        if name != "ram":
            cell["parameters"]["CEMUX"] = "INV"


def no_reader(netlist: dict[str, Any]) -> None:
    netlist["cells"] = {"ram": netlist["cells"]["ram"]}


@pytest.mark.parametrize(
    "change",
    [
        other_reader,
        pin_reader,
        reset,
        other_clock,
        falling_edge,
        falling_read,
        two_enables,
        inverted_enable,
        no_reader,
    ],
)
def test_what_is_not_the_same_function_is_left_alone(change: Callable[[dict[str, Any]], None]) -> None:
    netlist = module()
    change(netlist)
    before = json.dumps(netlist)
    assert fold_module(netlist) == 0
    assert json.dumps(netlist) == before


def test_file(tmp_path: Path) -> None:
    path = tmp_path / "netlist.json"
    path.write_text(json.dumps({"modules": {"top": module(), "cell": {"ports": {}, "cells": {}}}}))
    assert fold_output_registers(path) == 18
    assert list(json.loads(path.read_text())["modules"]["top"]["cells"]) == ["ram"]
