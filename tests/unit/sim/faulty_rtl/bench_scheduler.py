# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the scheduler; its bench must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_scheduler.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

every_lane_gets_its_share = _BENCH.every_lane_gets_its_share
a_job_waits_for_the_slowest_lane = _BENCH.a_job_waits_for_the_slowest_lane

BUGS = {
    "starts-before-the-lanes-settle": ("waiting & settled & ~blocked.any()", "waiting & ~blocked.any()"),
    "starts-on-a-stale-idle": ("waiting & settled & ~blocked.any()", "waiting & settled"),
    "always-from-lane-0": ("offset.eq(lane - first)", "offset.eq(lane)"),
}
TOPLEVELS = {
    f"lanes-4+{name}": mutant(
        "scheduler.Scheduler", where="scheduler", old=old, new=new, config=_BENCH.CONFIGS["lanes-4"]
    )
    for name, (old, new) in BUGS.items()
}
