# SPDX-License-Identifier: Apache-2.0
"""A small campaign: mutants of a one-lane TSU under the whole work, and under work that looks at nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from host.mutants import __main__ as command
from host.mutants import campaign as campaign_module
from host.mutants.campaign import PASSED, Campaign, NetlistError
from host.mutants.recorder import Recorder
from host.mutants.targets import TARGETS, MutationTarget
from host.mutants.workload import Workload
from hw.spec.commands import Status
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from sim.mutants.equivalence import prove_equivalent
from sim.mutants.explained import Rule, contradictions
from sim.mutants.runner import DIED, HUNG, run_mutants
from sim.mutants.script import Segment, encode_script

SMALL = MutationTarget(
    name="small",
    config=TsuConfig(k_max=2, vocab_max=16, weight_bits=8, headroom_bits=1, guard_bits=3, tail_noise_bits=5),
    tries=300,
    within=r"loader\.decoder|collector",
    meaning="one lane",
)
MUTANTS = 40
"""Mutants of the small campaign."""


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campaign]:
    made = Campaign(target=SMALL, seed=1, folder=tmp_path_factory.mktemp("mutants"))
    made.run([mutant.index for mutant in made.mutants][:MUTANTS], lambda done: None)
    yield made


def test_netlist_itself_passes(campaign: Campaign) -> None:
    assert campaign.check_netlist() > 100_000


def test_bench_kills_nearly_all(campaign: Campaign) -> None:
    assert len(campaign.results) == MUTANTS
    assert len(campaign.killed()) >= 30


def test_blind_work_kills_little(campaign: Campaign) -> None:
    """Commands whose answers are looked at by nobody: only registers are read."""
    blind = encode_script([segment for segment in campaign.segments if not segment.commands])
    runs = [run for _, run in run_mutants(campaign.library, blind, range(1, MUTANTS + 1))]
    assert sum(run.verdict != PASSED for run in runs) <= 8


def test_each_result_is_kept_at_once(campaign: Campaign) -> None:
    assert len(campaign.log_file.read_text(encoding="utf-8").splitlines()) == MUTANTS


def test_report_counts_every_mutant_once(campaign: Campaign) -> None:
    rule = Rule(target="small", pattern=".*", equivalent=True, reason="all of them")
    report = campaign.report([rule], cycles=7)
    assert (report.tried, report.dead + len(report.survivors)) == (MUTANTS, MUTANTS)
    assert report.equivalent == len(report.survivors)
    assert sum(tried for tried, _ in report.components.values()) == MUTANTS
    assert sum(killed for _, killed in report.components.values()) == report.dead
    assert len(contradictions([rule], "small", campaign.killed())) == report.dead
    assert contradictions([], "small", campaign.killed()) == []


@pytest.mark.slow  # a netlist to compile, or to prove
def test_survivors_are_proved_and_killed_ones_are_not(campaign: Campaign) -> None:
    """Some survivor is proved equivalent; the same method proves none of the mutants that the work kills."""
    campaign.prove(lambda done: None)
    assert campaign.proved
    killed = [m for m in campaign.mutants[:MUTANTS] if campaign.results[m.index].verdict != PASSED]
    assert prove_equivalent(SMALL.config, killed[:6]) == set()


def test_wrong_expectation_is_seen(campaign: Campaign) -> None:
    """Every kind of answer, spoiled in the script, is noticed on the netlist as it is."""
    work = Workload(config=SMALL.config, seed=1, pipeline_cycles=20)
    spoiled: dict[str, Segment] = {}
    for segment in work.segments():
        if segment.name == "streams of seed 0":
            break
    for verdict in ("wrong status", "wrong draw", "too late", "unasked answer", "wrong register"):
        copy = Segment(**vars(segment))
        if verdict == "wrong status":
            copy.statuses = [*segment.statuses[:-1], _changed(segment.statuses[-1], total=1)]
        elif verdict == "wrong draw":
            copy.beats = [_changed(segment.beats[0], tag=segment.beats[0].tag ^ 1), *segment.beats[1:]]
        elif verdict == "too late":
            copy.bound_cycles = 10
        elif verdict == "unasked answer":
            copy.beats = segment.beats[:-1]
        else:
            copy.registers = [(0, 12345)]
        spoiled[verdict] = copy
    for verdict, copy in spoiled.items():
        ((_, run),) = run_mutants(campaign.library, encode_script([copy]), [0])
        assert run.verdict == verdict


def _changed(row: object, **fields: object) -> object:
    return type(row)(**{**vars(row), **fields})


def test_dead_or_silent_simulator_costs_its_mutants_only(campaign: Campaign, tmp_path: Path) -> None:
    empty = encode_script([])
    assert [run.verdict for _, run in run_mutants(tmp_path / "none.so", empty, [1, 2])] == [DIED, DIED]
    runs = run_mutants(campaign.library, campaign.script, [0], limit_s=0.01)
    assert [run.verdict for _, run in runs] == [HUNG]


def test_simulator_that_does_not_start_is_an_error(campaign: Campaign, tmp_path: Path) -> None:
    library, campaign.library = campaign.library, tmp_path / "none.so"
    try:
        with pytest.raises(NetlistError, match="the netlist itself fails: simulator died"):
            campaign.check_netlist(encode_script([]))
    finally:
        campaign.library = library


def test_work_reaches_every_status() -> None:
    config = TARGETS["array"].config
    segments = Workload(config=config, seed=1, pipeline_cycles=20).segments()
    codes = {status.code for segment in segments for status in segment.statuses}
    never = {Status.BAD_MODE, Status.BAD_CONTEXT}  # it has both weight modes, and no contexts
    assert codes == set(Status) - never


def test_work_asks_for_table_and_exp2() -> None:
    with pytest.raises(SpecError, match="weight_source = 'table'"):
        Workload(config=TsuConfig(weight_source="table"), seed=1, pipeline_cycles=20)


def test_beats_follow_the_lanes() -> None:
    recorder = Recorder(config=TARGETS["array"].config)
    work = [[0x0101, 0, 9 | 5 << 24, 1 | 1 << 16, 1 << 8, 0, 0, 0, 3 | 5 << 24], [0x0102, 6], [0x0102, 3]]
    with recorder.segment("x") as segment:
        codes = [recorder.command(words)[0] for words in work]
    recorder.close()
    assert codes == [Status.OK] * 3
    assert [beat.keep for beat in segment.beats] == [0b1111, 0b0011, 0b1100, 0b0001]
    assert [beat.last for beat in segment.beats] == [False, True, False, True]


@pytest.fixture
def invoke() -> CliRunner:
    return CliRunner()


def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(command.main)
    return made


def test_bad_arguments_end_with_2_and_one_line(invoke: CliRunner) -> None:
    for arguments, text in (
        (["--target", "none"], "target = 'none' is not legal"),
        (["--limit", "0"], "limit = 0 is not legal"),
        (["--seed", "-1"], "seed = -1 is not legal"),
    ):
        result = invoke.invoke(app(), arguments)
        assert result.exit_code == 2
        assert text in result.output
        assert len(result.output.strip().splitlines()) == 1


def test_low_score_ends_with_1(
    invoke: CliRunner, campaign: Campaign, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every mutant passes work without commands: nothing is killed."""
    monkeypatch.setattr(command, "TARGETS", {"small": SMALL})
    monkeypatch.setattr(Workload, "segments", lambda self: [Segment(name="nothing")])
    result = invoke.invoke(app(), ["--target", "small", "--limit", "2", "--out", str(tmp_path)])
    assert result.exit_code == 1
    assert "0.00% of the mutants that are not equivalent were killed, the bar is 99%" in result.output
    assert campaign_module.DEFAULT_SEED == 1


def test_stale_tables_end_with_1(invoke: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    document = tmp_path / "mutants.md"
    document.write_text("a\n<!-- mutants:table -->\n\nold\n\n<!-- /mutants -->\n", encoding="utf-8")
    monkeypatch.setattr(command, "DOCUMENT", document)
    monkeypatch.setattr(command, "REPORT_FOLDER", tmp_path)
    assert invoke.invoke(app(), ["--check-docs"]).exit_code == 1
    assert invoke.invoke(app(), ["--docs"]).exit_code == 0
    assert invoke.invoke(app(), ["--check-docs"]).exit_code == 0
