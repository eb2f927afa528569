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
    BIAS,
    DOCUMENT,
    LAGS,
    MUST_FAIL,
    RANK_BITS,
    RANK_WORDS,
    REPORT_FOLDER,
    STREAMS,
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
        needed = [BIAS, LAGS, STREAMS, *RANK_WORDS.values(), *RANK_BITS.values()]
        assert all(status[name] is not Status.NOT_RUN for name in needed)
        assert all(status[name] is Status.FAIL for name in MUST_FAIL.get(found.generator, ()))
