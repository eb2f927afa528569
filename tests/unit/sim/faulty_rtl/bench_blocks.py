# SPDX-License-Identifier: Apache-2.0
"""Seeded bugs of block drafting; the bench of blocks must fail on each."""

from pathlib import Path

from sim.bench_file import load_module

_BENCH = load_module(Path(__file__).parents[3] / "benches" / "bench_blocks.py")
mutant = load_module(Path(__file__).with_name("mutants.py")).mutant

draws_and_blocks_share_the_noise = _BENCH.draws_and_blocks_share_the_noise
blocks_equal_the_reference = _BENCH.blocks_equal_the_reference
a_slot_is_not_written_while_blocks_are_drawn = _BENCH.a_slot_is_not_written_while_blocks_are_drawn
refused_commands_draw_nothing = _BENCH.refused_commands_draw_nothing

BUGS = {
    # A rejected stream that does not come back in its turn takes no further candidate: others take them.
    "rejected-stream-goes-on": ("stream_ring", "Mux(back.retry, left_back, left_back - 1)", "(left_back - 1)"),
    "rejected-stream-changes-context": (
        "stream_ring",
        "Mux(back.retry, back.context, back.token[: self._config.context_bits])",
        "back.token[: self._config.context_bits]",
    ),
    "any-token-is-a-context": (
        "stream_ring",
        "~token[bits:].any() & self.loaded.bit_select(token[:bits], 1)",
        "self.loaded.bit_select(token[:bits], 1)",
    ),
    "starts-are-overwritten": ("loader", "starts_blocked.eq(self.starts_in_use)", "starts_blocked.eq(0)"),
    "slots-are-written-in-a-block": (
        "loader",
        "slots_blocked.eq(self.bank_in_use[2] | self.params_in_use)",
        "slots_blocked.eq(0)",
    ),
    "rejected-candidates-are-owed": ("lane", "rejected & ~in_block", "rejected"),
    "tail-weight-of-the-job": ("collector", "Mux(in_block, result.weight, weight)", "weight"),
    "parameters-of-the-next-candidate": (
        "candidate_filter",
        "name=name, cycles=multiplier.latency_cycles)",
        "name=name, cycles=0)",
    ),
    "refused-context-keeps-its-slot": (
        "loader",
        "table.empty_stb.eq(decoder.header_stb & decoder.is_context)",
        "table.empty_stb.eq(0)",
    ),
    "settled-without-the-rejected": ("candidate_filter", "valid & accept & last & of_block", "valid & last & of_block"),
    "next-draw-from-lane-0": ("collector", "Mux(in_block, first, next_first)", "next_first"),
}
TOPLEVELS = {
    f"rejecting-2+{name}": mutant("core.TsuCore", where=where, old=old, new=new, config=_BENCH.CONFIGS["rejecting-2"])
    for name, (where, old, new) in BUGS.items()
}
