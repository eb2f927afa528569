# SPDX-License-Identifier: Apache-2.0
"""The psi of a known distribution p: exact top-K, 8-bit scores, and the leftover mass as tail."""

import math
from numbers import Real

import numpy as np
import numpy.typing as npt

from hw.spec.config import K_LIMIT, VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

from .quantise import MAX_SPAN_NATS, quantise_rows
from .schema import Psi, round_binary32

__all__ = ["DRAFTS_MAX", "MAX_SPAN_NATS", "SUM_TOLERANCE", "check_craft", "craft_psi"]

DRAFTS_MAX = 64
"""Most drafts of a position that a tail is made for."""

SUM_TOLERANCE = 1e-6
"""How far the sum of p may be from 1."""


def craft_psi(
    p: npt.ArrayLike,
    K: int,
    tau: float = 1.0,
    eps: float | str = "auto",
    drafts: int = 1,
) -> Psi:
    """Quantise a distribution into a psi.

    The ids are the K most probable tokens, ties broken by the lower id; tokens of probability zero are never
    carried, so the psi may have fewer than K ids. Score k is log p_k, affinely quantised: the best id gets code
    127, `scale` is the span of the scores (at most `MAX_SPAN_NATS`) over 255, and `zero_point` is the int8
    nearest to 127 - log(p_best) / scale. Because log p <= 0, that is 127, which makes the de-quantised scores
    log(p_k / p_best): a constant shift from log p, under which the law does not change.

    Parameters
    ----------
    p : float array of shape (V,), 1 <= V <= 2**20
        Probabilities, >= 0, sum within 1e-6 of 1.
    K : int
        Most ids to carry, in [1, min(V, 1024)].
    tau : float
        Temperature of the law, > 0.
    eps : float or "auto"
        "auto": the tail carries the leftover mass, q(tail) = 1 - p(head) at any `tau`. A number >= 0: the floor
        per tail token of F, in units in which the best id weighs p_best^(1 / tau).
        A non-zero tail below 2^-64 of the best weight is raised to it.
    drafts : int
        Drafts that are drawn of one position, in [1, 64]. With more than one, "auto" gives the tail the mass that suits
        them (`host.psi.tail`), which is more than the leftover mass.

    Raises
    ------
    SpecError
        A parameter is outside its range.
    """
    p = _distribution(p)
    k, tau, floor = check_craft(vocab_size=len(p), k=K, tau=tau, eps=eps)
    drafts = check_int("drafts", drafts, 1, DRAFTS_MAX)
    return quantise_rows(p[None], k=k, tau=tau, floor=floor, drafts=drafts).psi(0)


def check_craft(*, vocab_size: int, k: int, tau: float, eps: float | str) -> tuple[int, float, float | None]:
    """Parameters of `craft_psi` for distributions over `vocab_size` tokens: K, tau in binary32, floor (None: auto).

    Raises
    ------
    SpecError
        A parameter is outside its range.
    """
    k = check_int("K", k, 1, min(vocab_size, K_LIMIT))
    tau = round_binary32("tau", tau, "a finite number > 0")
    if tau <= 0:
        raise SpecError("tau", tau, "a finite number > 0")
    return k, tau, _floor(eps)


def _distribution(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    try:
        array = np.asarray(p)
    except ValueError:
        raise SpecError("p", type(p).__name__, "numbers of shape (V,)") from None
    if array.ndim != 1:
        raise SpecError("p.shape", array.shape, "(V,)")
    check_int("len(p)", array.size, 1, VOCAB_LIMIT)
    if array.dtype.kind not in "fiu":
        raise SpecError("p.dtype", str(array.dtype), "a floating-point dtype")
    values = array.astype(np.float64)
    wrong = np.flatnonzero(~((values >= 0) & np.isfinite(values)))
    if wrong.size:
        raise SpecError(f"p[{wrong[0]}]", float(values[wrong[0]]), "a finite number >= 0")
    total = float(values.sum())  # pairwise: within 1e-14 of the sum, and 100 times as fast as math.fsum
    if not abs(total - 1) <= SUM_TOLERANCE:
        raise SpecError("sum of p", total, f"1 within {SUM_TOLERANCE}")
    return values


def _floor(eps: object) -> float | None:
    """The floor per tail token, or None for "auto"."""
    if isinstance(eps, str) and eps == "auto":
        return None
    legal = "'auto' or a finite number >= 0"
    if isinstance(eps, bool) or not isinstance(eps, Real):
        raise SpecError("eps", eps, legal)
    floor = float(eps)
    if not 0 <= floor < math.inf:
        raise SpecError("eps", floor, legal)
    return floor
