# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the AXI registers and of what feeds them; their bench must fail on each."""

from functools import partial
from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_axi_registers.py")
mutant = partial(load_module(Path(__file__).with_name("mutants.py")).mutant, package="hw.axi")

psi_and_draws_through_registers_only = _BENCH.psi_and_draws_through_registers_only
strobes = _BENCH.strobes
interrupts = _BENCH.interrupts
a_command_is_never_cut_by_a_change_of_route = _BENCH.a_command_is_never_cut_by_a_change_of_route

BUGS = {
    "lanes-without-a-draw-are-not-skipped": (
        "draw_unpacker",
        "with m.Elif(~held.keep[0] | self.o_draw.ready):",
        "with m.Elif(self.o_draw.ready):",
    ),
    "last-of-every-beat": ("draw_unpacker", "draw.last.eq(held.last & ~others)", "draw.last.eq(~others)"),
    "part-of-a-word-is-taken": ("register_bank", "whole = strobe.all()", "whole = strobe.any()"),
    "refused-is-never-cleared": (
        "register_bank",
        "m.d.sync += refused.eq(0)\n                        case",
        "pass\n                        case",
    ),
    "route-cuts-a-command": (
        "command_select",
        "Mux(offered, taken & command.payload.last, ~inside)",
        "~command.valid",
    ),
}
TOPLEVELS = {
    f"small-4+{name}": mutant("axi_tsu.AxiTsu", where=where, old=old, new=new, config=_BENCH.CONFIGS["small-4"])
    for name, (where, old, new) in BUGS.items()
}
