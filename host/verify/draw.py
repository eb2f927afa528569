# SPDX-License-Identifier: Apache-2.0
"""One token of a distribution: plain sampling, and the bonus token behind accepted drafts."""

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError

from .single import check_target


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

    Raises
    ------
    SpecError
        u is outside its range.
    """
    if not 0 <= u < 1:
        raise SpecError("u", u, "a number in [0, 1)")
    cumulative = np.cumsum(masses)
    index = int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))
    if index == masses.size:  # u * sum rounded up to the sum
        return int(np.flatnonzero(masses)[-1])
    return index
