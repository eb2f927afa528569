# SPDX-License-Identifier: Apache-2.0
"""The TSU's netlist, a list of mutants of it, and Verilog that holds all of them with a selector."""

import re
from dataclasses import dataclass
from pathlib import Path

from sim.native.yosys import yosys

SELECTOR = "mutsel"
"""Input port that chooses the mutant; 0 is the netlist as it is."""

NETLIST_FILE, VERILOG_FILE = "netlist.il", "mutants.v"
_RTLIL_FILE, _LIST_FILE = "tsu.il", "mutants.list"

FLATTEN = (
    "hierarchy -top {top}",
    "proc",
    "flatten",
    "opt -full",
    "wreduce",
    "peepopt",
    "opt -full",
    "splitcells",
    "opt_clean",
    "opt -full",
    "memory_collect",
    "opt_clean",
    "delete */t:$scopeinfo",
)
"""Yosys commands from Amaranth's RTLIL to the netlist that is mutated: word-level cells, memories kept whole.

Flat, optimised and split by use, so that few mutants sit in logic that nothing reads.
"""

_OPTION = re.compile(r"-(mode|module|cell|portbit|port|ctrlbit|wirebit|wire|src) (\S+)")
_SOURCE = re.compile(r"(?:^|/)((?:hw|sim)/\S+)$")
_CELL = re.compile(r"^ *cell (\S+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One changed bit of one port of one cell.

    Parameters
    ----------
    index : int
        Value of the selector, from 1.
    mode : str
        What `mutate` of Yosys does to the bit: inv, const0, const1, cnot0, cnot1 (inverted where another bit of the
        port, `ctrlbit`, is 0 or 1).
    kind : str
        Type of the cell.
    cell, port : str
    portbit, ctrlbit : int
        -1 for no `ctrlbit`.
    wire : str
        Name of the signal at the port, with its bit, or an empty string.
    source : str
        Line of the gateware, relative to the checkout.
    command : str
        The options of `mutate`.
    """

    index: int
    mode: str
    kind: str
    cell: str
    port: str
    portbit: int
    ctrlbit: int
    wire: str
    source: str
    command: str

    @property
    def component(self) -> str:
        """Path of the component it is in, without indices of lanes and levels."""
        path = self.cell if "." in self.cell and not self.cell.startswith("$") else self.wire
        parts = [part for part in path.split(".")[:-1] if part != "core"]
        return ".".join(re.sub(r"\d+", "", part).rstrip("_") for part in parts[:2]) or "core"

    @property
    def text(self) -> str:
        """One line that names the mutant, whatever its index."""
        bit = f"{self.port}[{self.portbit}]" + (f" by [{self.ctrlbit}]" if self.ctrlbit >= 0 else "")
        wire = f" = {self.wire}" if self.wire else ""
        return f"{self.mode} {self.kind} {self.cell} {bit}{wire} at {self.source}"


def write_netlist(rtlil: str, *, top: str, folder: Path) -> None:
    """Write the flat netlist of `rtlil` to `NETLIST_FILE` in `folder`. Raises as `yosys`."""
    (folder / _RTLIL_FILE).write_text(rtlil, encoding="utf-8")
    steps = [f"read_rtlil {_RTLIL_FILE}", *(step.format(top=top) for step in FLATTEN), f"write_rtlil {NETLIST_FILE}"]
    yosys("\n".join(steps) + "\n", folder=folder)


def list_mutants(*, tries: int, seed: int, within: str, folder: Path) -> list[Mutant]:
    """Mutants of `NETLIST_FILE` in `folder`, evenly over cells, signals and lines of the source.

    `mutate -list` is asked for `tries`; those whose path and source lines do not match the pattern `within` are left
    out. Clock pins are left out too: a changed clock is no change of logic, and a simulator without delays has no
    answer to it. Raises as `yosys`.
    """
    yosys(f"read_rtlil {NETLIST_FILE}\nmutate -list {tries} -seed {seed} -o {_LIST_FILE}\n", folder=folder)
    kinds = {name: kind for kind, name in _CELL.findall((folder / NETLIST_FILE).read_text(encoding="utf-8"))}
    found: list[Mutant] = []
    for line in (folder / _LIST_FILE).read_text(encoding="utf-8").splitlines():
        options = _OPTION.findall(line)
        fields = {name: value for name, value in options if name != "src"}
        cell = fields["cell"]
        sources = [match[1] for name, value in options if name == "src" and (match := _SOURCE.search(value))]
        path = fields.get("wire", "") if cell.startswith("$auto") else cell.replace("\\", "")
        if fields["port"].endswith("CLK") or not re.search(within, " ".join([path, *sources])):
            continue
        found.append(
            Mutant(
                index=len(found) + 1,
                mode=fields["mode"],
                kind=kinds.get(cell, kinds.get("\\" + cell, "?")),
                cell=cell.replace("$flatten", "").replace("\\", ""),
                port=fields["port"],
                portbit=int(fields["portbit"]),
                ctrlbit=int(fields.get("ctrlbit", -1)),
                wire=f"{fields['wire']}[{fields['wirebit']}]" if "wire" in fields else "",
                source=sources[0] if sources else "",
                command=" ".join(
                    f"-{name} {value}" for name, value in options if name not in ("src", "wire", "wirebit")
                ),
            )
        )
    return found


def write_verilog(mutants: list[Mutant], *, folder: Path) -> None:
    """Write `VERILOG_FILE`: the netlist of `folder` with all mutants behind `SELECTOR`. Raises as `yosys`."""
    width = len(mutants).bit_length()
    steps = [f"read_rtlil {NETLIST_FILE}"]
    steps += [f"mutate -ctrl {SELECTOR} {width} {mutant.index} {mutant.command}" for mutant in mutants]
    steps += ["opt_clean", f"write_verilog -noattr -norename {VERILOG_FILE}"]
    yosys("\n".join(steps) + "\n", folder=folder)
