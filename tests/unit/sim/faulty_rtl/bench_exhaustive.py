# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs that bend the law of the draws; the count over every noise word must see each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_exhaustive.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

every_noise_word = _BENCH.every_noise_word

BUGS = {
    "only-tail-draws-are-rejected": (
        "candidate_filter",
        "~over & included",
        "~over & (~tail | included)",
    ),
    "tail-is-never-rejected": ("candidate_filter", "~over & included", "~over"),
    "threshold-not-less-one": (
        "threshold_builder",
        "m.d.sync += threshold.eq(-1)",
        "m.d.sync += threshold.eq(0)",
    ),
    "token-behind-the-last-id": (
        "candidate_filter",
        "~(index < self.params.rank_last)",
        "(self.params.rank_last < index)",
    ),
}
TOPLEVELS = {
    f"tiny+{name}": mutant(
        "core.TsuCore", where=where, old=old, new=new, config=_BENCH.CONFIGS["tiny"], external_noise=True
    )
    for name, (where, old, new) in BUGS.items()
}
