# SPDX-License-Identifier: Apache-2.0
"""What a run covered and what not: the stored report, and the tables in docs/reference/coverage.md."""

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hw.spec.errors import SpecError
from hw.spec.markdown import table

from .explained import Gap, Review
from .groups import GROUPS, Functional
from .instrument import ROOT
from .structure import Structure

DOCUMENT = Path("docs/reference/coverage.md")
"""The document with the tables, in the checkout."""

STORED = Path("docs/reference/coverage/coverage.json")
"""Where a full run keeps its report, in the checkout."""

ELABORATE = re.compile(r"^    def elaborate\(", re.MULTILINE)
"""What makes a file of the gateware a component."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run.

    Parameters
    ----------
    benches : list of str
        Those that passed, which alone count.
    failures : list of str
        Failed tests, with the name of the bench.
    lines, toggles : dict of str to (int, int)
        Hit and total by the file of the component.
    counts : dict
        Hits by group and bin.
    gaps : list of Gap
    """

    benches: list[str]
    failures: list[str]
    lines: dict[str, tuple[int, int]]
    toggles: dict[str, tuple[int, int]]
    counts: dict[str, dict[str, int]]
    gaps: list[Gap]

    def to_json(self) -> str:
        """The report as JSON; `from_json` reads it back."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """A report that `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        for name in ("lines", "toggles"):
            fields[name] = {key: tuple(value) for key, value in fields[name].items()}
        fields["gaps"] = [Gap(**{**gap, "bits": tuple(gap["bits"])}) for gap in fields["gaps"]]
        return cls(**fields)


def component_files(root: Path = ROOT) -> list[str]:
    """Files of the gateware that hold a component."""
    paths = sorted((root / "hw").rglob("*.py"))
    found = [path for path in paths if ELABORATE.search(path.read_text(encoding="utf-8"))]
    return [path.relative_to(root).as_posix() for path in found if "formal" not in path.parts]


def line_text(name: str, number: int, root: Path = ROOT) -> str:
    """A line of a source file, without indentation; empty where it is not there."""
    path = root / name
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return lines[number - 1].strip() if 0 < number <= len(lines) else ""


def _structure_gaps(structure: Structure) -> Iterable[Gap]:
    for name, component in structure.items():
        for line, executed in sorted(component.lines.items()):
            if not executed:
                yield Gap(kind="line", where=name, what=line_text(name, line), detail=f"line {line}")
        for label, signal in sorted(component.toggles.items()):
            full = signal.rose & signal.fell
            bits = tuple(bit for bit in range(signal.width) if not full >> bit & 1)
            if bits:
                yield Gap(kind="toggle", where=name, what=label, bits=bits, detail=", ".join(signal.missing()))


def make_report(
    structure: Structure,
    functional: Functional,
    *,
    benches: list[str],
    failures: list[str],
    judged: str,
    files: Iterable[str],
) -> Report:
    """Count what was hit and list what was not.

    Parameters
    ----------
    structure, functional : what `runner.merge_records` returns
    benches, failures : list of str
        See `Report`.
    judged : str
        Pattern of the files and groups that the report is about.
    files : iterable of str
        Components that should have been simulated.
    """
    chosen = {name: component for name, component in structure.items() if re.fullmatch(judged, name)}
    groups = {name: bins for name, bins in functional.counts.items() if re.fullmatch(judged, name)}
    gaps = [
        Gap(kind="component", where=name, detail="no bench simulates it")
        for name in files
        if name not in structure and re.fullmatch(judged, name)
    ]
    gaps += _structure_gaps(chosen)
    gaps += [
        Gap(kind="bin", where=group, what=name)
        for group, bins in groups.items()
        for name, count in bins.items()
        if not count
    ]
    return Report(
        benches=benches,
        failures=failures,
        lines={name: (sum(part.lines.values()), len(part.lines)) for name, part in chosen.items()},
        toggles={
            name: (sum(s.hit for s in part.toggles.values()), sum(s.total for s in part.toggles.values()))
            for name, part in chosen.items()
        },
        counts=groups,
        gaps=gaps,
    )


def share(hit: int, total: int) -> str:
    """Hit of total, and per cent rounded down to a tenth, so that only all of it is 100 %."""
    return f"{hit:,} / {total:,} ({1000 * hit // total / 10:g} %)" if total else "none"


def _sum(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    pairs = list(pairs)
    return sum(hit for hit, _ in pairs), sum(total for _, total in pairs)


def component_rows(report: Report) -> list[tuple[str, str, str]]:
    """A row for each component: file, lines, toggles; all of them in the last row."""
    rows = [(f"`{name}`", share(*report.lines[name]), share(*report.toggles[name])) for name in report.lines]
    total = share(*_sum(report.lines.values())), share(*_sum(report.toggles.values()))
    return [*rows, ("**all**", *total)]


def group_rows(report: Report) -> list[tuple[str, str, str]]:
    """A row for each group: name, what is counted, bins; all of them in the last row."""
    groups = {group.name: group for group in GROUPS}
    counts = {name: (sum(1 for n in bins.values() if n), len(bins)) for name, bins in report.counts.items()}
    rows = []
    for name, pair in counts.items():
        axes = " x ".join(f"{axis} ({len(values)})" for axis, values in groups[name].axes.items())
        rows.append((name, f"{groups[name].meaning}: {axes}", share(*pair)))
    return [*rows, ("**all**", "", share(*_sum(counts.values())))]


def gap_rows(reviewed: Review) -> list[tuple[str, str, str]]:
    """A row for each reason: the reason, how many gaps, where."""
    by_reason: dict[str, list[Gap]] = {}
    for gap, rule in reviewed.explained:
        by_reason.setdefault(rule.reason, []).append(gap)
    if reviewed.unexplained:
        by_reason["**not explained**"] = list(reviewed.unexplained)
    rows = []
    for reason, gaps in by_reason.items():
        places: dict[str, list[str]] = {}
        for gap in gaps:
            bits = f"[{gap.detail}]" if gap.bits else ""
            places.setdefault(gap.where, []).append(f"`{gap.what}{bits}`" if gap.what else "")
        where = "; ".join(f"{name}: {', '.join(items)}".rstrip(": ") for name, items in places.items())
        rows.append((reason, str(len(gaps)), where))
    return rows


def rewrite_document(text: str, report: Report | None, reviewed: Review | None) -> str:
    """`text` with what stands between its markers made anew. Raises SpecError where a marker is missing."""
    blocks = dict.fromkeys(("run", "components", "groups", "gaps"), "No report is stored: run `make coverage`.\n")
    if report is not None and reviewed is not None:
        files = {name.partition("/")[0] for name in report.benches}
        left_out = "".join(f"- {failure}\n" for failure in report.failures)
        blocks["run"] = f"{len(report.benches)} tops of {len(files)} benches passed and are counted.\n"
        if left_out:
            blocks["run"] += f"Failed, and left out:\n\n{left_out}"
        blocks["components"] = table(("component", "lines", "toggles"), component_rows(report))
        blocks["groups"] = table(("group", "counted is, by axis", "bins"), group_rows(report))
        blocks["gaps"] = table(("reason", "gaps", "where"), gap_rows(reviewed))
    for name, content in blocks.items():
        begin, end = f"<!-- coverage:{name} -->\n", "\n<!-- /coverage -->"
        start = text.find(begin)
        stop = text.find(end, start)
        if start < 0 or stop < 0:
            raise SpecError("document", DOCUMENT.name, f"a table between {begin.strip()} and {end.strip()}")
        text = text[: start + len(begin)] + "\n" + content + text[stop:]
    return text
