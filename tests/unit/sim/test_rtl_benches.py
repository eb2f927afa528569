# SPDX-License-Identifier: Apache-2.0
"""The quick half of `make sim` on the blocks of the TSU, and seeded bugs that the benches must notice.

Builds are kept in build/test-benches, by content: a second run does not compile again.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FAULTY = Path(__file__).parent / "faulty_rtl"

QUICK = (
    "command_decoder/tiny",
    "exhaustive/tiny",
    "lane/tiny-1",
    "pbit_tree/small-1",
    "tsu/small-4",
    "weight_engine/both-1",
)
"""One bench of each stage of the data path, and whole TSUs; `make sim`, a part of `make test-all`, runs all."""

BUGS = {
    "axi_lite/scratch+data-does-not-wait-for-its-address": (
        "every_strobe_with_address_and_data_in_any_order/paused=none"
    ),
    "axi_lite/scratch+data-is-read-too-early": "responses_are_those_of_the_registers/paused=none",
    "axi_lite/scratch+read-response-is-lost": "responses_are_those_of_the_registers/paused=none",
    "axi_lite/scratch+response-does-not-wait": "many_transfers_in_flight/paused=all",
    "axi_lite/scratch+strobes-are-all-ones": "every_strobe_with_address_and_data_in_any_order/paused=none",
    "axi_registers/small-4+lanes-without-a-draw-are-not-skipped": "psi_and_draws_through_registers_only/paused=none",
    "axi_registers/small-4+last-of-every-beat": "psi_and_draws_through_registers_only/paused=none",
    "axi_registers/small-4+part-of-a-word-is-taken": "strobes/paused=none",
    "axi_registers/small-4+refused-is-never-cleared": "interrupts/paused=none",
    "axi_registers/small-4+route-cuts-a-command": "a_command_is_never_cut_by_a_change_of_route/paused=none",
    "axi_stream/adapters+flush-forgets-the-rest": "flush_drops_the_rest_of_a_command/stalled=none",
    "axi_stream/adapters+held-word-is-overwritten": "every_word_arrives_once/stalled=out",
    "axi_stream/adapters+keep-is-all-ones": "transfers_leave_as_they_came/stalled=none",
    "axi_stream/adapters+offer-does-not-wait": "transfers_leave_as_they_came/stalled=out",
    "axi_tsu/small-4+core-is-not-reset": "reset_by_register_in_mid_stream/paused=none",
    "axi_tsu/small-4+gaps-between-fields-close": "seed_and_load_behind_one_another/paused=none",
    "axi_tsu/small-4+head-has-the-spread-of-the-tail": "seed_and_load_behind_one_another/paused=none",
    "axi_tsu/small-4+keep-of-the-wrong-lane": "seed_and_load_behind_one_another/paused=none",
    "axi_tsu/small-4+reset-is-ignored": "reset_in_mid_stream/paused=all",
    "beat_merger/groups-3+always-back-to-group-0": "saturated_groups_take_turns",
    "beat_merger/groups-3+doubled": "every_beat_once_and_whole/kind=random",
    "beat_merger/groups-3+keeps-the-grant": "a_rare_beat_waits_for_one_of_each_other_group/kind=none",
    "beat_merger/groups-3+lost": "every_beat_once_and_whole/kind=random",
    "beat_merger/groups-3+misnamed": "every_beat_once_and_whole/kind=none",
    "beat_merger/groups-3+torn": "every_beat_once_and_whole/kind=random",
    "blocks/rejecting-2+any-token-is-a-context": "blocks_equal_the_reference/stalled=none/mode=table",
    "blocks/rejecting-2+next-draw-from-lane-0": "draws_and_blocks_share_the_noise/stalled=none",
    "blocks/rejecting-2+parameters-of-the-next-candidate": "blocks_equal_the_reference/stalled=none/mode=table",
    "blocks/rejecting-2+refused-context-keeps-its-slot": "refused_commands_draw_nothing/stalled=none",
    "blocks/rejecting-2+rejected-candidates-are-owed": "draws_and_blocks_share_the_noise/stalled=none",
    "blocks/rejecting-2+rejected-stream-changes-context": "blocks_equal_the_reference/stalled=none/mode=table",
    "blocks/rejecting-2+rejected-stream-goes-on": "blocks_equal_the_reference/stalled=none/mode=table",
    "blocks/rejecting-2+settled-without-the-rejected": "draws_and_blocks_share_the_noise/stalled=none",
    "blocks/rejecting-2+slots-are-written-in-a-block": "a_slot_is_not_written_while_blocks_are_drawn",
    "blocks/rejecting-2+starts-are-overwritten": "draws_and_blocks_share_the_noise/stalled=none",
    "blocks/rejecting-2+tail-weight-of-the-job": "draws_and_blocks_share_the_noise/stalled=none",
    "command_dispatcher/groups-3+any-answer-is-handed-over": "groups_work_side_by_side",
    "command_dispatcher/groups-3+load-goes-where-the-last-one-went": "commands_reach_their_groups/kind=none",
    "command_dispatcher/groups-3+one-group-is-enough": "words_of_all_groups_are_taken_together",
    "command_dispatcher/groups-3+other-versions-are-loads": "commands_reach_their_groups/kind=none",
    "command_dispatcher/groups-3+seed-keeps-the-turn": "commands_reach_their_groups/kind=none",
    "command_dispatcher/groups-3+the-first-answer-is-enough": "words_of_all_groups_are_taken_together",
    "exhaustive/tiny+only-tail-draws-are-rejected": "every_noise_word/case=tail_heavy",
    "exhaustive/tiny+tail-is-never-rejected": "every_noise_word/case=head_tail",
    "exhaustive/tiny+threshold-not-less-one": "every_noise_word/case=v_is_k",
    "exhaustive/tiny+token-behind-the-last-id": "every_noise_word/case=one_id",
    "groups/groups-2+a-group-keeps-the-grant": "psi_of_all_groups_are_sampled_together/stalled=all",
    "groups/groups-2+load-goes-where-the-last-one-went": "many_small_jobs/stalled=none",
    "groups/groups-2+one-group-may-be-seeded": "a_seed_waits_for_the_draws_of_every_group",
    "groups/groups-2+refused-by-group-0-only": "refused_commands_count_once",
    "health/pipelined-3+alarm-survives-restart": "restart_clears_and_begins_anew",
    "health/pipelined-3+all-ones-pass": "a_dwell_minus_one_bit_passes/bit=1",
    "health/pipelined-3+crc-is-not-compared": "wrong_answer_stays_until_reset/change=1",
    "health/pipelined-3+cut-test-passes": "restart_in_mid_test_is_a_wrong_answer",
    "health/pipelined-3+one-too-many-passes": "proportion_at_the_cutoffs/ones=3584",
    "health/pipelined-3+restart-keeps-the-dwell": "restart_clears_and_begins_anew",
    "health/pipelined-3+too-many-ones-pass": "proportion_at_the_cutoffs/ones=4608",
    "health/pipelined-3+words-are-not-visited": ("one_stuck_bit_is_found_in_its_first_whole_dwell/stuck=0/place=last"),
    "link_frames/pages-2+any-crc": "each_rule_refuses_and_the_next_frame_is_taken",
    "link_frames/pages-2+no-room-check": "control_frames_pass_commands_that_wait",
    "link_frames/pages-2+short-frames": "each_rule_refuses_and_the_next_frame_is_taken",
    "link_frames/pages-2+takes-twice": "commands_come_out_whole_and_once/kind=none",
    "link_tsu/groups-3+one-draft-for-all": "psi_in_flight_together",
    "link_tsu/small-1+draw-loses-a-bit": "draws_equal_the_reference_stream",
    "link_tsu/small-1+no-window": "a_host_that_stops_reading_stops_nothing",
    "pbit_tree/small-1+banks-share-memory": "every_value_reaches_its_leaf/order=sorted",
    "pbit_tree/small-1+fires-on-equal": "every_value_reaches_its_leaf/order=sorted",
    "scheduler/lanes-4+always-from-lane-0": "every_lane_gets_its_share/kind=none",
    "scheduler/lanes-4+starts-before-the-lanes-settle": "a_job_waits_for_the_slowest_lane",
    "scheduler/lanes-4+starts-on-a-stale-idle": "a_job_waits_for_the_slowest_lane",
    "threshold_builder/small-1+no-fill": "thresholds_for_every_k/gaps=False",
    "threshold_builder/small-1+threshold-not-less-one": "thresholds_for_every_k/gaps=False",
    "tsu/small-4+equal-ids-pass": "bad_psi_is_flagged_and_never_sampled/stalled=none",
    "tsu/small-4+load-does-not-wait": "next_psi_is_loaded_while_draws_are_not_taken",
    "tsu/small-4+refused-seed-restarts": "refused_seed_leaves_the_draws_before_it_alone",
    "tsu/small-4+seed-holds-the-noise-back": "seed_in_mid_stream/stalled=none",
    "tsu/small-4+tail-weight-of-a-leaf": "psi_switch_in_mid_stream/stalled=none",
    "tsu_classes/small-2+largest-k-is-refused": "psi_of_every_size_and_tail/k=4",
    "tsu_classes/small-2+last-state-alone-is-checked": "zero_state_of_every_stream_is_refused",
    "tsu_classes/small-2+length-is-not-checked": "refusals_while_draws_are_owed",
    "tsu_classes/small-2+refused-counts-twice": "registers_of_the_whole_tsu",
    "tsu_classes/small-2+reset-forgets-a-begun-command": "reset_in_every_situation/situation=1",
    "tsu_classes/small-2+token-behind-the-last-id": "ids_at_both_ends_of_every_vocabulary",
    "tsu_classes/small-2+upper-half-of-a-tail-is-lost": "tails_of_every_size",
    "tsu_classes/small-2+weights-are-truncated": "scores_of_every_step",
    "weight_engine/both-1+truncates": "all_distances_equal_the_exact_law/gaps=False",
    "weight_engine/both-1+weight-of-zero": "all_distances_equal_the_exact_law/gaps=False",
}
"""Seeded bug, and a test that must fail on it."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m sim.benches` in a process of its own: it changes the environment."""
    command = [sys.executable, "-m", "sim.benches", "--build", "build/test-benches", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)


@pytest.fixture(scope="module")
def quick() -> subprocess.CompletedProcess[str]:
    """All quick benches, in one process."""
    return run(*QUICK)


@pytest.fixture(scope="module")
def faulty() -> subprocess.CompletedProcess[str]:
    """All seeded bugs, in one process."""
    return run("--dir", str(FAULTY))


@pytest.mark.parametrize("bench", QUICK)
def test_bench(quick: subprocess.CompletedProcess[str], bench: str) -> None:
    lines = [
        line for line in quick.stdout.splitlines() if line.partition(" ")[2].startswith((f"{bench}.", f"{bench}:"))
    ]
    assert lines, quick.stdout + quick.stderr
    assert [line for line in lines if not line.startswith("pass ")] == []


def test_quick_benches_end_well(quick: subprocess.CompletedProcess[str]) -> None:
    assert (quick.returncode, quick.stderr) == (0, "")
    assert f" passed, 0 failed, in {len(QUICK)} benches" in quick.stdout


@pytest.mark.slow  # 59 tops to compile
@pytest.mark.parametrize("bug", BUGS)
def test_seeded_bug_is_noticed(faulty: subprocess.CompletedProcess[str], bug: str) -> None:
    assert faulty.returncode == 1
    start = f"FAIL {bug}.{BUGS[bug]} "
    assert [line for line in faulty.stdout.splitlines() if line.startswith(start)], faulty.stdout + faulty.stderr


@pytest.mark.slow
def test_every_seeded_bug_is_listed(faulty: subprocess.CompletedProcess[str]) -> None:
    assert f"in {len(BUGS)} benches" in faulty.stdout.splitlines()[-1], faulty.stdout + faulty.stderr
