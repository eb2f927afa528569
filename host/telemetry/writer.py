# SPDX-License-Identifier: Apache-2.0
"""Writes `steps.jsonl` batch by batch: memory is bounded by one slice of rows, and every batch is flushed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import numpy.typing as npt

from .files import PART_SUFFIX, output_error
from .schema import STEP_FIELDS, STEP_SCHEMA_VERSION

SLICE_ROWS = 8192
"""Rows held in memory at a time."""

_VARYING = ("step", "tsu_latency_ms", "verifier_latency_ms", "num_accepted_tokens", "first_reject")


class StepWriter:
    """Rows of a run with one draft per step (L = 1, n_drafts = 1).

    The file is called `steps.jsonl.part` until `close`, which renames it; a run that dies leaves its rows under the
    `.part` name.

    Parameters
    ----------
    path : Path
        Final name.
    constants : Mapping
        Values of every field that does not change from step to step.

    Raises
    ------
    ValueError
        `constants` are not the fields that `STEP_FIELDS` asks for.
    OutputError
        The file cannot be written.
    """

    def __init__(self, path: Path, constants: Mapping[str, object]) -> None:
        constants = {"schema_version": STEP_SCHEMA_VERSION, "L": 1, "n_drafts": 1, **constants}
        if set(constants) | set(_VARYING) != set(STEP_FIELDS) or set(constants) & set(_VARYING):
            raise ValueError(f"constants are {sorted(constants)}: expected {sorted(set(STEP_FIELDS) - set(_VARYING))}")
        self.path = path
        self.rows = 0
        self._constants = constants
        self._part = path.with_name(path.name + PART_SUFFIX)
        try:
            self._file: BinaryIO | None = self._part.open("wb")
        except OSError as error:
            raise output_error(path, error) from None

    def append(self, *, accepted: npt.NDArray[np.bool_], tsu_s: float, verifier_s: float) -> None:
        """Write one row per entry of `accepted` (shape (n,)) and flush.

        Parameters
        ----------
        accepted : bool ndarray of shape (n,)
        tsu_s, verifier_s : float
            Seconds that the whole batch took; each row gets the n-th part.

        Raises
        ------
        OutputError
            The disk is full, or the file is gone.
        """
        if self._file is None:
            raise ValueError("the writer is closed")
        if len(accepted) == 0:
            return
        tsu_ms, verifier_ms = (round(1e3 * seconds / len(accepted), 9) for seconds in (tsu_s, verifier_s))
        refused_row, accepted_row = (self._template(tsu_ms, verifier_ms, flag) for flag in (False, True))
        try:
            for start in range(0, len(accepted), SLICE_ROWS):
                flags = accepted[start : start + SLICE_ROWS].tolist()
                first = self.rows + start
                text = "".join((accepted_row if flag else refused_row) % (first + i) for i, flag in enumerate(flags))
                self._file.write(text.encode())
            self._file.flush()
        except OSError as error:
            raise output_error(self.path, error) from None
        self.rows += len(accepted)

    def _template(self, tsu_ms: float, verifier_ms: float, accepted: bool) -> str:
        """The row as a %-format whose only gap is the step."""
        values = {
            **self._constants,
            "tsu_latency_ms": tsu_ms,
            "verifier_latency_ms": verifier_ms,
            "num_accepted_tokens": int(accepted),
            "first_reject": None if accepted else 0,
        }
        cells = []
        for name in STEP_FIELDS:
            cell = "%d" if name == "step" else json.dumps(values[name], allow_nan=False).replace("%", "%%")
            cells.append(f'"{name}": {cell}')
        return "{" + ", ".join(cells) + "}\n"

    def close(self) -> None:
        """Flush to disk and give the file its final name. Closing twice is harmless.

        Raises
        ------
        OutputError
            The disk is full; the rows that fitted stay under the `.part` name.
        """
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            with file:
                file.flush()
                os.fsync(file.fileno())
            os.replace(self._part, self.path)
        except OSError as error:
            raise output_error(self.path, error) from None

    def abandon(self) -> None:
        """Close without renaming: the rows stay under the `.part` name."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()
