# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the merger: unfair, torn, doubled, misnamed; its bench must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_beat_merger.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant
Streamed = load_module(Path(__file__).parents[3] / "benches" / "support.py").Streamed

every_beat_once_and_whole = _BENCH.every_beat_once_and_whole
saturated_groups_take_turns = _BENCH.saturated_groups_take_turns
a_rare_beat_waits_for_one_of_each_other_group = _BENCH.a_rare_beat_waits_for_one_of_each_other_group

BUGS = {
    "keeps-the-grant": ("others.any() & (free | ~has_beat)", "others.any() & ~has_beat"),
    "always-back-to-group-0": ("others[index] & is_next", "others[index] & ~others[:index].any()"),
    "torn": (
        "            with m.If(free):\n                m.d.sync += register",
        "            with m.If(1):\n                m.d.sync += register",
    ),
    "doubled": ("beat.ready.eq(free & granted)", "beat.ready.eq(self.o_beat.ready & granted)"),
    "lost": ("beat.ready.eq(free & granted)", "beat.ready.eq(granted)"),
    "misnamed": ("C(index, len(self.o_beat.group))", "C(0, len(self.o_beat.group))"),
}


def toplevel(old: str, new: str):  # type: ignore[no-untyped-def]  # a component of the benches
    make = mutant("beat_merger.BeatMerger", where="beat_merger", old=old, new=new, config=_BENCH.CONFIGS["groups-3"])
    return lambda: Streamed(make())


TOPLEVELS = {f"groups-3+{name}": toplevel(old, new) for name, (old, new) in BUGS.items()}
