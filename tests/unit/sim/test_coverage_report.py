# SPDX-License-Identifier: Apache-2.0
"""Gaps, their explanations and the tables: an unexplained gap and a wrong explanation are both reported."""

import sys
from pathlib import Path

import pytest

from hw.spec.errors import SpecError
from sim.coverage import __main__ as command
from sim.coverage.explained import Gap, Rule, read_rules, review
from sim.coverage.groups import Functional
from sim.coverage.report import Report, component_files, make_report, rewrite_document, share
from sim.coverage.structure import Component, Signal

NAME = "hw/tsu/pbit.py"
COUNT = Gap(kind="toggle", where=NAME, what="count", bits=(5, 6, 7), detail="7:5 constant")
LINE = Gap(kind="line", where=NAME, what="m.d.comb += x.eq(1)", detail="line 9")


def rule(**fields: str) -> Rule:
    return Rule(**{"kind": "toggle", "where": NAME, "reason": "too large a count", **fields})


def test_gaps_are_explained_bit_by_bit() -> None:
    found = review([COUNT, LINE], [rule(what="count", bits="7:6"), rule(what="count", bits="5")])
    assert [gap for gap, _ in found.explained] == [COUNT]
    assert found.unexplained == [LINE]
    assert found.errors == []
    assert review([COUNT], [rule(what="count", bits="7:6")]).unexplained == [COUNT]


def test_explanation_of_something_covered_is_an_error() -> None:
    (error,) = review([COUNT], [rule(what="count", bits="7:4")]).errors
    assert error == "explained, but covered: toggle hw/tsu/pbit.py: count: bits 4"
    (error,) = review([COUNT], [rule(what="count"), rule(what="valid")]).errors
    assert error == "explained, but covered or gone: toggle hw/tsu/pbit.py: valid"
    (error,) = review([], [Rule(kind="component", where="hw/boards/top.py", reason="x")]).errors
    assert error == "explained, but covered or gone: component hw/boards/top.py"


@pytest.mark.parametrize(
    "text",
    [
        "[[gap]]\nkind = 'signal'\nwhere = 'x'\nreason = 'y'",
        "[[gap]]\nkind = 'line'\nwhere = 'x'\nreason = ' '",
        "[[gap]]\nkind = 'toggle'\nwhere = 'x'\nbits = '3-1'\nreason = 'y'",
        "[[gap]]\nkind = 'line'\nwhere = 'x'",
        "[[gap",
    ],
)
def test_broken_list(text: str, tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text(text)
    with pytest.raises(SpecError):
        read_rules(path)


def some_report(*, failures: list[str] | None = None) -> Report:
    """Two components, one line and three bits of a signal short, every bin of `reset` but one."""
    lane = Component(lines={1: True, 2: False}, toggles={"count": Signal(width=3, rose=0b011, fell=0b001)})
    full = Component(lines={4: True}, toggles={"valid": Signal(width=1, rose=1, fell=1)})
    functional = Functional()
    for situation in ("idle", "draws owed", "before a status"):
        functional.hit("reset", situation)
    return make_report(
        {"hw/tsu/lane.py": lane, "hw/tsu/pbit.py": full},
        functional,
        benches=["lane/tiny-1", "lane/tiny-2"],
        failures=failures or [],
        judged="hw/.*|reset",
        files=["hw/tsu/lane.py", "hw/boards/top.py"],
    )


def test_report_counts_and_lists() -> None:
    report = some_report()
    assert report.lines == {"hw/tsu/lane.py": (1, 2), "hw/tsu/pbit.py": (1, 1)}
    assert report.toggles == {"hw/tsu/lane.py": (3, 6), "hw/tsu/pbit.py": (2, 2)}
    assert [(gap.kind, gap.where, gap.bits, gap.detail) for gap in report.gaps] == [
        ("component", "hw/boards/top.py", (), "no bench simulates it"),
        ("line", "hw/tsu/lane.py", (), "line 2"),
        ("toggle", "hw/tsu/lane.py", (1, 2), "2 constant, 1 only rose"),
        ("bin", "reset", (), ""),
    ]
    assert report.gaps[-1].what == "inside a command"
    assert Report.from_json(report.to_json()) == report


def test_share_is_all_only_where_all_is_hit() -> None:
    assert share(2999, 3000) == "2,999 / 3,000 (99.9 %)"
    assert share(3000, 3000) == "3,000 / 3,000 (100 %)"
    assert share(0, 0) == "none"


MARKERS = "".join(
    f"<!-- coverage:{name} -->\nold\n<!-- /coverage -->\n" for name in ("run", "components", "groups", "gaps")
)


def test_document() -> None:
    report = some_report(failures=["lane/tiny-3: a test: broken"])
    text = rewrite_document(MARKERS, report, review(report.gaps, []))
    assert "old" not in text
    assert "2 tops of 1 benches passed" in text
    assert "- lane/tiny-3: a test: broken\n" in text
    assert "| `hw/tsu/lane.py` | 1 / 2 (50 %) | 3 / 6 (50 %) |" in text
    assert "| **all** | 2 / 3 (66.6 %) | 5 / 8 (62.5 %) |" in text
    assert "| **not explained** | 4 |" in text
    assert rewrite_document(text, report, review(report.gaps, [])) == text
    with pytest.raises(SpecError, match=r"coverage\.md"):
        rewrite_document("no marker", report, review(report.gaps, []))


def test_components_of_the_gateware_are_found() -> None:
    files = component_files()
    assert {"hw/tsu/lane.py", "hw/link/serial_tsu.py", "hw/axi/axi_tsu.py"} <= set(files)
    assert "hw/tsu/layouts.py" not in files


@pytest.mark.parametrize("explained", [True, False])
def test_documents_are_checked(
    explained: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--docs writes the tables; --check-docs fails while they are stale, or while a gap is not explained."""
    report = some_report()
    rules = [
        Rule(kind=kind, where=".*", what=".*", reason="looked at") for kind in ("component", "line", "toggle", "bin")
    ]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(command, "read_rules", lambda: rules if explained else rules[1:])
    for path, text in ((command.DOCUMENT, MARKERS), (command.STORED, report.to_json())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def lines(*arguments: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["coverage", *arguments])
        with pytest.raises(SystemExit) as end:
            command.typer.run(command.main)
        errors = capsys.readouterr().err.splitlines()
        assert end.value.code == (1 if errors else 0)
        return errors

    gap = [] if explained else ["not covered, not explained: component hw/boards/top.py: no bench simulates it"]
    stale = "stale: docs/reference/coverage.md (run `python -m sim.coverage --docs`)"
    assert lines("--check-docs") == [stale, *gap]
    assert lines("--docs") == gap
    assert lines("--check-docs") == gap
    assert "| looked at |" in command.DOCUMENT.read_text()
