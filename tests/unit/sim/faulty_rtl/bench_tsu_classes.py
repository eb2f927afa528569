# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs at the edges of the classes of psi, of resets and of refusals; their bench must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_tsu_classes.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

psi_of_every_size_and_tail = _BENCH.psi_of_every_size_and_tail
scores_of_every_step = _BENCH.scores_of_every_step
tails_of_every_size = _BENCH.tails_of_every_size
ids_at_both_ends_of_every_vocabulary = _BENCH.ids_at_both_ends_of_every_vocabulary
reset_in_every_situation = _BENCH.reset_in_every_situation
refusals_while_draws_are_owed = _BENCH.refusals_while_draws_are_owed
zero_state_of_every_stream_is_refused = _BENCH.zero_state_of_every_stream_is_refused
registers_of_the_whole_tsu = _BENCH.registers_of_the_whole_tsu

BUGS = {
    "largest-k-is-refused": ("psi_checker", "(header.k > config.k_max)", "(header.k >= config.k_max)"),
    "last-state-alone-is-checked": (
        "command_decoder",
        "(self.seed_zero & (self.index != 1)) | (zero_now & last_of_state)",
        "zero_now & last_of_state",
    ),
    "length-is-not-checked": ("command_decoder", "(count != expected) | short_header", "short_header"),
    "refused-counts-twice": ("register_file", "refused.eq(refused + 1)", "refused.eq(refused + 2)"),
    "reset-forgets-a-begun-command": (
        "command_decoder",
        "accept, started = Signal(), Signal()",
        "accept, started = Signal(), Signal(reset_less=True)",
    ),
    "token-behind-the-last-id": (
        "candidate_filter",
        "~(index < self.params.rank_last)",
        "(self.params.rank_last < index)",
    ),
    "upper-half-of-a-tail-is-lost": ("psi_checker", "high.eq(tail_weight[half:])", "high.eq(0)"),
    "weights-are-truncated": ("weight_engine", "rounded.eq(fine[1:] + fine[0])", "rounded.eq(fine[1:])"),
}
TOPLEVELS = {
    f"small-2+{name}": mutant("core.TsuCore", where=where, old=old, new=new, config=_BENCH.CONFIGS["small-2"])
    for name, (where, old, new) in BUGS.items()
}
