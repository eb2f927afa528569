# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the threshold builder; its bench must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_threshold_builder.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

thresholds_for_every_k = _BENCH.thresholds_for_every_k

BUGS = {
    "threshold-not-less-one": ("m.d.sync += threshold.eq(-1)", "m.d.sync += threshold.eq(0)"),
    "no-fill": ("fill.active & ~(self.k_less_one & half).any()", "0"),
}
TOPLEVELS = {
    f"small-1+{name}": mutant(
        "threshold_builder.ThresholdBuilder",
        where="threshold_builder",
        old=old,
        new=new,
        config=_BENCH.CONFIGS["small-1"],
    )
    for name, (old, new) in BUGS.items()
}
