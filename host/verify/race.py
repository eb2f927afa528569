# SPDX-License-Identifier: Apache-2.0
"""A weighted race of n drafts: one of them is chosen, and verified alone against the law of the chosen.

Draft x_i is chosen with w(x_i) / sum_j w(x_j). Draws of one law, so the chosen one has law

    r(x) = n q(x) w(x) I(w(x)),   I(w) = integral_0^inf exp(-w t) phi(t)^(n - 1) dt,   phi(t) = sum_y q(y) exp(-w(y) t)

(w / sum w is the integral of w exp(-t sum w)). It is accepted with min(1, p / r), else a token comes from (p - r)+:
exact for every w > 0, because r is the law that was drawn from. Acceptance is sum_x min(p, r); w is fitted to it.

Weights are equal within groups of tokens of about the same p / q: r then needs sums over groups alone. The groups are
finest where p has its mass (their number per unit of ln p / q goes with its root). A step of the fit is
ln w <- ln w + ln(p / r), accelerated (Anderson, J. ACM 12, 1965); tokens that come up too often whatever is done, H of
the optimum (`host.verify.multi`), start far below the others. The integral is the trapezoidal sum over ln t; for
functions of this kind its error falls as exp(-pi^2 / h) with the step h (Trefethen and Weideman, SIAM Review 56, 2014).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .draw import draw_index
from .multi import MultiVerified

GROUPS = 512
"""Groups of tokens, at most."""

CELLS = 1 << 13
"""Cells of ln p / q from which the groups are made, over `REACH` nats below the largest."""

REACH = 12.0
"""Nats; tokens further down weigh like the last of these."""

SPAN = 40.0
"""Largest difference of ln w."""

APART = 8.0
"""Nats by which tokens of H start below the others."""

NEARLY_LEAST = 2e-3
"""How far above the optimum's gap that of another set may be for its tokens to start apart as well."""

STEPS = 40
"""Steps of the fit, at most."""

MEMORY = 5
"""Former steps that the acceleration combines."""

NEAR = 2e-4
"""The fit ends where this much of the groups' optimum is missing."""

FIT_STEP, FIT_START = 0.8, -14.0
"""Step of the trapezoidal sum over ln t during the fit, and where it begins: an error of 5e-6."""

LAW_STEP, LAW_START = 0.3, -36.0
"""The same for the final law: an error of 5e-15."""


@dataclass(frozen=True, kw_only=True)
class Race:
    """A fitted race.

    Parameters
    ----------
    log_weights : float64 ndarray of shape (V,)
        ln w, at most 0.
    chosen : float64 ndarray of shape (V,)
        r; sums to 1 within 1e-12.
    """

    log_weights: npt.NDArray[np.float64]
    chosen: npt.NDArray[np.float64]

    def acceptance(self, p: npt.NDArray[np.float64]) -> float:
        """sum_x min(p, r)."""
        return float(np.minimum(p, self.chosen).sum())


def fit_race(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> Race:
    """The race of n >= 1 drafts from q that accepts nearly as much as any rule.

    Parameters
    ----------
    p, q : float64 ndarrays of shape (V,)
        Target and draft law.
    n : int
        Drafts.
    """
    group = token_groups(p, q)
    count = int(group.max()) + 1
    p_mass = masses_of(group, np.where(q > 0, p, 0.0), count)
    q_mass = masses_of(group, q, count)
    log_weights = fit_groups(p_mass, q_mass, n)
    chosen = chosen_law(log_weights, q_mass, n, step=LAW_STEP, start=LAW_START)
    each = np.divide(chosen, q_mass, out=np.zeros(count), where=q_mass > 0)
    return Race(log_weights=log_weights[group], chosen=q * each[group])


def verify_race(
    *, drafts: Sequence[int], p: npt.NDArray[np.float64], race: Race, uniforms: npt.NDArray[np.float64]
) -> MultiVerified:
    """Verify n drafts.

    Parameters
    ----------
    drafts : sequence of n ints
    p : float64 ndarray of shape (V,)
    race : Race
        Fitted to p, to the law of the drafts, and to n.
    uniforms : float64 ndarray of shape (3,)
        In [0, 1): of the choice, the decision, and a recovered token.
    """
    place = draw_index(np.exp(race.log_weights[list(drafts)]), float(uniforms[0]))
    draft = int(drafts[place])
    if uniforms[1] * race.chosen[draft] < p[draft]:
        return MultiVerified(token=draft, accepted=place)
    masses = np.maximum(p - race.chosen, 0.0)
    return MultiVerified(token=draw_index(masses if masses.any() else p, float(uniforms[2])), accepted=None)


def token_groups(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Group of each token, in ascending order of p / q; those that are never drawn belong to the last."""
    drawn = q > 0
    logs = np.full(len(p), -np.inf)
    np.log(np.divide(p, q, out=np.zeros(len(p)), where=drawn), out=logs, where=drawn & (p > 0))
    top = logs.max()
    if top == -np.inf:  # p and q do not touch
        return np.zeros(len(p), dtype=np.intp)
    cells = np.clip((logs - (top - REACH)) * ((CELLS - 1) / REACH), 0, CELLS - 1).astype(np.intp)
    cells[~drawn] = CELLS - 1
    density = np.sqrt(np.bincount(cells, np.where(drawn, p, 0.0), CELLS))
    place = np.cumsum(density)
    group_of_cell = np.minimum(place * (GROUPS / place[-1]), GROUPS - 1).astype(np.intp)
    used = np.zeros(GROUPS, dtype=np.intp)
    used[group_of_cell[cells[drawn]]] = 1
    numbered: npt.NDArray[np.intp] = (np.cumsum(used) - 1)[group_of_cell[cells]]
    return numbered


def masses_of(group: npt.NDArray[np.intp], law: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Mass of each of `count` groups."""
    masses: npt.NDArray[np.float64] = np.bincount(group, law, count).astype(np.float64, copy=False)
    return masses


def fit_groups(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.float64]:
    """ln w of each group, from the masses of p and q in the groups, in ascending order of p / q."""
    log_p = np.log(np.maximum(p, 1e-300))
    logs = log_p - np.log(q)
    logs = np.maximum(logs, logs.max() - SPAN / 2)
    gaps = np.cumsum(p) - np.cumsum(q) ** n
    for end in tight_sets(gaps):
        logs[: end + 1] -= APART
    logs -= logs.max()
    best: npt.NDArray[np.float64] = logs
    most = -1.0
    goal = p.sum() + min(0.0, gaps.min()) - NEAR
    mixing = _Anderson(np.sqrt(p))
    for _ in range(STEPS):
        chosen = chosen_law(logs, q, n, step=FIT_STEP, start=FIT_START)
        accepted = float(np.minimum(p, chosen).sum())
        if accepted > most:
            best, most = logs, accepted
        if accepted >= goal:
            break
        change = np.clip(log_p - np.log(np.maximum(chosen, 1e-300)), -4.0, 4.0)
        logs = mixing.next(logs, change)
        logs = np.maximum(logs - logs.max(), -SPAN)
    return best


def tight_sets(gaps: npt.NDArray[np.float64]) -> list[int]:
    """Where sets H end that come up too often: the least of each run of gaps near the least of all, if below 0."""
    near = gaps < min(-1e-6, gaps.min() + NEARLY_LEAST)
    starts = np.flatnonzero(near & ~np.append(False, near[:-1]))
    ends = np.flatnonzero(near & ~np.append(near[1:], False))
    return [int(start + gaps[start : end + 1].argmin()) for start, end in zip(starts, ends, strict=True)]


def chosen_law(
    log_weights: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int, *, step: float, start: float
) -> npt.NDArray[np.float64]:
    """Mass of each group in r, from the masses of q; the trapezoidal sum has this step and start in ln t."""
    t = np.exp(np.arange(start, SPAN + 4.0, step))
    weights = np.exp(log_weights)
    decays = np.exp(-np.outer(weights, t))
    inner = t * (q @ decays) ** (n - 1)
    law: npt.NDArray[np.float64] = n * q * weights * (decays @ inner) * step
    return law


class _Anderson:
    """Anderson's acceleration of a fixed-point iteration, errors weighed by the root of p's mass."""

    def __init__(self, weigh: npt.NDArray[np.float64]) -> None:
        self._weigh = weigh
        self._points: list[npt.NDArray[np.float64]] = []
        self._changes: list[npt.NDArray[np.float64]] = []

    def next(self, point: npt.NDArray[np.float64], change: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Where to go from a point at which the plain iteration would go on by `change`."""
        former = list(zip(self._points, self._changes, strict=True))
        self._points = [*self._points, point][-MEMORY:]
        self._changes = [*self._changes, change][-MEMORY:]
        plain = point + change
        if not former:
            return plain
        steps = np.stack([point - x for x, _ in former], axis=1)
        turns = np.stack([change - g for _, g in former], axis=1)
        shares = np.linalg.lstsq(turns * self._weigh[:, None], change * self._weigh, rcond=1e-8)[0]
        found: npt.NDArray[np.float64] = plain - (steps + turns) @ shares
        return found if np.abs(found - point).max() <= APART else plain
