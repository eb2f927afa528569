# SPDX-License-Identifier: Apache-2.0
"""The learning log: a JSON object per measurement, one a line."""

import json
from collections.abc import Mapping
from pathlib import Path

from host.telemetry.files import output_error, whole_file
from hw.spec.errors import SpecError

LOG = "log.jsonl"
"""Name of the log in a run's folder."""


def append_row(folder: Path, row: Mapping[str, object]) -> None:
    """Add one row to the log.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    path = folder / LOG
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")
    except OSError as error:
        raise output_error(path, error) from None


def read_rows(folder: Path) -> list[dict[str, float]]:
    """All whole rows; a last line that a crash cut off is left out.

    Raises
    ------
    SpecError
        There is no log, or a line before the last is no JSON.
    """
    try:
        lines = (folder / LOG).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SpecError("log", str(folder / LOG), f"a readable log: {error.strerror}") from None
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise SpecError(f"line {number} of the log", line[:40], "one JSON object") from None
    return rows


def drop_rows_after(folder: Path, step: int) -> None:
    """Keep the rows of the first `step` steps; without a log nothing happens."""
    if not (folder / LOG).exists():
        return
    kept = [row for row in read_rows(folder) if row["step"] <= step]
    with whole_file(folder / LOG) as file:
        file.writelines(json.dumps(row, allow_nan=False).encode() + b"\n" for row in kept)
