# SPDX-License-Identifier: Apache-2.0
"""Weights of a race, fitted to groups of tokens in ascending order of p / q.

**The law to reach.** Whatever the rule, the chosen draft lies in a set H at least where all n drafts do:
r(H) >= q(H)^n. Let d = max_H (q(H)^n - p(H)), at least 0, so that alpha*_n = 1 - d. The law

    p'(x) = q(x) clip(p(x) / q(x), low, high),   low: sum (p' - p)+ = d,   high: sum (p - p')+ = d

keeps all those bounds and misses p by no more than d: over tokens in ascending order of p / q, with y = q(H) of those
so far, p'(H) is a line from (0, 0), then p(H) + d, then a line to (1, 1); y^n is convex, so it lies below both lines
where it lies below their ends. d is taken a little larger (`MARGIN`): every bound is kept with something to spare.

**Its weights.** r = p' is where a convex function of theta = ln w is least: E ln sum_i w(x_i) - sum p' theta. Newton's
method; the derivatives of r are sums over the same nodes as r (`host.verify.race_law`). It starts from the race of one
draft against the mean of the others: between two tight bounds a < b of y,
r / q = n (a^(n-1) + (b^(n-1) - a^(n-1)) w / (w + mean)), solved for w.

**Two grids.** Newton's method runs on `COARSE` groups of groups. Within these theta is continued along ln p' / q, and
one step theta += ln(p' / r) / (1 - share) corrects what is left; share is the mean part of the sum of weights that a
chosen draft has. Fine structure hardly changes phi.
"""

import numpy as np
import numpy.typing as npt

from .race_law import FIT_STEP, Floats, nodes_of

COARSE = 48
"""Groups that Newton's method sees, at most."""

MARGIN = 1e-4
"""Part of the optimum by which d is taken larger."""

NEAR = 4e-4
"""Newton's method ends where no more than this part of the optimum is missing."""

STEPS = 10
"""Of Newton's method, at most."""

LONGEST = 3.0
"""Nats that a step may change a weight by."""

SPAN = 40.0
"""Nats between the largest weight and the least, at most."""

TIGHT = 5e-3
"""Bounds that leave less than this to spare separate the start into parts."""


def fit_groups(p: Floats, q: Floats, n: int) -> Floats:
    """ln w of each group, the largest of them 0.

    Parameters
    ----------
    p, q : float64 ndarrays of shape (G,)
        Masses of target and draft law in the groups, in ascending order of p / q; q > 0, sums to 1; p to at most 1.
    n : int
        Drafts, at least 2.
    """
    low, high, optimum = levels(p, q, n)
    ratio = np.clip(p / q, low, high)
    if low >= high:
        return np.zeros(len(p))
    wanted = ratio * q
    group = coarse_groups(wanted, int((ratio <= low).sum()), int((ratio < high).sum()))
    starts = np.flatnonzero(np.append(True, group[1:] != group[:-1]))
    coarse_p, coarse_wanted, coarse_q = (np.add.reduceat(masses, starts) for masses in (p, wanted, q))
    theta = newton(coarse_p, coarse_wanted, coarse_q, n, goal=optimum * (1 - NEAR))
    theta = continued(theta, coarse_wanted / coarse_q, ratio, group)
    nodes = nodes_of(theta, q, n, step=FIT_STEP)
    inner = nodes.t * nodes.phi ** (n - 1)
    once, twice = (nodes.decays @ np.stack([inner, inner * nodes.t], axis=1)).T
    chosen = (n * FIT_STEP) * q * nodes.weights * once
    change = np.clip(np.log(wanted / chosen), -1.0, 1.0) / np.maximum(1 - nodes.weights * twice / once, 0.05)
    return _bounded(theta + change)


def levels(p: Floats, q: Floats, n: int) -> tuple[float, float, float]:
    """low and high of p', with the margin, and alpha*_n of the groups.

    The sums of (c q - p)+ and (p - c q)+ are linear in c between neighbouring p / q.
    """
    before_p, before_q = np.cumsum(p), np.cumsum(q)
    ratio, total = p / q, float(before_p[-1])
    least = min(0.0, float((before_p - before_q**n).min()))
    optimum = 1 + least
    lift = MARGIN * optimum - least
    drop = lift - (1 - total)
    at = int(np.searchsorted(ratio * before_q - before_p, lift, side="right"))
    low = (lift + float(before_p[at - 1])) / float(before_q[at - 1]) if at else float(ratio[0])
    above_p, above_q = np.cumsum(p[::-1]), np.cumsum(q[::-1])
    at = int(np.searchsorted(above_p - ratio[::-1] * above_q, max(drop, 0.0), side="right"))
    high = (float(above_p[at - 1]) - drop) / float(above_q[at - 1]) if at else float(ratio[-1])
    return low, high, optimum


def coarse_groups(wanted: Floats, lifted: int, cut: int) -> npt.NDArray[np.intp]:
    """Numbers of at most `COARSE` groups of groups: the first `lifted` are one, and so are those from `cut` on."""
    roots = np.sqrt(wanted)
    roots[:lifted] = roots[cut:] = 0.0
    place = np.cumsum(roots)
    numbers = (place * ((COARSE - 2) / max(float(place[-1]), 1e-300) * (1 - 1e-12))).astype(np.intp) + 1
    numbers[:lifted], numbers[cut:] = 0, COARSE
    numbered: npt.NDArray[np.intp] = np.cumsum(np.append(0, numbers[1:] != numbers[:-1]))
    return numbered


def newton(p: Floats, wanted: Floats, q: Floats, n: int, *, goal: float) -> Floats:
    """ln w at which r = p', or at which sum min(p, r) has reached its goal; groups with masses p, p', q."""
    theta = start(wanted, q, n)
    best, most = theta, -1.0
    for _ in range(STEPS):
        nodes = nodes_of(theta, q, n, step=FIT_STEP)
        pairs = nodes.phi ** (n - 2)
        pairs *= nodes.t * (n * FIT_STEP)
        inner = pairs * nodes.phi
        weighed = q * nodes.weights
        chosen = weighed * (nodes.decays @ inner)
        accepted = float(np.minimum(p, chosen).sum())
        if accepted > most:
            best, most = theta, accepted
        if accepted >= goal:
            break
        rows = nodes.decays * weighed[:, None]
        slope = (rows * (pairs * nodes.t * (1 - n))) @ rows.T
        own = chosen - weighed * nodes.weights * (nodes.decays @ (inner * nodes.t))
        slope.flat[:: len(q) + 1] += own + 1e-7 * (p + chosen) + 1e-30
        change = np.linalg.solve(slope, wanted - chosen)
        change -= change[-1]
        longest = float(np.abs(change).max())
        theta = _bounded(theta + change * min(1.0, LONGEST / longest) if longest > 0 else theta)
    return best


def start(wanted: Floats, q: Floats, n: int) -> Floats:
    """ln w of a race against the mean of the other drafts, part by part between the tight bounds."""
    before_q, before_p = np.append(0.0, np.cumsum(q)), np.cumsum(wanted)
    spare = before_p[:-1] - before_q[1:-1] ** n
    dips = (spare[1:-1] <= spare[:-2]) & (spare[1:-1] < spare[2:]) & (spare[1:-1] < TIGHT)
    ends = [*(np.flatnonzero(dips) + 2).tolist(), len(q)]
    theta, first, level = np.empty(len(q)), 0, 0.0
    for end in ends:
        low, high = float(before_q[first]), float(before_q[end])
        alone = (low / high) ** (n - 1)
        share = wanted[first:end] / q[first:end] / max(n * high ** (n - 1), 1e-300)
        share = np.clip((share - alone) / max(1 - alone, 1e-12), 1e-3, 1 - 1e-3)
        odds = share / (1 - share)
        if first:  # of the draws that come from below, a part leaks to this side of the bound
            leak = max(float(spare[first - 1]), 1e-9) / max(low - low**n, 1e-12)
            level -= float(np.log(leak))
        theta[first:end] = np.log(odds) + level - np.log(float(odds @ q[first:end]) / (high - low))
        first = end
    return _bounded(theta)


def continued(theta: Floats, coarse: Floats, ratio: Floats, group: npt.NDArray[np.intp]) -> Floats:
    """theta of the groups from that of the coarse ones, along ln p' / q by the lesser of the slopes at both sides."""
    if len(theta) == 1:
        return np.zeros(len(ratio))
    places = np.log(coarse)
    slopes = np.diff(theta) / np.diff(places)
    lesser = np.maximum(np.minimum(np.append(slopes[0], slopes), np.append(slopes, slopes[-1])), 0.0)
    return _bounded(theta[group] + lesser[group] * (np.log(ratio) - places[group]))


def _bounded(theta: Floats) -> Floats:
    theta = theta - theta.max()
    bounded: Floats = np.maximum(theta, -SPAN)
    return bounded
