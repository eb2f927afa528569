# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of the health monitor; its bench must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_health.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

fair_noise_passes = _BENCH.fair_noise_passes
one_stuck_bit_is_found_in_its_first_whole_dwell = _BENCH.one_stuck_bit_is_found_in_its_first_whole_dwell
a_dwell_minus_one_bit_passes = _BENCH.a_dwell_minus_one_bit_passes
proportion_at_the_cutoffs = _BENCH.proportion_at_the_cutoffs
biased_noise_is_found_in_its_first_whole_window = _BENCH.biased_noise_is_found_in_its_first_whole_window
restart_clears_and_begins_anew = _BENCH.restart_clears_and_begins_anew
wrong_answer_stays_until_reset = _BENCH.wrong_answer_stays_until_reset
restart_in_mid_test_is_a_wrong_answer = _BENCH.restart_in_mid_test_is_a_wrong_answer

BUGS = {
    "all-ones-pass": ("~dwell_ones[: schedule.dwell_log2].any()", "~dwell_ones.any()"),
    "one-too-many-passes": ("begin = (1 << len(ones)) - schedule.ones_low", "begin = -schedule.ones_low - 1"),
    "too-many-ones-pass": ("ones[schedule.passing_log2 :].any()", "ones[-1]"),
    "words-are-not-visited": ("word.eq(Mux(word == len(self.word) - 1, 0, word + 1))", "word.eq(0)"),
    "alarm-survives-restart": ("ones.eq(0), state.repetition.eq(0),", "ones.eq(0),"),
    "restart-keeps-the-dwell": ("number.eq(1 << window_log2)", "number[-1].eq(1)"),
    "crc-is-not-compared": ("((crc == expected.crc) & right_ones)", "right_ones"),
    "cut-test-passes": (
        "(crc == expected.crc) & right_ones) | restart",
        "(crc == expected.crc) & right_ones) & 0",
    ),
}
TOPLEVELS = {
    f"pipelined-3+{name}": mutant(
        "health_monitor.HealthMonitor",
        where="health_monitor",
        old=old,
        new=new,
        noise_words=3,
        expected=_BENCH.ref_answer(3),
        select="pipelined",
    )
    for name, (old, new) in BUGS.items()
}
