# SPDX-License-Identifier: Apache-2.0
"""Target distributions p over a vocabulary: Dirichlet, permuted Zipf, or read from a file."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

PGENS = ("dirichlet", "zipf", "file")
"""Sources of p by name."""

SEED_LIMIT = (1 << 64) - 1
"""Largest seed."""

SUM_TOLERANCE = 1e-6
"""Largest |sum(p) - 1| of a file; within it, p is normalised."""

ALPHA_LIMIT = 1e6
"""Largest concentration (Dirichlet) or exponent (Zipf)."""


class TargetError(ValueError):
    """A target file is missing, unreadable, or holds no distribution. The message is one line."""


def check_alpha(field: str, alpha: float) -> float:
    """Return a concentration or exponent, or raise `SpecError` unless it is finite and in (0, `ALPHA_LIMIT`]."""
    if not (math.isfinite(alpha) and 0 < alpha <= ALPHA_LIMIT):
        raise SpecError(field, alpha, f"a finite number in (0, {ALPHA_LIMIT:g}]")
    return float(alpha)


def generator(seed: int) -> np.random.Generator:
    """`Generator(PCG64(seed))`, for a seed in [0, 2**64 - 1]."""
    return np.random.Generator(np.random.PCG64(check_int("seed", seed, 0, SEED_LIMIT)))


def dirichlet(*, vocab_size: int, alpha: float, seed: int) -> npt.NDArray[np.float64]:
    """One draw of a symmetric Dirichlet: `Generator(PCG64(seed)).dirichlet(alpha * ones(vocab_size))`.

    Raises
    ------
    SpecError
        An argument is out of range, or alpha is so small that every component underflows to 0.
    """
    size = check_int("vocab_size", vocab_size, 1, VOCAB_LIMIT)
    p = generator(seed).dirichlet(np.full(size, check_alpha("alpha", alpha)))
    if not np.all(np.isfinite(p)) or not p.any():
        raise SpecError("alpha", alpha, f"large enough for a Dirichlet over {size} tokens in float64")
    return p


def zipf(*, vocab_size: int, alpha: float, seed: int) -> npt.NDArray[np.float64]:
    """p proportional to rank^-alpha, with the ranks given to token ids by a seeded permutation.

    The ids are permuted because sorted ids would cost almost no bytes, and byte counts would mean nothing.
    """
    size = check_int("vocab_size", vocab_size, 1, VOCAB_LIMIT)
    with np.errstate(under="ignore"):
        mass = np.exp(-check_alpha("alpha", alpha) * np.log(np.arange(1, size + 1, dtype=np.float64)))
    p = np.empty(size)
    p[generator(seed).permutation(size)] = mass / mass.sum()
    return p


def from_file(path: Path | str) -> npt.NDArray[np.float64]:
    """Read p from `.npy` (shape (V,)) or text with one probability a line (blank lines and `#` comments allowed).

    Returns
    -------
    float64 ndarray of shape (V,)
        Normalised to sum 1; zeros allowed.

    Raises
    ------
    TargetError
        The file cannot be read, has another shape, a NaN or negative entry, or sums to 1 only outside 1e-6.
    """
    path = Path(path)
    try:
        values = _read_npy(path) if path.suffix.lower() == ".npy" else _read_text(path)
    except OSError as error:
        raise TargetError(f"target = {str(path)!r} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise TargetError(f"target = {str(path)!r} is neither .npy nor text with one probability a line") from None
    if not 1 <= len(values) <= VOCAB_LIMIT:
        raise TargetError(f"target = {str(path)!r} has {len(values)} entries: expected 1 to {VOCAB_LIMIT}")
    bad = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(bad):
        raise TargetError(
            f"target = {str(path)!r}: entry {bad[0]} is {values[bad[0]]}: expected a finite probability, at least 0"
        )
    total = math.fsum(values)
    if abs(total - 1) > SUM_TOLERANCE:
        raise TargetError(f"target = {str(path)!r}: sum = {total:.9g}: expected 1 within {SUM_TOLERANCE:g}")
    normalised: npt.NDArray[np.float64] = values / total
    return normalised


def _read_npy(path: Path) -> npt.NDArray[np.float64]:
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        raise TargetError(f"target = {str(path)!r} is not a .npy file of numbers") from None
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        shape = getattr(values, "shape", "several arrays")
        raise TargetError(f"target = {str(path)!r} has shape {shape}: expected (V,)")
    if values.dtype.kind not in "fiu":
        raise TargetError(f"target = {str(path)!r} has dtype {values.dtype}: expected real numbers")
    return values.astype(np.float64)


def _read_text(path: Path) -> npt.NDArray[np.float64]:
    values: list[float] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            text = line.split("#", 1)[0].strip()
            if not text:
                continue
            try:
                values.append(float(text))
            except ValueError:
                raise TargetError(
                    f"target = {str(path)!r}: line {number} is {text[:40]!r}: expected one probability"
                ) from None
    return np.array(values, dtype=np.float64)


def make_target(
    *, pgen: str, vocab_size: int | None, alpha: float, seed: int, file: Path | str | None
) -> npt.NDArray[np.float64]:
    """p from the source named `pgen`; a given `vocab_size` must equal the length of a file.

    Raises
    ------
    SpecError, TargetError
        See `dirichlet`, `zipf`, `from_file`; also an unknown source, a missing file name, or one without use.
    """
    if pgen not in PGENS:
        raise SpecError("pgen", pgen, "one of " + ", ".join(PGENS))
    if pgen != "file":
        if file is not None:
            raise SpecError("target", str(file), f"no file with pgen {pgen}; choose pgen file to read it")
        if vocab_size is None:
            raise SpecError("vocab_size", vocab_size, f"an integer in [1, {VOCAB_LIMIT}]")
        make = dirichlet if pgen == "dirichlet" else zipf
        return make(vocab_size=vocab_size, alpha=alpha, seed=seed)
    if file is None:
        raise SpecError("target", None, "a .npy or text file with pgen file")
    p = from_file(file)
    if vocab_size is not None and vocab_size != len(p):
        raise SpecError("vocab_size", vocab_size, f"{len(p)}, the entries of {str(file)!r} (or not given)")
    return p
