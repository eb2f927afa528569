# SPDX-License-Identifier: Apache-2.0
"""Moves the register behind a block RAM into the block (ECP5), which Yosys leaves outside of it.

From clock to word an ECP5 block RAM takes 5.7 ns at speed grade 6, and its own output register 1.0 ns: with the
register outside, the wire to it has what is left of the cycle.
"""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BLOCK_RAM = "DP16KD"
WIDE_BITS = 36
"""Widest word of a block. Both of its ports make one then: A writes, B reads, and the word is DOB and DOA."""

Cell = dict[str, Any]
"""A cell of Yosys' JSON netlist: `type`, `parameters`, `connections` from port to bits."""


def fold_module(module: Mapping[str, Any]) -> int:
    """Make the flip-flops behind block RAMs the blocks' output registers (REGMODE OUTREG), in place.

    A word is folded when each used bit of it has one reader, and these readers are flip-flops of one clock, the read
    clock, and one enable, without reset. The enable becomes the block's output enable. Where the read has an enable
    too, it must be set whenever the flip-flops' is, because the documentation of the block leaves open whether that
    one holds the output register; `CreditFifo`, the only such user, lets the block read whenever the register moves.

    Parameters
    ----------
    module : mapping
        One flat module of Yosys' JSON netlist, mapped for ECP5.

    Returns
    -------
    int
        How many flip-flops were folded.

    Source: Lattice FPGA-TN-02204, ECP5 memory usage guide (REGMODE, OCE).
    """
    cells: dict[str, Cell] = module["cells"]
    readers: dict[int | str, list[tuple[str, str]]] = defaultdict(list)
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for bit in bits:
                    readers[bit].append((name, port))
    for port in module["ports"].values():
        for bit in port["bits"]:
            readers[bit].append(("", "pin"))
    folded = 0
    for cell in [cell for cell in cells.values() if cell["type"] == BLOCK_RAM]:
        wide = int(cell["parameters"]["DATA_WIDTH_B"], 2) == WIDE_BITS
        for sides in (("B", "A"),) if wide else (("A",), ("B",)):
            folded += _fold_word(cells, readers, cell, sides)
    return folded


def _fold_word(
    cells: dict[str, Cell], readers: Mapping[int | str, list[tuple[str, str]]], block: Cell, sides: tuple[str, ...]
) -> int:
    """Fold the registers behind one word of a block; `sides`: the read port, then the other half of a wide word."""
    connections = block["connections"]
    read = sides[0]
    outputs = [f"DO{side}{index}" for side in sides for index in range(18) if f"DO{side}{index}" in connections]
    used = [port for port in outputs if readers[connections[port][0]]]
    behind = [readers[connections[port][0]] for port in used]
    if not used or any(len(each) != 1 or each[0][1] != "DI" for each in behind):
        return 0
    flip_flops = {port: each[0][0] for port, each in zip(used, behind, strict=True)}
    clock, polarity = connections[f"CLK{read}"], block["parameters"][f"CLK{read}MUX"]
    enables = set()
    for name in flip_flops.values():
        cell = cells[name]
        if cell["connections"]["LSR"] != ["0"] or cell["connections"]["CLK"] != clock:
            return 0
        if cell["parameters"]["CLKMUX"] != "CLK" or polarity != f"CLK{read}":
            return 0
        mode = cell["parameters"]["CEMUX"].strip()
        enables.add(cell["connections"]["CE"][0] if mode == "CE" else mode)
    if len(enables) != 1 or "INV" in enables:
        return 0
    enable = enables.pop()
    for side in sides:
        block["parameters"][f"REGMODE_{side}"] = "OUTREG"
        connections[f"OCE{side}"] = [enable]
    for port, name in flip_flops.items():
        connections[port] = cells.pop(name)["connections"]["Q"]
    return len(flip_flops)


def fold_output_registers(path: Path) -> int:
    """`fold_module` on every module of a netlist file that Yosys wrote; how many flip-flops were folded."""
    netlist = json.loads(path.read_text(encoding="utf-8"))
    folded = sum(fold_module(module) for module in netlist["modules"].values() if module.get("cells"))
    path.write_text(json.dumps(netlist), encoding="utf-8")
    return folded
