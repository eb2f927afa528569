# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the TSU behind AXI4-Streams; its bench must fail on each."""

from functools import partial
from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_axi_tsu.py")
mutant = partial(load_module(Path(__file__).with_name("mutants.py")).mutant, package="hw.axi")

reset_in_mid_stream = _BENCH.reset_in_mid_stream
reset_by_register_in_mid_stream = _BENCH.reset_by_register_in_mid_stream
seed_and_load_behind_one_another = _BENCH.seed_and_load_behind_one_another

BUGS = {
    "head-has-the-spread-of-the-tail": ("axi_tsu", "spread = Mux(draw.tail, beat.spread, 1)", "spread = beat.spread"),
    "keep-of-the-wrong-lane": ("axi_tsu", "for kept in beat.keep)", "for kept in reversed(beat.keep))"),
    "gaps-between-fields-close": ("packing", "Const(0, low - end)", "Const(0, 0)"),
    "core-is-not-reset": ("axi_tsu", "ResetInserter(soft_reset)(core)", "core"),
    "reset-is-ignored": ("axi_tsu", "sync.rst.eq(~self.aresetn)", "sync.rst.eq(0)"),
}
TOPLEVELS = {
    f"small-4+{name}": mutant("axi_tsu.AxiTsu", where=where, old=old, new=new, config=_BENCH.CONFIGS["small-4"])
    for name, (where, old, new) in BUGS.items()
}
