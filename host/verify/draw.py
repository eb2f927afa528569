# SPDX-License-Identifier: Apache-2.0
"""One token of a distribution: plain sampling, and the bonus token behind accepted drafts."""

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError

from .single import check_target

BLOCK = 256
"""Masses whose sum is cumulated as one, before those of one block are."""


def draw_token(p: npt.NDArray[np.float64], u: float) -> int:
    """Invert the cumulative sum of p: the first x with u < p(0) + ... + p(x).

    Parameters
    ----------
    p : float64 ndarray of shape (vocab_size,)
        Target, sums to 1; zeros allowed, and never drawn.
    u : float
        Uniform in [0, 1), independent of everything before.

    Raises
    ------
    SpecError
        p is no distribution, or u is outside its range.
    """
    return draw_index(check_target(p, p.size), u)


def draw_index(masses: npt.NDArray[np.float64], u: float) -> int:
    """Invert the cumulative sum of masses (n,) >= 0 that need not sum to 1, not all of them 0; see `draw_token`.

    Sums of blocks are cumulated first, and then the masses of one block.

    Raises
    ------
    SpecError
        u is outside its range.
    """
    if not 0 <= u < 1:
        raise SpecError("u", u, "a number in [0, 1)")
    sums = np.add.reduceat(masses, np.arange(0, masses.size, BLOCK))
    ends = np.cumsum(sums)
    threshold = u * float(ends[-1])
    block = _first_above(ends, threshold, sums)
    start = block * BLOCK
    within = masses[start : start + BLOCK]
    below = float(ends[block - 1]) if block else 0.0
    return start + _first_above(below + np.cumsum(within), threshold, within)


def _first_above(cumulative: npt.NDArray[np.float64], threshold: float, masses: npt.NDArray[np.float64]) -> int:
    """First index whose cumulative sum is above the threshold; the last of a mass where rounding leaves none."""
    index = int(np.searchsorted(cumulative, threshold, side="right"))
    return index if index < masses.size else int(np.flatnonzero(masses)[-1])
