# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of dispatch and of the order of statuses; the bench of the dispatcher must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_command_dispatcher.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

commands_reach_their_groups = _BENCH.commands_reach_their_groups
words_of_all_groups_are_taken_together = _BENCH.words_of_all_groups_are_taken_together
groups_work_side_by_side = _BENCH.groups_work_side_by_side

ALL_ANSWER = "self._all(first, (port.valid for port in self.i_status))"
BUGS = {
    "load-goes-where-the-last-one-went": ("choice.eq(turn)", "choice.eq(last)"),
    "seed-keeps-the-turn": ("m.d.sync += turn.eq(1)", "m.d.sync += turn.eq(turn)"),
    "other-versions-are-loads": ("m.Elif(ours & (opcode == Opcode.LOAD))", "m.Elif(opcode == Opcode.LOAD)"),
    "one-group-is-enough": (
        "self._all(target, (port.ready for port in self.o_command))",
        "(target & Cat(port.ready for port in self.o_command)).any()",
    ),
    "the-first-answer-is-enough": (ALL_ANSWER, "(first & Cat(port.valid for port in self.i_status)).any()"),
    "any-answer-is-handed-over": ("first.any() & " + ALL_ANSWER, "Cat(port.valid for port in self.i_status).any()"),
}
TOPLEVELS = {
    f"groups-3+{name}": mutant(
        "command_dispatcher.CommandDispatcher", where="command_dispatcher", old=old, new=new, groups=3
    )
    for name, (old, new) in BUGS.items()
}
