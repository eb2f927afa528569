# SPDX-License-Identifier: Apache-2.0
"""Bytes against samples: a psi of few ids and many drafts, or of many ids and few drafts.

The acceptance that any rule can reach with n drafts, alpha*_n = 1 + min_H (p(H) - q(H)^n) (`host.verify.multi`),
rises with the K ids that psi carries and with n. For a wanted acceptance each n has a smallest K; a link and a TSU
decide which of these pairs is had soonest.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.golden.real import probabilities
from host.psi.craft import craft_psi
from host.psi.wire import psi_bytes
from host.verify.multi import optimal_acceptance
from hw.spec.config import K_LIMIT
from hw.spec.errors import SpecError, check_int

from .acceptance import Rows, psi_and_law
from .checks import CHILDREN_MAX, check_number, check_positive

REAL_ERROR = 1e-8
"""More than F(psi), which is quick, can differ from the exact law in alpha*_n: 16 times their total variation."""


@dataclass(frozen=True, kw_only=True)
class KnobPoint:
    """The smallest psi that reaches a wanted acceptance with n drafts.

    Parameters
    ----------
    drafts : int
        n.
    k : int
        K: most ids of a psi.
    acceptance : float
        alpha*_n, from the exact law, the mean over contexts.
    psi_bytes : float
        Bytes of the psi on the wire, the mean over contexts.
    """

    drafts: int
    k: int
    acceptance: float
    psi_bytes: float


def smallest_psi(
    *,
    targets: Rows,
    acceptance: float,
    drafts_max: int = CHILDREN_MAX,
    k_max: int = K_LIMIT,
    progress: Callable[[int], object] | None = None,
) -> list[KnobPoint | None]:
    """For each n = 1, ..., `drafts_max` the smallest K with a mean alpha*_n of at least `acceptance`.

    K goes up from 1 until it reaches, because alpha*_n need not rise with every K: the codes get coarser.

    Parameters
    ----------
    targets : float64 ndarray of shape (B, V)
        p of each context, a row sums to 1; psi is made of p, its tail for n drafts.
    acceptance : float
        In [0, 1].
    drafts_max : int
        In [1, 16].
    k_max : int
        Largest K that is tried, in [1, 1024]; no more than V are.
    progress : callable or None
        Called with 1, 2, ..., `drafts_max`.

    Returns
    -------
    list of `drafts_max` KnobPoint or None
        None where no K up to `k_max` reaches.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    if targets.ndim != 2 or not len(targets):
        raise SpecError("targets.shape", targets.shape, "(B, V), at least one row")
    wanted = check_number("acceptance", acceptance, 0.0, 1.0)
    ks = range(1, min(check_int("k_max", k_max, 1, K_LIMIT), targets.shape[1]) + 1)
    points: list[KnobPoint | None] = []
    for n in range(1, check_int("drafts_max", drafts_max, 1, CHILDREN_MAX) + 1):
        near = (k for k in ks if _mean([_alpha(p, k, n) for p in targets]) >= wanted - REAL_ERROR)
        exact = (knob_point(targets=targets, k=k, drafts=n) for k in near)
        points.append(next((point for point in exact if point.acceptance >= wanted), None))
        if progress is not None:
            progress(n)
    return points


def knob_point(*, targets: Rows, k: int, drafts: int) -> KnobPoint:
    """Acceptance and bytes of psi with K ids and n drafts; see `smallest_psi`.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    made = [(p, *psi_and_law(p, k=k, drafts=drafts)) for p in targets]
    return KnobPoint(
        drafts=drafts,
        k=k,
        acceptance=_mean([optimal_acceptance(p, law.probabilities(), drafts) for p, _, law in made]),
        psi_bytes=_mean([psi_bytes(psi) for _, psi, _ in made]),
    )


def point_us(
    point: KnobPoint, *, bytes_per_s: float, draws_per_s: float, draw_bytes: float = 0.0, latency_us: float = 0.0
) -> float:
    """Microseconds of one position: psi to the TSU, n draws, their way back, and the latency of the link.

    Parameters
    ----------
    point : KnobPoint
    bytes_per_s : float
        Rate of the link in each direction, > 0.
    draws_per_s : float
        Rate of the TSU, > 0.
    draw_bytes : float
        Bytes of one draw on the link.
    latency_us : float
        Microseconds that each position waits besides.

    Raises
    ------
    SpecError
        A number is outside its range.
    """
    sent = point.psi_bytes + point.drafts * check_number("draw_bytes", draw_bytes, 0.0, math.inf)
    link_s = sent / check_positive("bytes_per_s", bytes_per_s)
    tsu_s = point.drafts / check_positive("draws_per_s", draws_per_s)
    return 1e6 * (link_s + tsu_s) + check_number("latency_us", latency_us, 0.0, math.inf)


def cheapest(
    points: Sequence[KnobPoint | None], *, bytes_per_s: float, draws_per_s: float, draw_bytes: float = 0.0
) -> KnobPoint | None:
    """The point with the least `point_us`, of equal ones the one with the fewest drafts; None where there is none.

    Raises
    ------
    SpecError
        A number is outside its range.
    """
    times = [
        (point_us(point, bytes_per_s=bytes_per_s, draws_per_s=draws_per_s, draw_bytes=draw_bytes), point.drafts, point)
        for point in points
        if point is not None
    ]
    return min(times, key=lambda entry: entry[:2])[2] if times else None


def _alpha(p: npt.NDArray[np.float64], k: int, n: int) -> float:
    """alpha*_n through F(psi) in float64."""
    return optimal_acceptance(p, probabilities(craft_psi(p, k, drafts=n)), n)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
