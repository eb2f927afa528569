# SPDX-License-Identifier: Apache-2.0
"""What the battery found of one generator, and the table of all of them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from hw.spec.errors import SpecError
from hw.spec.noise import GENERATORS

REPORT_FOLDER = Path("docs/reference/noise")
"""Where full runs keep their reports, one file for each generator, in the checkout."""

DOCUMENT = Path("docs/reference/noise.md")
"""The document that shows them, in the checkout."""

BEGIN, END = "<!-- noise:table -->", "<!-- /noise -->"
"""Lines around the table in `DOCUMENT`."""

RANK_SIZES = (512, 2048, 8192)
"""Sizes of the GF(2) matrices."""

BIAS = "bias of single bits"
LAGS = "bit correlations at lags 0 to 1024"
STREAMS = "bit correlations of streams and lanes"
RANK_WORDS = {n: f"GF(2) rank {n}, whole words" for n in RANK_SIZES}
RANK_BITS = {n: f"GF(2) rank {n}, bit 0" for n in RANK_SIZES}
COMPLEXITY = "linear complexity of every bit"
FIPS = "FIPS 140-2 (own code)"
RNGTEST = "FIPS 140-2 (rngtest)"
ENT = "ent"
DIEHARDER = "dieharder"
TESTU01 = "TestU01 SmallCrush"

PROGRAMS = (RNGTEST, ENT, DIEHARDER, TESTU01)
"""Checks that need a program or library of others."""

MUST_FAIL = {
    "lfsr": (LAGS, RANK_WORDS[512], RANK_BITS[512], COMPLEXITY, FIPS, RNGTEST, DIEHARDER),
    "lfsr-leap": (RANK_WORDS[512], RANK_BITS[512], COMPLEXITY),
}
"""Checks that see a known weakness: a battery in which one of them passes, if it was run, has lost its power."""


class Status(StrEnum):
    """Outcome of a check."""

    PASS = "pass"
    FAIL = "FAIL"
    NOT_RUN = "not run"


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """One check of one generator.

    Parameters
    ----------
    name : str
        Row of the table.
    status : Status
    figure : str
        What was measured, or why the check was not run.
    p : float or None
        p-value; None where the check has none.
    """

    name: str
    status: Status
    figure: str
    p: float | None = None

    @property
    def cell(self) -> str:
        """The result as a cell of the table."""
        status = "**FAIL**" if self.status is Status.FAIL else str(self.status)
        return f"{status}: {self.figure}"


@dataclass(kw_only=True)
class NoiseReport:
    """One run of the battery on one generator.

    Parameters
    ----------
    generator : str
    seed : int
    lanes, streams : int
    words : int
        Words of all streams that went into the correlations.
    quick : bool
        Whether the sizes were those of `--quick`.
    checks : list of CheckResult
        In the order in which they were made.
    """

    generator: str
    seed: int
    lanes: int
    streams: int
    words: int
    quick: bool
    checks: list[CheckResult] = field(default_factory=list)

    def unexpected(self) -> list[str]:
        """What differs from what is known of the generator, a line each; empty for a run that went as it should.

        A generator without known weakness may fail nothing; one that has some must fail the checks that see them.
        """
        known = MUST_FAIL.get(self.generator, ())
        wrong = []
        for check in self.checks:
            if check.status is Status.FAIL and not known:
                wrong.append(f"{self.generator} fails {check.name}: {check.figure}")
            if check.status is Status.PASS and check.name in known:
                wrong.append(f"{self.generator} passes {check.name}, which must see it: {check.figure}")
        return wrong

    def with_rows_of(self, stored: "NoiseReport") -> "NoiseReport":
        """This report with the rows of `stored` for programs of others that were not run now.

        The same words give the same own checks, so these tell whether the stored rows are about them.

        Raises
        ------
        SpecError
            There is such a row, and it is about other words: this report cannot take the place of the stored one.
        """
        lacking = {check.name for check in self.checks if check.status is Status.NOT_RUN and check.name in PROGRAMS}
        kept = {row.name: row for row in stored.checks if row.status is not Status.NOT_RUN and row.name in lacking}
        if kept and self._own() != stored._own():
            raise SpecError("report", ", ".join(kept), f"run: the stored rows of {self.generator} are of other words")
        return replace(self, checks=[kept.get(check.name, check) for check in self.checks])

    def _own(self) -> tuple[object, ...]:
        """What the words determine, without the programs of others."""
        own = [check for check in self.checks if check.name not in PROGRAMS]
        return self.generator, self.seed, self.lanes, self.streams, self.words, self.quick, own

    def to_json(self) -> str:
        """The report as JSON; `from_json` reads it back."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "NoiseReport":
        """A report that `to_json` wrote."""
        fields = json.loads(text)
        fields["checks"] = [CheckResult(**{**check, "status": Status(check["status"])}) for check in fields["checks"]]
        return cls(**fields)


def read_reports(folder: Path) -> list[NoiseReport]:
    """Stored reports, in the order of `hw.spec.noise.GENERATORS`."""
    paths = [folder / f"{name}.json" for name in GENERATORS]
    return [NoiseReport.from_json(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def markdown_table(reports: Iterable[NoiseReport]) -> str:
    """A column for each generator, a row for each check of any of them."""
    columns = list(reports)
    if not columns:
        return "No report is stored: run `make noise`.\n"
    rows = list(dict.fromkeys(check.name for report in columns for check in report.checks))
    lines = [
        "| Check | " + " | ".join(f"`{report.generator}`" for report in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
        "| words in the correlations | " + " | ".join(f"{report.words:,}" for report in columns) + " |",
    ]
    for name in rows:
        cells = [next((c.cell for c in report.checks if c.name == name), "not run") for report in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    failed = [sum(check.status is Status.FAIL for check in report.checks) for report in columns]
    made = [sum(check.status is not Status.NOT_RUN for check in report.checks) for report in columns]
    verdicts = [
        f"**{bad} of {all_} fail**" if bad else f"all {all_} pass" for bad, all_ in zip(failed, made, strict=True)
    ]
    lines.append("| **in all** | " + " | ".join(verdicts) + " |")
    return "\n".join(lines) + "\n"


def rewrite_document(text: str, reports: Iterable[NoiseReport]) -> str:
    """`text` with the table between `BEGIN` and `END` made anew. Raises SpecError where these lines are missing."""
    begin, end = text.find(BEGIN + "\n"), text.find("\n" + END)
    if begin < 0 or end < begin:
        raise SpecError("document", DOCUMENT.name, f"a table between {BEGIN} and {END}")
    return text[: begin + len(BEGIN)] + "\n\n" + markdown_table(reports) + text[end:]
