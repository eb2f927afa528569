# SPDX-License-Identifier: Apache-2.0
"""What a campaign found, stored as JSON, and the tables of docs/reference/mutants.md."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from hw.spec.errors import SpecError

REPORT_FOLDER = Path("docs/reference/mutants")
"""Where full runs keep their reports, one file for each target, in the checkout."""

DOCUMENT = Path("docs/reference/mutants.md")
"""The document that shows them, in the checkout."""

BEGIN, END = "<!-- mutants:table -->", "<!-- /mutants -->"
"""Lines around the tables in `DOCUMENT`."""

LEAST_TRIED, LEAST_SHARE = 1000, 0.99
"""The bar: mutants in all, and killed ones of those that are not equivalent."""


@dataclass(frozen=True, kw_only=True)
class Survivor:
    """A mutant that the work did not kill.

    Parameters
    ----------
    text : str
        `Mutant.text`.
    equivalent : bool
        Whether it is known to behave as the TSU does; it does not count in the score then.
    reason : str
        How that is known, or why it lives; empty for an unexplained one.
    """

    text: str
    equivalent: bool
    reason: str


@dataclass(kw_only=True)
class MutationReport:
    """One campaign on one target.

    Parameters
    ----------
    target, meaning : str
    seed : int
        Of the list of mutants and of the work.
    cycles, draws, commands : int
        Size of the work.
    tried : int
    killed : dict of str to int
        By what the bench saw first.
    components : dict of str to [int, int]
        Tried and killed in each component.
    survivors : list of Survivor
    """

    target: str
    meaning: str
    seed: int
    cycles: int
    draws: int
    commands: int
    tried: int
    killed: dict[str, int] = field(default_factory=dict)
    components: dict[str, list[int]] = field(default_factory=dict)
    survivors: list[Survivor] = field(default_factory=list)

    @property
    def dead(self) -> int:
        """Mutants killed."""
        return sum(self.killed.values())

    @property
    def equivalent(self) -> int:
        """Survivors that behave as the TSU does."""
        return sum(survivor.equivalent for survivor in self.survivors)

    def to_json(self) -> str:
        """The report as JSON; `from_json` reads it back."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "MutationReport":
        """A report that `to_json` wrote."""
        fields = json.loads(text)
        fields["survivors"] = [Survivor(**survivor) for survivor in fields["survivors"]]
        return cls(**fields)


def score(reports: Iterable[MutationReport]) -> float:
    """Killed mutants by all that are not equivalent; 0 where there are none."""
    rows = list(reports)
    different = sum(report.tried - report.equivalent for report in rows)
    return sum(report.dead for report in rows) / different if different else 0.0


def failures(reports: Sequence[MutationReport], *, count: bool) -> list[str]:
    """What is below the bar, a line each; the number of mutants only with `count`."""
    tried, share = sum(report.tried for report in reports), score(reports)
    found = []
    if count and tried < LEAST_TRIED:
        found.append(f"{tried} mutants were tried, the bar is {LEAST_TRIED}")
    if share < LEAST_SHARE:
        found.append(f"{share:.2%} of the mutants that are not equivalent were killed, the bar is {LEAST_SHARE:.0%}")
    return found


def read_reports(folder: Path, names: Iterable[str]) -> list[MutationReport]:
    """Stored reports of these targets."""
    paths = [folder / f"{name}.json" for name in names]
    return [MutationReport.from_json(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def _row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _summary(reports: Sequence[MutationReport]) -> list[str]:
    lines = [_row(["Target", "Mutants", "Killed", "Equivalent", "Alive", "Score"]), "|---|---|---|---|---|---|"]
    for report in reports:
        alive = len(report.survivors) - report.equivalent
        cells = [f"`{report.target}`: {report.meaning}", f"{report.tried:,}", f"{report.dead:,}", report.equivalent]
        lines.append(_row([*cells, alive, f"{score([report]):.2%}"]))
    tried, dead = sum(r.tried for r in reports), sum(r.dead for r in reports)
    equivalent = sum(r.equivalent for r in reports)
    alive = tried - dead - equivalent
    share = f"**{score(reports):.2%}**"
    return [*lines, _row(["**in all**", f"{tried:,}", f"{dead:,}", equivalent, alive, share])]


def _components(reports: Sequence[MutationReport]) -> list[str]:
    totals: dict[str, list[int]] = {}
    for report in reports:
        for name, (tried, killed) in report.components.items():
            row = totals.setdefault(name, [0, 0])
            row[0] += tried
            row[1] += killed
    lines = [_row(["Component", "Mutants", "Killed"]), "|---|---|---|"]
    return lines + [_row([f"`{name}`", *row]) for name, row in sorted(totals.items())]


def _verdicts(reports: Sequence[MutationReport]) -> list[str]:
    names = dict.fromkeys(name for report in reports for name in report.killed)
    counts = {name: sum(report.killed.get(name, 0) for report in reports) for name in names}
    lines = [_row(["Seen first as", "Mutants"]), "|---|---|"]
    return lines + [_row(item) for item in sorted(counts.items(), key=lambda item: -item[1])]


def _survivors(reports: Sequence[MutationReport]) -> list[str]:
    lines = [_row(["Target", "Survivor", "Equivalent", "Why"]), "|---|---|---|---|"]
    for report in reports:
        for survivor in report.survivors:
            equivalent = "yes" if survivor.equivalent else "no"
            lines.append(_row([report.target, f"`{survivor.text}`", equivalent, survivor.reason or "not explained"]))
    return lines


def markdown(reports: Sequence[MutationReport]) -> str:
    """All tables."""
    if not reports:
        return "No report is stored: run `make mutants`.\n"
    parts = [_summary(reports), _verdicts(reports), _components(reports), _survivors(reports)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def rewrite_document(text: str, reports: Sequence[MutationReport]) -> str:
    """`text` with the tables between `BEGIN` and `END` made anew. Raises SpecError where these lines are missing."""
    begin, end = text.find(BEGIN + "\n"), text.find("\n" + END)
    if begin < 0 or end < begin:
        raise SpecError("document", DOCUMENT.name, f"tables between {BEGIN} and {END}")
    return text[: begin + len(BEGIN)] + "\n\n" + markdown(reports) + text[end:]
