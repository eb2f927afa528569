# SPDX-License-Identifier: Apache-2.0
"""Writes `steps.jsonl` batch by batch: memory is bounded by one slice of rows, and `flush` makes them safe."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import numpy.typing as npt

from .files import PART_SUFFIX, OutputError, output_error
from .schema import STEP_FIELDS, STEP_SCHEMA_VERSION

SLICE_ROWS = 8192
"""Rows held in memory at a time."""

_VARYING = ("step", "text", "tsu_latency_ms", "verifier_latency_ms", "num_accepted_tokens", "first_reject")


class StepWriter:
    """Rows of a run. L and n_drafts are 1 unless the constants or the changing fields say otherwise.

    The file is called `steps.jsonl.part` until `close`, which renames it; a run that dies leaves its rows under the
    `.part` name.

    Parameters
    ----------
    path : Path
        Final name.
    constants : Mapping
        Values of fields that do not change from step to step.
    changing : sequence of str
        Names of the other fields, whose values `append` is given for each batch.

    Raises
    ------
    ValueError
        `constants` and `changing` are not the fields that `STEP_FIELDS` asks for.
    OutputError
        The file cannot be written.
    """

    def __init__(self, path: Path, constants: Mapping[str, object], changing: Sequence[str] = ()) -> None:
        ones = {name: 1 for name in ("L", "n_drafts") if name not in changing}
        constants = {"schema_version": STEP_SCHEMA_VERSION, **ones, **constants}
        needed = set(STEP_FIELDS) - set(_VARYING) - set(changing)
        if set(constants) != needed:
            raise ValueError(f"constants are {sorted(constants)}: expected {sorted(needed)}")
        self._changing = frozenset(changing)
        self.path = path
        self.rows = 0
        self._constants = constants
        self._waiting, self._waiting_rows = "", 0
        self._failed: OutputError | None = None
        self._part = path.with_name(path.name + PART_SUFFIX)
        try:
            self._file: BinaryIO | None = self._part.open("wb")
        except OSError as error:
            raise output_error(path, error) from None

    def append(
        self,
        *,
        accepted: npt.NDArray[np.bool_ | np.integer[Any]],
        tsu_s: float,
        verifier_s: float,
        texts: npt.NDArray[np.intp] | None = None,
        **fields: object,
    ) -> None:
        """Write one row per entry of `accepted` (shape (n,)).

        Rows reach the disk at `flush`, and whenever `SLICE_ROWS` of them have gathered.

        Parameters
        ----------
        accepted : bool or integer ndarray of shape (n,)
            Accepted drafts of each step, in [0, L].
        tsu_s, verifier_s : float
            Seconds that the whole batch took; each row gets the n-th part.
        texts : intp ndarray of shape (n,), or None
            Field `text` of each row; None: null.
        fields : values of the fields named `changing`, the same for the whole batch

        Raises
        ------
        ValueError
            The writer is closed, or `fields` are not those that change.
        OutputError
            The disk is full, or the file is gone.
        """
        if self._file is None:
            raise ValueError("the writer is closed")
        if fields.keys() != self._changing:
            raise ValueError(f"fields are {sorted(fields)}: expected {sorted(self._changing)}")
        if len(accepted) == 0:
            return
        tsu_ms, verifier_ms = (round(1e3 * seconds / len(accepted), 9) for seconds in (tsu_s, verifier_s))
        rows = {
            count: self._template(tsu_ms, verifier_ms, int(count), fields) for count in np.unique(accepted).tolist()
        }
        for start in range(0, len(accepted), SLICE_ROWS):
            counts = accepted[start : start + SLICE_ROWS].tolist()
            names = ["null"] * len(counts) if texts is None else texts[start : start + SLICE_ROWS].tolist()
            first = self.rows + start
            self._waiting += "".join(
                rows[count] % (first + i, name) for i, (count, name) in enumerate(zip(counts, names, strict=True))
            )
            self._waiting_rows += len(counts)
            if self._waiting_rows >= SLICE_ROWS:
                self.flush()
        self.rows += len(accepted)

    def flush(self) -> None:
        """Give all rows to the operating system.

        Raises
        ------
        OutputError
            The disk is full, or the file is gone.
        """
        if self._file is None:
            return
        text, self._waiting, self._waiting_rows = self._waiting, "", 0
        try:
            self._file.write(text.encode())
            self._file.flush()
        except OSError as error:
            self._failed = output_error(self.path, error)
            raise self._failed from None

    def _template(self, tsu_ms: float, verifier_ms: float, accepted: int, fields: Mapping[str, object]) -> str:
        """The row as a %-format with two gaps, step and text."""
        values = {
            **self._constants,
            **fields,
            "tsu_latency_ms": tsu_ms,
            "verifier_latency_ms": verifier_ms,
            "num_accepted_tokens": accepted,
        }
        values["first_reject"] = None if accepted == values["L"] else accepted
        gaps = {"step": "%d", "text": "%s"}
        cells = []
        for name in STEP_FIELDS:
            cell = gaps.get(name) or json.dumps(values[name], allow_nan=False).replace("%", "%%")
            cells.append(f'"{name}": {cell}')
        return "{" + ", ".join(cells) + "}\n"

    def close(self) -> None:
        """Flush to disk and give the file its final name. Closing twice is harmless.

        Raises
        ------
        OutputError
            The disk is full; the rows that fitted stay under the `.part` name.
        """
        file = self._file
        if file is None:
            return
        try:
            with file:
                if self._failed is not None:  # rows are missing
                    raise self._failed
                self.flush()
                os.fsync(file.fileno())
            os.replace(self._part, self.path)
        except OutputError:
            raise
        except OSError as error:
            raise output_error(self.path, error) from None
        finally:
            self._file = None

    def abandon(self) -> None:
        """Close without renaming: the rows stay under the `.part` name, those not yet flushed where there is room."""
        if self._file is not None:
            with suppress(OSError), self._file:
                self.flush()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()
