# SPDX-License-Identifier: Apache-2.0
"""Verify n drafts of one position, drawn independently from one law q: rules, and the most that any rule can accept.

One of the drafts is accepted, or a token is recovered; what is emitted has law p.

optimum     alpha*_n = 1 + min_H (p(H) - q(H)^n), H a set of tokens: a draft outside of H comes with 1 - q(H)^n at most.
            The least H is a beginning of the tokens in descending order of q / p (Hu et al., ICLR 2025,
            arXiv:2502.18779; for n = 1 it is 1 - TV)
recursive   draft by draft with min(1, p_i / q), p_1 = p, p_(i+1) = (p_i - q)+ normalised; the last residual is what a
            recovered token comes from (SpecInfer, Miao et al., arXiv:2305.09781)
k-SEQ       draft by draft with min(1, p / (gamma q)), gamma in [1, n] the root of 1 - (1 - beta)^n = gamma beta with
            beta = sum_x min(q, p / gamma) (SpecTr, Sun et al., NeurIPS 2023, arXiv:2310.15141)
race        `host.verify.race`: one draft is chosen by weights, and verified alone

For n = 1 all of them are the rule of `host.verify.single`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .single import Number, accept_probability, correction, draw_from, residual

NEWTON_STEPS = 60
"""Of the search of gamma, at most; about five are needed."""

SAFE = 1e-14
"""Relative; gamma is rounded up by as much."""


@dataclass(frozen=True, kw_only=True)
class MultiVerified:
    """Outcome of n drafts of one position.

    Parameters
    ----------
    token : int
        What is emitted.
    accepted : int or None
        Place of the accepted draft, 0 to n - 1; None where the token was recovered.
    """

    token: int
    accepted: int | None


def optimal_acceptance(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> float:
    """alpha*_n of two laws over V tokens, float64 of shape (V,); O(V log V)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(np.where(q > 0, p / q, np.inf), kind="stable")
    gaps = np.cumsum(p[order]) - np.cumsum(q[order]) ** n
    return float(1 + min(0.0, gaps.min()))


def optimal_acceptances(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], most: int) -> npt.NDArray[np.float64]:
    """alpha*_1, ..., alpha*_most of two laws, float64 of shape (most,): one sort for all."""
    with np.errstate(divide="ignore", invalid="ignore"):
        order = np.argsort(np.where(q > 0, p / q, np.inf), kind="stable")
    p_mass, q_mass = np.cumsum(p[order]), np.cumsum(q[order])
    return np.array([1 + min(0.0, float((p_mass - q_mass**n).min())) for n in range(1, most + 1)])


def recursive_acceptance(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> float:
    """Probability that recursive rejection accepts one of n drafts."""
    refused, left = 1.0, p
    for _ in range(n):
        masses = np.maximum(left - q, 0.0)
        mass = float(masses.sum())
        refused *= mass
        if mass == 0.0:
            break
        left = masses / mass
    return 1 - refused


def k_seq_gamma(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> float:
    """gamma of k-SEQ, `SAFE` above the root or less. A larger gamma is legal, a smaller one is not.

    Newton's method inside an interval about the root: gamma beta = sum min(gamma q, p), whose slope is the mass Q of q
    where gamma q <= p, and that of beta is -(beta - Q) / gamma. Where (1 - beta)^n is below the rounding of 1, all
    gamma in a wide interval are roots in float64, one as good as another.
    """
    low, high, gamma = 1.0, float(n), 1.0
    scaled, held = np.empty((2, len(q)))
    for _ in range(NEWTON_STEPS):
        np.multiply(q, gamma, out=scaled)
        within = float(np.multiply(q, scaled <= p, out=held).sum())
        beta = float(np.minimum(scaled, p, out=scaled).sum()) / gamma
        excess = 1 - (1 - beta) ** n - gamma * beta
        low, high = (gamma, high) if excess > 0 else (low, gamma)
        slope = within + n * (1 - beta) ** (n - 1) * (beta - within) / gamma
        following = gamma + excess / slope if slope > 0 else high
        if not low <= following <= high:
            following = (low + high) / 2
        if abs(following - gamma) <= SAFE / 2 * gamma:
            break
        gamma = following
    return min(max(gamma, following) * (1 + SAFE), float(n))


def k_seq_acceptance(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> float:
    """Probability that k-SEQ accepts one of n drafts."""
    beta = float(np.minimum(q, p / k_seq_gamma(p, q, n)).sum())
    return 1 - (1 - beta) ** n


# --- scalar references ------------------------------------------------------------------------------------------------


def verify_recursive(
    *, drafts: Sequence[int], p: Sequence[Number], q: Sequence[Number], u: Sequence[Number], v: Number
) -> MultiVerified:
    """Recursive rejection.

    Parameters
    ----------
    drafts : sequence of n ints
        Each of probability q > 0.
    p, q : sequences of V numbers
        Target and draft law, both of one number type.
    u : sequence of n numbers in [0, 1)
        Of the decisions.
    v : number in [0, 1)
        Of a recovered token.
    """
    left = list(p)
    for place, (draft, u_i) in enumerate(zip(drafts, u, strict=True)):
        if u_i < accept_probability(left[draft], q[draft]):
            return MultiVerified(token=draft, accepted=place)
        masses = correction(left, q)
        mass = sum(masses[1:], masses[0])
        left = [x / mass for x in masses]
    return MultiVerified(token=draw_from(left, v), accepted=None)


def k_seq_masses(p: Sequence[Number], q: Sequence[Number], gamma: Number, n: int) -> list[Number]:
    """Masses of the token that k-SEQ recovers, p - min(q, p / gamma) (1 - (1 - beta)^n) / beta; not normalised."""
    shares = [accept_probability(p_x, gamma * q_x) * q_x if q_x > 0 else q_x for p_x, q_x in zip(p, q, strict=True)]
    beta = sum(shares[1:], shares[0])
    if beta == 0:
        return list(p)
    scale = (1 - (1 - beta) ** n) / beta
    return residual(p, [scale * share for share in shares])


def verify_k_seq(
    *,
    drafts: Sequence[int],
    p: Sequence[Number],
    q: Sequence[Number],
    gamma: Number,
    u: Sequence[Number],
    v: Number,
) -> MultiVerified:
    """k-SEQ with a gamma that is not below the root; see `verify_recursive` for the other parameters."""
    for place, (draft, u_i) in enumerate(zip(drafts, u, strict=True)):
        if u_i < accept_probability(p[draft], gamma * q[draft]):
            return MultiVerified(token=draft, accepted=place)
    masses = k_seq_masses(p, q, gamma, len(drafts))
    return MultiVerified(token=draw_from(masses if any(mass > 0 for mass in masses) else list(p), v), accepted=None)
