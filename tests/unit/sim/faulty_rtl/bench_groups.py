# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs between the groups of a TSU; its bench must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_groups.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

psi_of_all_groups_are_sampled_together = _BENCH.psi_of_all_groups_are_sampled_together
many_small_jobs = _BENCH.many_small_jobs
a_seed_waits_for_the_draws_of_every_group = _BENCH.a_seed_waits_for_the_draws_of_every_group
refused_commands_count_once = _BENCH.refused_commands_count_once

BUGS = {
    "load-goes-where-the-last-one-went": ("command_dispatcher", "choice.eq(turn)", "choice.eq(last)"),
    "one-group-may-be-seeded": (
        "command_dispatcher",
        "self._all(target, (port.ready for port in self.o_command))",
        "(target[0] & self.o_command[0].ready | self._all(target, (port.ready for port in self.o_command)))",
    ),
    "a-group-keeps-the-grant": ("beat_merger", "others.any() & (free | ~has_beat)", "others.any() & ~has_beat"),
    "refused-by-group-0-only": (
        "core",
        "Cat(loader.refused_stb for loader in loaders).any()",
        "loaders[0].refused_stb",
    ),
}
TOPLEVELS = {
    f"groups-2+{name}": mutant("core.TsuCore", where=where, old=old, new=new, config=_BENCH.CONFIGS["groups-2"])
    for name, (where, old, new) in BUGS.items()
}
