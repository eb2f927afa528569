# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the p-bit tree; its bench must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_pbit_tree.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

every_value_reaches_its_leaf = _BENCH.every_value_reaches_its_leaf

BUGS = {
    "fires-on-equal": ("pbit", "self.threshold < self.value", "self.threshold <= self.value"),
    "banks-share-memory": (
        "pbit_level",
        "self.i_write.rank, self.i_write.bank)",
        "self.i_write.rank, self.i_write.bank & 0)",
    ),
}
TOPLEVELS = {
    f"small-1+{name}": mutant("pbit_tree.PBitTree", where=where, old=old, new=new, config=_BENCH.CONFIGS["small-1"])
    for name, (where, old, new) in BUGS.items()
}
