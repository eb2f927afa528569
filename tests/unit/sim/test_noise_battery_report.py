# SPDX-License-Identifier: Apache-2.0
"""Reports, the table made of them, and the published runs."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from hw.spec.errors import SpecError
from hw.spec.noise import GENERATORS
from sim.noise import __main__ as command
from sim.noise.battery import DEFAULT_SEED, write_report
from sim.noise.report import (
    BEGIN,
    BIAS,
    DIEHARDER,
    DOCUMENT,
    END,
    ENT,
    FIPS,
    LAGS,
    MUST_FAIL,
    RANK_BITS,
    RANK_WORDS,
    REPORT_FOLDER,
    RNGTEST,
    STREAMS,
    TESTU01,
    CheckResult,
    NoiseReport,
    Status,
    markdown_table,
    read_reports,
    rewrite_document,
)

ROOT = Path(__file__).resolve().parents[3]


def report(generator: str, **statuses: Status) -> NoiseReport:
    """A report whose checks are named by the keywords."""
    checks = [CheckResult(name=name, status=status, figure="f", p=0.5) for name, status in statuses.items()]
    return NoiseReport(generator=generator, seed=1, lanes=4, streams=12, words=1000, quick=True, checks=checks)


def test_json_round_trip(tmp_path: Path) -> None:
    first = report("lfsr", a=Status.PASS, b=Status.FAIL, c=Status.NOT_RUN)
    path = write_report(first, tmp_path / "new")
    assert NoiseReport.from_json(path.read_text(encoding="utf-8")) == first
    assert read_reports(tmp_path / "new") == [first]
    assert read_reports(tmp_path) == []


def test_table_has_a_row_for_each_check_and_says_what_was_not_run() -> None:
    table = markdown_table([report("lfsr", a=Status.PASS, b=Status.FAIL), report("lfsr-leap", b=Status.NOT_RUN)])
    assert table.splitlines() == [
        "| Check | `lfsr` | `lfsr-leap` |",
        "|---|---|---|",
        "| words in the correlations | 1,000 | 1,000 |",
        "| a | pass: f | not run |",
        "| b | **FAIL**: f | not run: f |",
        "| **in all** | **1 of 2 fail** | all 0 pass |",
    ]
    assert "make noise" in markdown_table([])


def test_unexpected_results() -> None:
    assert report("xoshiro128pp", a=Status.PASS, b=Status.NOT_RUN).unexpected() == []
    assert report("xoshiro128pp", a=Status.FAIL).unexpected() == ["xoshiro128pp fails a: f"]
    assert report("lfsr", a=Status.FAIL, b=Status.PASS).unexpected() == []
    (line,) = report("lfsr", **{LAGS: Status.PASS}).unexpected()
    assert line == f"lfsr passes {LAGS}, which must see it: f"


def run_twice(own: Status, now: Status) -> tuple[NoiseReport, NoiseReport]:
    """A stored report with results of ent and dieharder, and one of a machine without ent."""
    stored = report("lfsr", **{FIPS: own, ENT: Status.PASS, DIEHARDER: Status.FAIL, TESTU01: Status.NOT_RUN})
    return stored, report("lfsr", **{FIPS: now, ENT: Status.NOT_RUN, DIEHARDER: Status.PASS, TESTU01: Status.NOT_RUN})


def test_missing_program_does_not_erase_its_stored_row() -> None:
    stored, new = run_twice(Status.FAIL, Status.FAIL)
    merged = {check.name: check.status for check in new.with_rows_of(stored).checks}
    assert merged == {FIPS: Status.FAIL, ENT: Status.PASS, DIEHARDER: Status.PASS, TESTU01: Status.NOT_RUN}
    assert stored.with_rows_of(new).checks == stored.checks


def test_stored_rows_of_other_words_are_not_taken_over() -> None:
    stored, new = run_twice(Status.FAIL, Status.PASS)
    with pytest.raises(SpecError, match=f"report = {ENT!r} .*rows of lfsr are of other words"):
        new.with_rows_of(stored)
    assert stored.with_rows_of(new) == stored  # nothing is lacking


def test_publishing_keeps_rows_or_says_why_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / DOCUMENT).parent.mkdir(parents=True)
    (tmp_path / DOCUMENT).write_text(f"{BEGIN}\n\n{END}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    stored, new = run_twice(Status.FAIL, Status.FAIL)
    assert command.publish(stored) == []
    assert command.publish(new) == []
    assert "| ent | pass: f |" in DOCUMENT.read_text(encoding="utf-8")
    _, other = run_twice(Status.FAIL, Status.PASS)
    before = DOCUMENT.read_text(encoding="utf-8")
    (line,) = command.publish(other)
    assert line.startswith("docs/reference/noise.md is not rewritten: ") and "\n" not in line
    assert DOCUMENT.read_text(encoding="utf-8") == before


def test_document_without_the_lines_is_refused() -> None:
    with pytest.raises(SpecError, match="document"):
        rewrite_document("# Text\n", [])


def test_documented_table_is_that_of_the_stored_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = typer.Typer()
    app.command()(command.main)
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["--check-docs"])
    assert done.exit_code == 0, done.stderr

    (tmp_path / DOCUMENT).parent.mkdir(parents=True)
    text = (ROOT / DOCUMENT).read_text(encoding="utf-8")
    (tmp_path / DOCUMENT).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)  # the same document without its reports is stale
    done = CliRunner().invoke(app, ["--check-docs"])
    assert done.exit_code == 1 and done.stderr.startswith("stale: ")
    assert CliRunner().invoke(app, ["--docs"]).exit_code == 0
    assert CliRunner().invoke(app, ["--check-docs"]).exit_code == 0
    assert (tmp_path / DOCUMENT).read_text(encoding="utf-8") != text


def test_published_runs_are_full_ones_that_went_as_they_should() -> None:
    reports = read_reports(ROOT / REPORT_FOLDER)
    assert [found.generator for found in reports] == list(GENERATORS)
    for found in reports:
        assert found.words >= 10**9 and not found.quick and found.seed == DEFAULT_SEED
        assert found.unexpected() == []
        status = {check.name: check.status for check in found.checks}
        needed = [BIAS, LAGS, STREAMS, *RANK_WORDS.values(), *RANK_BITS.values(), RNGTEST, ENT, DIEHARDER]
        assert all(status[name] is not Status.NOT_RUN for name in needed)
        assert all(status[name] is Status.FAIL for name in MUST_FAIL.get(found.generator, ()))
