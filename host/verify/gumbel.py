# SPDX-License-Identifier: Apache-2.0
"""The token of a position as a function of seed and position alone: a race of exponential variables (Gumbel-max).

    Y = argmin_x E_x / p(x),   E_x = -ln U_x

has law p, because E_x / p(x) is exponential with rate p(x) (-ln of it is a Gumbel variable with location ln p(x)). U_x
is number x of a counter-based generator (Philox4x64-10; Salmon et al., SC 2011) with `seed` as key and `position` in
its counter. So Y does not depend on drafter, drafts, their number, or the backend: texts written with different
drafters are the same text. Drafts that are independent of U are accepted where Y is among them, with probability
sum_x p(x) (1 - (1 - q(x))^n).

A drafter that draws by the same U, argmin_x E_x / q(x), meets Y more often (Daliri, Musco and Suresh, 2024,
arXiv:2408.07978): with probability

    sum_x 1 / sum_y max(p(y) / p(x), q(y) / q(x))   >=   (1 - TV) / (1 + TV)

A TSU has noise of its own and cannot do that; `coupled_acceptance` says what it would be worth.

U_x is a multiple of 2^-53, so each E_x / p(x) < t has its probability within 2^-53, and Y its law within V 2^-53.
"""

import math

import numpy as np
import numpy.typing as npt

from host.psi.law import DraftLaw
from hw.spec.errors import SpecError, check_int

from .single import check_target

WORD_LIMIT = (1 << 64) - 1
"""Largest seed, and largest position."""

_SLACK = 1e-12
"""Relative; far above the rounding of a logarithm and a division."""


def position_uniforms(*, seed: int, position: int, count: int) -> npt.NDArray[np.float64]:
    """U_0, ..., U_(count - 1) of one position: multiples of 2^-53 in [0, 1), independent between seeds and positions.

    They are the upper 53 bits of Philox4x64-10's words: key (seed, 0), counters (1, 0, 0, position) and following, four
    words each. A larger `count` only adds numbers at the end.

    Parameters
    ----------
    seed, position : int
        In [0, 2**64 - 1].
    count : int
        At least 0.

    Returns
    -------
    float64 ndarray of shape (count,)

    Raises
    ------
    SpecError
        A parameter is outside its range.
    """
    key = np.array([check_int("seed", seed, 0, WORD_LIMIT), 0], dtype=np.uint64)
    counter = np.array([0, 0, 0, check_int("position", position, 0, WORD_LIMIT)], dtype=np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(check_int("count", count, 0, 1 << 32))
    words >>= np.uint64(11)
    uniforms = words.astype(np.float64)
    uniforms *= 2.0**-53
    return uniforms


def gumbel_token(p: npt.NDArray[np.float64], *, seed: int, position: int) -> int:
    """Y, the token of this position.

    Parameters
    ----------
    p : float64 ndarray of shape (V,)
        Target, sums to 1; zeros allowed, and never drawn.
    seed, position : int
        In [0, 2**64 - 1].

    Raises
    ------
    SpecError
        p is no distribution, or a number is outside its range.
    """
    return race_winner(check_target(p, p.size), position_uniforms(seed=seed, position=position, count=p.size))


def race_winner(p: npt.NDArray[np.float64], uniforms: npt.NDArray[np.float64]) -> int:
    """argmin_x -ln U_x / p(x), the least x of equals; p and the numbers in [0, 1) have shape (V,).

    1 - U <= -ln U: logarithms are taken of those tokens alone whose bound does not rule them out.
    """
    bounds = 1.0 - uniforms
    with np.errstate(divide="ignore"):
        bounds /= p
    first = int(bounds.argmin())
    if uniforms[first] == 0.0:  # then every bound is 1 / p: the most probable of these tokens has the least of them
        near = np.flatnonzero(p)
    else:
        near = np.flatnonzero(bounds <= -math.log(uniforms[first]) / p[first] * (1 + _SLACK))
    with np.errstate(divide="ignore"):
        return int(near[(-np.log(uniforms[near]) / p[near]).argmin()])


def gumbel_acceptance(p: npt.NDArray[np.float64], law: DraftLaw, drafts: int) -> float:
    """sum_x p(x) (1 - (1 - q(x))^n): how often Y is among n drafts of `law` that are independent of it.

    Parameters
    ----------
    p : float64 ndarray of shape (V,)
    law : DraftLaw
    drafts : int
        n, at least 1.
    """
    ids = law.ids
    tail_q = law.tail_weight / (law.total * max(1, law.spread))
    q = np.append(law.weights.astype(np.float64) / float(law.total), tail_q)
    with np.errstate(divide="ignore"):  # q = 1
        met = -np.expm1(drafts * np.log1p(-np.minimum(q, 1.0)))
    head = p[ids]
    return float(head @ met[:-1] + max(0.0, float(p.sum() - head.sum())) * met[-1])


def coupled_acceptance(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float:
    """How often one draft argmin_x E_x / q(x) is Y = argmin_x E_x / p(x), by the same E; O(V log V).

    max(p(y) / p(x), q(y) / q(x)) is the first where p / q of y is at least that of x, else the second: in the order of
    p / q the sum over y is one cumulated sum of each law.

    Parameters
    ----------
    p, q : float64 ndarrays of shape (V,)
        Distributions.
    """
    both = (p > 0) & (q > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(np.where(q > 0, p / q, np.inf), kind="stable")
    sorted_p, sorted_q, counts = p[order], q[order], both[order]
    above = np.cumsum(sorted_p[::-1])[::-1]
    below = np.cumsum(sorted_q) - sorted_q
    rates = above[counts] / sorted_p[counts] + below[counts] / sorted_q[counts]
    return float((1.0 / rates).sum())


def check_uniforms(uniforms: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return the numbers, or raise `SpecError` unless they are `count` float64 numbers in [0, 1)."""
    if uniforms.shape != (count,):
        raise SpecError("shape of uniforms", uniforms.shape, f"({count},)")
    if not (uniforms.min() >= 0 and uniforms.max() < 1):
        raise SpecError("uniforms", float(uniforms[~((uniforms >= 0) & (uniforms < 1))][0]), "numbers in [0, 1)")
    return uniforms
