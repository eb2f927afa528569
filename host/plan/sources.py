# SPDX-License-Identifier: Apache-2.0
"""The contexts that a plan is made for: generated targets, or rows of a file."""

from pathlib import Path

import numpy as np

from host.targets.categorical import SEED_LIMIT, SUM_TOLERANCE, TargetError, from_file, make_target
from hw.spec.errors import SpecError, check_int

from .acceptance import Rows

CONTEXTS_MAX = 4096
"""Most contexts of a plan."""


def make_targets(
    *, pgen: str, vocab_size: int | None, alpha: float, seed: int, contexts: int, file: Path | None
) -> Rows:
    """p of each context, float64 of shape (contexts, V).

    Parameters
    ----------
    pgen, vocab_size, alpha, file
        See `host.targets.categorical.make_target`. A .npy file may also have the shape (contexts, V).
    seed : int
        Of the first context; the next has `seed + 1`, and so on.
    contexts : int
        Generated targets, in [1, 4096]; 1 with a file, which brings its own number.

    Raises
    ------
    SpecError, TargetError
        An argument is outside its range, or the file holds no distributions.
    """
    count = check_int("contexts", contexts, 1, CONTEXTS_MAX)
    check_int("seed", seed, 0, SEED_LIMIT - count + 1)
    if pgen == "file" and file is not None:
        if count != 1:
            raise SpecError("contexts", count, "1 with pgen file: the rows of the file are the contexts")
        rows = _read_rows(file)
        if rows is not None:
            if vocab_size is not None and vocab_size != rows.shape[1]:
                raise SpecError("vocab_size", vocab_size, f"{rows.shape[1]}, the columns of {str(file)!r}")
            return rows
    return np.stack(
        [
            make_target(pgen=pgen, vocab_size=vocab_size, alpha=alpha, seed=seed + i, file=file)
            for i in range(count)
        ]
    )  # fmt: skip


def _read_rows(path: Path) -> Rows | None:
    """Rows of a .npy file of two dimensions, each normalised; None where it is none."""
    if path.suffix.lower() != ".npy":
        return None
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        from_file(path)  # says what is wrong
        raise
    if not isinstance(values, np.ndarray) or values.ndim != 2 or values.dtype.kind not in "fiu":
        return None
    rows = values.astype(np.float64)
    if not 1 <= len(rows) <= CONTEXTS_MAX:
        raise TargetError(f"target = {str(path)!r} has {len(rows)} rows: expected 1 to {CONTEXTS_MAX}")
    for number, row in enumerate(rows):
        if not (np.isfinite(row) & (row >= 0)).all() or abs(float(row.sum()) - 1) > SUM_TOLERANCE:
            raise TargetError(f"target = {str(path)!r}: row {number}: expected finite probabilities with sum 1")
    normalised: Rows = rows / rows.sum(axis=1, keepdims=True)
    return normalised
