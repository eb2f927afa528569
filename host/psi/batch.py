# SPDX-License-Identifier: Apache-2.0
"""Many psi at once, and the laws that a TSU will draw from: what acceptance is measured with."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

from .craft import DRAFTS_MAX, SUM_TOLERANCE, check_craft
from .quantise import QuantisedRows, quantise_rows
from .schema import Psi

CHUNK_ENTRIES = 1 << 16
"""Probabilities that are worked on at a time: an array of them, 512 KiB, stays in the cache."""


def craft_batch(p: npt.ArrayLike, k: int, tau: float = 1.0, eps: float | str = "auto", drafts: int = 1) -> list[Psi]:
    """The psi of each row, equal to `[craft_psi(row, k, tau, eps, drafts) for row in p]`.

    Parameters
    ----------
    p : float array of shape (B, V)
        Probabilities, >= 0, each row's sum within 1e-6 of 1. B may be 0.
    k : int
        Most ids of a psi, in [1, min(V, 1024)].
    tau, eps, drafts
        See `craft_psi`.

    Raises
    ------
    SpecError
        A parameter is outside its range.
    """
    return [rows.psi(r) for _, rows in _quantised(p, k, tau, eps, drafts) for r in range(len(rows.counts))]


def craft_among(
    p: npt.ArrayLike,
    tokens: npt.NDArray[np.int64],
    vocab_size: int,
    k: int,
    tau: float = 1.0,
    eps: float | str = "auto",
    rest: npt.NDArray[np.float64] | None = None,
) -> list[Psi]:
    """The psi of each row of p over some tokens of a larger vocabulary.

    Without a rest it is `craft_batch` of the rows filled up with zeros; a rest is spread among the tokens that psi does
    not carry.

    Parameters
    ----------
    p : float array of shape (B, M)
        Probabilities of the tokens, each row's sum with its rest within 1e-6 of 1.
    tokens : int64 ndarray of shape (M,)
        Their ids, strictly increasing, below `vocab_size`.
    vocab_size : int
        V.
    k : int
        Most ids of a psi, in [1, min(M, 1024)].
    tau, eps
        See `craft_psi`.
    rest : float64 ndarray of shape (B,), or None
        Probability of all other tokens of the vocabulary together, >= 0; None: 0.

    Raises
    ------
    SpecError
        A parameter is outside its range.
    """
    array = _rows(p)
    check_int("vocab_size", vocab_size, 1, VOCAB_LIMIT)
    if tokens.shape != array.shape[1:] or tokens[0] < 0 or tokens[-1] >= vocab_size or (np.diff(tokens) <= 0).any():
        raise SpecError("tokens", tokens.shape, f"{array.shape[1]} increasing ids below {vocab_size}")
    k, tau, floor = check_craft(vocab_size=array.shape[1], k=k, tau=tau, eps=eps)
    rest = np.zeros(len(array)) if rest is None else rest
    if rest.shape != array.shape[:1] or not (np.isfinite(rest) & (rest >= 0)).all():
        raise SpecError("rest", rest.tolist(), f"{len(array)} finite numbers >= 0")
    values = _checked(array, 0, "p", rest)
    rows = quantise_rows(values, k=k, tau=tau, floor=floor, tokens=tokens, vocab_size=vocab_size, rest=rest)
    return [rows.psi(r) for r in range(len(array))]


def craft_laws(p: npt.ArrayLike, k: int, tau: float = 1.0, eps: float | str = "auto") -> npt.NDArray[np.float64]:
    """F(psi) of each row's psi, float64 of shape (B, V): `craft_batch` and `host.golden.real`, without the objects.

    Parameters and errors are those of `craft_batch`.
    """
    shape = _rows(p).shape
    laws = np.empty(shape)
    for part, rows in _quantised(p, k, tau, eps):
        laws[part] = _laws(rows)
    return laws


def overlaps(
    p: npt.ArrayLike, q: npt.ArrayLike, k: int, tau: float = 1.0, eps: float | str = "auto"
) -> npt.NDArray[np.float64]:
    """Acceptance of one draft from the psi of q when the target is p: sum_x min(p, F(psi(q))) of each row.

    Parameters
    ----------
    p, q : float arrays of shape (B, V)
        Target and proposer; both are checked like the p of `craft_batch`.
    k, tau, eps
        How the psi of q is made.

    Returns
    -------
    float64 ndarray of shape (B,)

    Raises
    ------
    SpecError
        A parameter is outside its range, or the shapes differ.
    """
    target, drafter = _rows(p), _rows(q)
    if target.shape != drafter.shape:
        raise SpecError("q.shape", drafter.shape, f"that of p, {target.shape}")
    accepted = np.empty(len(target))
    for part, rows in _quantised(drafter, k, tau, eps):
        accepted[part] = np.minimum(_checked(target[part], part.start, "p"), _laws(rows)).sum(axis=1)
    return accepted


def _laws(rows: QuantisedRows) -> npt.NDArray[np.float64]:
    """F of each row, float64 (B, V); see `host.golden.real`."""
    carried = rows.carried
    weights = np.where(carried, np.exp(rows.distances * (-rows.scale / rows.tau)[:, None]), 0.0)
    total = weights.sum(axis=1) + rows.tail
    spread = rows.vocab_size - rows.counts
    each = np.divide(rows.tail, total * spread, out=np.zeros(total.shape), where=spread > 0)
    laws = np.repeat(each[:, None], rows.vocab_size, axis=1)
    where, _ = np.nonzero(carried)
    laws[where, rows.ids[carried]] = (weights / total[:, None])[carried]
    return laws


def _quantised(
    p: npt.ArrayLike, k: int, tau: float, eps: float | str, drafts: int = 1
) -> Iterator[tuple[slice, QuantisedRows]]:
    """Runs of rows and what they become, a bounded number of entries at a time."""
    array = _rows(p)
    vocab_size = array.shape[1]
    k, tau, floor = check_craft(vocab_size=vocab_size, k=k, tau=tau, eps=eps)
    check_int("drafts", drafts, 1, DRAFTS_MAX)
    step = max(1, CHUNK_ENTRIES // vocab_size)
    for first in range(0, len(array), step):
        part = slice(first, min(first + step, len(array)))
        yield part, quantise_rows(_checked(array[part], first, "p"), k=k, tau=tau, floor=floor, drafts=drafts)


def _rows(p: npt.ArrayLike) -> npt.NDArray[np.generic]:
    """p as a numeric array of shape (B, V)."""
    try:
        array = np.asarray(p)
    except ValueError:
        raise SpecError("p", type(p).__name__, "numbers of shape (B, V)") from None
    if array.ndim != 2:
        raise SpecError("p.shape", array.shape, "(B, V)")
    check_int("V", array.shape[1], 1, VOCAB_LIMIT)
    if array.dtype.kind not in "fiu":
        raise SpecError("p.dtype", str(array.dtype), "a floating-point dtype")
    return array


def _checked(
    part: npt.NDArray[np.generic], first: int, name: str, rest: npt.NDArray[np.float64] | float = 0.0
) -> npt.NDArray[np.float64]:
    """Rows as float64, each checked to be a distribution with its rest; `first` is the number of the first one."""
    values = part.astype(np.float64)
    wrong = np.argwhere(~((values >= 0) & np.isfinite(values)))
    if wrong.size:
        row, column = wrong[0]
        raise SpecError(f"{name}[{first + row}, {column}]", float(values[row, column]), "a finite number >= 0")
    totals = values.sum(axis=1) + rest
    bad = np.flatnonzero(~(np.abs(totals - 1) <= SUM_TOLERANCE))
    if bad.size:
        raise SpecError(f"sum of {name}[{first + bad[0]}]", float(totals[bad[0]]), f"1 within {SUM_TOLERANCE}")
    return values
