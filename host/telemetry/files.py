# SPDX-License-Identifier: Apache-2.0
"""Result files that appear whole or not at all, and a folder of its own for each run."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from hw.spec.errors import SpecError

RUNS = Path("runs")
"""Where run folders are made when none is named."""

PART_SUFFIX = ".part"
"""Ends the name of a file that is still being written."""

RESULT_NAMES = ("config.json", "summary.json", "steps.jsonl")
"""Files of a run folder."""


class OutputError(OSError):
    """A result cannot be written. The message is one line that names the path."""


def output_error(path: Path, error: OSError) -> OutputError:
    """The one line for an operating-system error on `path`."""
    return OutputError(f"{str(path)!r} cannot be written: {error.strerror or error}")


def check_destination(field: str, path: Path, folder: Path | None = None) -> Path:
    """Return the resolved path, or raise `SpecError` unless a regular file can be put there.

    Parameters
    ----------
    field : str
        Name of the option.
    path : Path
    folder : Path or None
        Run folder, which may not exist yet; the file may lie in it, but must not be one of `RESULT_NAMES`.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise SpecError(field, str(path), "the name of a regular file")
    if folder is not None and target.parent == folder.resolve():
        if target.name in RESULT_NAMES:
            raise SpecError(field, str(path), "another name than " + ", ".join(RESULT_NAMES) + " in the run folder")
        return target
    if not target.parent.is_dir():
        raise SpecError(field, str(path), f"a file in an existing folder; {str(target.parent)!r} is none")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise SpecError(field, str(path), f"a file in a writable folder; {str(target.parent)!r} is not")
    return target


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` + ".part" for writing; when the block ends without an error, flush it to disk and rename it.

    Raises
    ------
    OutputError
        The file cannot be written; nothing is left behind.
    """
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise output_error(path, error) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write one JSON object, whole or not at all; NaN and infinity are refused by ValueError."""
    with whole_file(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Folder of one run.

    Parameters
    ----------
    path : Path
    run_id : str
        UTC start time, to the microsecond.
    """

    path: Path
    run_id: str


def open_run_folder(out: Path | None) -> RunFolder:
    """Make the folder of a run: `out`, or a new `runs/<UTC time>`. Results of an earlier run in `out` are removed.

    Raises
    ------
    OutputError
        The folder cannot be made or written.
    """
    run_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = RUNS / run_id if out is None else out
    try:
        if out is None:
            path = _new_folder(path)
            run_id = path.name
        else:
            path.mkdir(parents=True, exist_ok=True)
            for name in RESULT_NAMES:
                (path / name).unlink(missing_ok=True)
                (path / (name + PART_SUFFIX)).unlink(missing_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise OutputError(f"{str(path)!r} cannot be written: Permission denied")
    except OutputError:
        raise
    except OSError as error:
        raise output_error(path, error) from None
    return RunFolder(path=path, run_id=run_id)


def _new_folder(path: Path) -> Path:
    """Make `path`, or `path`-2, -3, ... when another run took the name: mkdir decides who has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    candidate, number = path, 1
    while True:
        try:
            candidate.mkdir()
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.name}-{number}")
        else:
            return candidate
