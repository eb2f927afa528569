# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of order, switching and commands; the bench of the whole TSU must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_tsu.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

psi_switch_in_mid_stream = _BENCH.psi_switch_in_mid_stream
next_psi_is_loaded_while_draws_are_not_taken = _BENCH.next_psi_is_loaded_while_draws_are_not_taken
bad_psi_is_flagged_and_never_sampled = _BENCH.bad_psi_is_flagged_and_never_sampled
seed_in_mid_stream = _BENCH.seed_in_mid_stream
refused_seed_leaves_the_draws_before_it_alone = _BENCH.refused_seed_leaves_the_draws_before_it_alone

BUGS = {
    "load-does-not-wait": (
        "loader",
        "load_blocked.eq(self.bank_in_use.bit_select(~bank, 1) | self.params_in_use)",
        "load_blocked.eq(0)",
    ),
    "tail-weight-of-a-leaf": ("collector", "Mux(result.tail, tail_weight, result.weight)", "result.weight"),
    "equal-ids-pass": ("psi_checker", "~(last_id < entry.id)", "(entry.id < last_id)"),
    "seed-holds-the-noise-back": ("command_decoder", "(underway & self.is_seed", "((index != 0) & self.is_seed"),
    "refused-seed-restarts": ("loader", "self.restart_stb.eq(good)", "self.restart_stb.eq(1)"),
}
TOPLEVELS = {
    f"small-4+{name}": mutant("core.TsuCore", where=where, old=old, new=new, config=_BENCH.CONFIGS["small-4"])
    for name, (where, old, new) in BUGS.items()
}
