# SPDX-License-Identifier: Apache-2.0
"""Score, tables and the reviewed list of a campaign."""

from pathlib import Path

import pytest

from hw.spec.errors import SpecError
from sim.mutants.explained import Rule, explain, read_rules
from sim.mutants.report import MutationReport, Survivor, failures, markdown, rewrite_document, score


def report(*, tried: int, killed: int, equivalent: int) -> MutationReport:
    alive = tried - killed - equivalent
    survivors = [Survivor(text=f"e{i}", equivalent=True, reason="same") for i in range(equivalent)]
    survivors += [Survivor(text=f"a{i}", equivalent=False, reason="") for i in range(alive)]
    return MutationReport(
        target="t",
        meaning="m",
        seed=1,
        cycles=2,
        draws=3,
        commands=4,
        tried=tried,
        killed={"wrong draw": killed},
        components={"lane": [tried, killed]},
        survivors=survivors,
    )


def test_equivalent_mutants_do_not_count() -> None:
    assert score([report(tried=110, killed=99, equivalent=10)]) == 0.99
    assert score([report(tried=60, killed=40, equivalent=10), report(tried=60, killed=35, equivalent=0)]) == 75 / 110
    assert score([]) == 0.0


@pytest.mark.parametrize(
    ("tried", "killed", "equivalent", "lines"),
    [(1000, 980, 11, 0), (1000, 980, 10, 1), (999, 999, 0, 1), (999, 900, 0, 2)],
)
def test_bar(tried: int, killed: int, equivalent: int, lines: int) -> None:
    assert len(failures([report(tried=tried, killed=killed, equivalent=equivalent)], count=True)) == lines


def test_number_of_mutants_counts_in_full_runs_only() -> None:
    assert failures([report(tried=10, killed=10, equivalent=0)], count=False) == []


def test_json_gives_the_report_back() -> None:
    made = report(tried=20, killed=15, equivalent=3)
    assert MutationReport.from_json(made.to_json()) == made


def test_tables_name_every_survivor() -> None:
    text = markdown([report(tried=20, killed=15, equivalent=3)])
    for name in ("e0", "e1", "e2", "a0", "a1"):
        assert f"`{name}`" in text
    assert "88.24%" in text
    assert "not explained" in text


def test_document_without_markers_is_refused() -> None:
    with pytest.raises(SpecError, match="tables between"):
        rewrite_document("nothing", [])


def test_first_rule_that_matches_the_whole_name() -> None:
    rules = [
        Rule(target="a", pattern=r"inv .*\[3\]", equivalent=True, reason="one"),
        Rule(target=".*", pattern="inv .*", equivalent=False, reason="two"),
    ]
    found = [explain(rules, target, text) for target, text in (("a", "inv x[3]"), ("b", "inv x[3]"), ("a", "const"))]
    assert [rule and rule.reason for rule in found] == ["one", "two", None]


def test_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.toml"
    path.write_text('[[rule]]\ntarget = "a"\npattern = "b"\nequivalent = true\nreason = "c"\n', encoding="utf-8")
    assert read_rules(path) == [Rule(target="a", pattern="b", equivalent=True, reason="c")]


def test_every_reviewed_rule_has_a_reason() -> None:
    assert [rule for rule in read_rules() if len(rule.reason) < 10] == []
