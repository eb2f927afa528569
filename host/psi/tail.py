# SPDX-License-Identifier: Apache-2.0
"""How much mass the tail of a psi should have when n drafts are drawn from it.

A target p, its K best tokens with mass P together, and M others, in ascending order of p; F(j) is the mass of the
first j of these. A psi of p draws its ids as p does, scaled to 1 - s, and the others alike, s / M each. No rule for n
drafts accepts more than 1 + min_H (p(H) - q(H)^n) (`host.verify.multi`), H a beginning of the tokens in descending
order of q / p: the first j others, without the ids or with all of them. So the two minima

    g(s) = min_j F(j) - (s j / M)^n        h(s) = min_j P + F(j) - (1 - s + s j / M)^n

decide: g falls with s, h rises, and where they meet the least of both is largest. For one draft the leftover mass
1 - P is within 1e-3 of that; for more drafts the tail should be heavier, because a draft of the head is easily had.
"""

import numpy as np
import numpy.typing as npt

POINTS = 1024
"""Values of j that are looked at: all, or so many, closest together at the tokens of most mass."""

HALVINGS = 40
"""Of the interval of s."""


def tail_share(others: npt.NDArray[np.float64], drafts: int) -> float:
    """s, the share of the draws that the tail should have.

    Parameters
    ----------
    others : float64 ndarray of shape (M,)
        Probabilities of the tokens that psi does not carry; the carried ones have the rest to 1.
    drafts : int
        n, at least 1.
    """
    count = len(others)
    if count == 0:
        return 0.0
    cumulated = np.concatenate([[0.0], np.cumsum(np.sort(others))])
    from_top = np.unique(np.geomspace(1, count + 1, POINTS).astype(np.intp)) - 1
    j = count - from_top if count >= POINTS else np.arange(count + 1)
    mass, share = cumulated[j], j / count
    carried = 1 - cumulated[-1]
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        s = (low + high) / 2
        without = (mass - (s * share) ** drafts).min()
        with_ids = (carried + mass - (1 - s + s * share) ** drafts).min()
        low, high = (s, high) if with_ids < without else (low, s)
    return (low + high) / 2
