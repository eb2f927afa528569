# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the weight engine; its bench must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_weight_engine.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

all_distances_equal_the_exact_law = _BENCH.all_distances_equal_the_exact_law

BUGS = {
    "truncates": ("rounded.eq(fine[1:] + fine[0])", "rounded.eq(fine[1:])"),
    "weight-of-zero": ("rounded | (fine == 0)", "rounded"),
}
TOPLEVELS = {
    f"both-1+{name}": mutant(
        "weight_engine.WeightEngine", where="weight_engine", old=old, new=new, config=_BENCH.CONFIGS["both-1"]
    )
    for name, (old, new) in BUGS.items()
}
