# SPDX-License-Identifier: Apache-2.0
"""Which mutants compute the same: a proof that needs no reachable states.

Registers and memories are taken out of the netlist and of the mutant, their outputs becoming inputs and their inputs
outputs. Where all outputs are equal for all inputs, so are all answers from reset on, by induction over cycles. What
is not proved may still be equivalent: by states that are never reached, or by payloads that nobody looks at.
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hw.spec.config import TsuConfig
from sim.native.yosys import yosys

from .netlist import NETLIST_FILE, Mutant, write_netlist

_BATCH = 12
"""Mutants in one run of Yosys."""

_SAT_SECONDS = 10

_STATEFUL = re.compile(r"\$(dff|mem_v2)$")
_CUT_FILE, _WHOLE_FILE = "cut.json", "whole.json"


def cut_state(module: dict[str, Any]) -> None:
    """Replace registers and memories of a module (Yosys JSON) by ports, in place."""
    for name in [name for name, cell in module["cells"].items() if _STATEFUL.match(cell["type"])]:
        cell = module["cells"].pop(name)
        label = re.sub(r"\W", "_", name)
        for port, bits in cell["connections"].items():
            if port.endswith("CLK") or not bits:
                continue
            direction = "input" if cell["port_directions"][port] == "output" else "output"
            module["ports"][f"cut_{label}_{port}"] = {"direction": direction, "bits": bits}


def _batches(mutants: Sequence[Mutant]) -> Iterator[Sequence[Mutant]]:
    for first in range(0, len(mutants), _BATCH):
        yield mutants[first : first + _BATCH]


def _prove_batch(mutants: Sequence[Mutant], *, top: str, folder: Path) -> set[int]:
    steps = [f"read_rtlil {NETLIST_FILE}", "attrmap -remove init"]  # a proof for all states needs no first one
    for mutant in mutants:
        name = f"mutant_{mutant.index}"
        command = mutant.command.replace(f"-module {top}", f"-module {name}")
        steps += [f"copy {top} {name}", f"mutate {command}"]
    yosys("\n".join([*steps, "dffunmap", f"write_json {_WHOLE_FILE}"]) + "\n", folder=folder)
    design = json.loads((folder / _WHOLE_FILE).read_text(encoding="utf-8"))
    for module in design["modules"].values():
        cut_state(module)
        module["netnames"] = {}
        module["attributes"] = {}
    (folder / _CUT_FILE).write_text(json.dumps(design), encoding="utf-8")
    steps = [f"read_json {_CUT_FILE}"]
    for mutant in mutants:
        miter = f"miter_{mutant.index}"
        steps += [
            f"miter -equiv -flatten {top} mutant_{mutant.index} {miter}",
            f"cd {miter}",
            "opt_merge -share_all",
            "opt_expr",
            "opt_merge -share_all",
            "opt_clean",
            f"log begin {miter}",
            f"sat -prove trigger 0 -timeout {_SAT_SECONDS}",
            "cd",
            f"delete {miter}",
        ]
    log = yosys("\n".join(steps) + "\n", folder=folder)
    proved = set()
    for part in re.split(r"^begin miter_", log, flags=re.MULTILINE)[1:]:
        index = int(re.match(r"\d+", part)[0])  # type: ignore[index]  # the name of every miter ends with a number
        if "SAT proof finished - no model found: SUCCESS!" in part:
            proved.add(index)
    return proved


def prove_equivalent(
    config: TsuConfig, mutants: Sequence[Mutant], *, progress: Callable[[int], None] = lambda done: None
) -> set[int]:
    """Indices of the mutants whose next states and outputs are proved equal to those of the TSU of `config`.

    Parameters
    ----------
    config : TsuConfig
    mutants : sequence of Mutant
        Of that TSU's netlist.
    progress : callable
        Told how many were tried after each batch.

    Raises
    ------
    ToolMissing, NativeBuildError
        See `yosys`.
    """
    from .flat_core import TOP_NAME, FlatCore

    proved: set[int] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_netlist(FlatCore(config=config).to_rtlil(), top=TOP_NAME, folder=folder)
        done = 0
        for batch in _batches(mutants):
            proved |= _prove_batch(batch, top=TOP_NAME, folder=folder)
            done += len(batch)
            progress(done)
    return proved
