# SPDX-License-Identifier: Apache-2.0
"""A weighted race of n drafts: one of them is chosen, and verified alone against the law of the chosen.

Draft x_i is chosen with w(x_i) / sum_j w(x_j). Draws of one law, so the chosen one has law

    r(x) = n q(x) w(x) I(w(x)),   I(w) = integral_0^inf exp(-w t) phi(t)^(n - 1) dt,   phi(t) = sum_y q(y) exp(-w(y) t)

(w / sum w is the integral of w exp(-t sum w)). It is accepted with min(1, p / r), else a token comes from (p - r)+:
exact for every w > 0, because r is the law that was drawn from (`host.verify.race_law`: to 1e-12). Acceptance is
sum_x min(p, r); w is fitted to it (`host.verify.race_fit`).

Weights are equal within groups of tokens of about the same p / q: r then needs sums over groups alone. A group is a
cell, the leading bits of the float64 p / q, or several neighbours where many are used; groups are finest where p has
its mass (their number per unit of ln p / q goes with its root).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from host.psi.law import DraftLaw

from .draw import draw_index
from .multi import MultiVerified
from .race_fit import fit_groups
from .race_law import Floats, chosen_law

GROUPS = 1024
"""Groups of tokens, at most."""

CELL_BITS = 8
"""Each octave of p / q has 2**8 cells."""

OCTAVES = 18
"""Cells reach so far below p / q = n; the last has what is above n (r is at most n q), the first what is below them."""

CELLS = (OCTAVES << CELL_BITS) + 1
_SHIFT = 52 - CELL_BITS


@dataclass(frozen=True, kw_only=True)
class Race:
    """A fitted race.

    Parameters
    ----------
    log_weights : float64 ndarray of shape (V,)
        ln w, at most 0; 0 where q is.
    chosen : float64 ndarray of shape (V,)
        r; sums to 1 within 1e-12.
    """

    log_weights: npt.NDArray[np.float64]
    chosen: npt.NDArray[np.float64]

    def log_weights_of(self, tokens: Sequence[int]) -> Floats:
        """`log_weights` of some tokens."""
        return self.log_weights[list(tokens)]

    def chosen_of(self, token: int) -> float:
        """`chosen` of a token."""
        return float(self.chosen[token])

    def acceptance(self, p: npt.NDArray[np.float64]) -> float:
        """sum_x min(p, r)."""
        return float(np.minimum(p, self.chosen).sum())


class CellRace:
    """A fitted race by cells: what it says of all V tokens is worked out when it is asked for.

    Parameters
    ----------
    cells : int64 ndarray of shape (V,)
        Cell of each token.
    q : float64 ndarray of shape (V,)
        Draft law.
    log_weights, ratios : float64 ndarrays of shape (CELLS,)
        ln w and r / q of each cell.
    """

    def __init__(self, *, cells: npt.NDArray[np.int64], q: Floats, log_weights: Floats, ratios: Floats) -> None:
        self._cells, self._q = cells, q
        self._log_weights, self._ratios = log_weights, ratios

    @cached_property
    def log_weights(self) -> Floats:
        """See `Race`."""
        return self._log_weights.take(self._cells)

    @cached_property
    def chosen(self) -> Floats:
        """See `Race`."""
        chosen: Floats = self._ratios.take(self._cells)
        chosen *= self._q
        return chosen

    def log_weights_of(self, tokens: Sequence[int]) -> Floats:
        """`log_weights` of some tokens."""
        return self._log_weights[self._cells[list(tokens)]]

    def chosen_of(self, token: int) -> float:
        """`chosen` of a token."""
        return float(self._ratios[self._cells[token]] * self._q[token])

    def acceptance(self, p: Floats) -> float:
        """sum_x min(p, r)."""
        return float(np.minimum(p, self.chosen).sum())


def fit_race(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> Race | CellRace:
    """The race of n >= 1 drafts from q that accepts nearly as much as any rule.

    Parameters
    ----------
    p, q : float64 ndarrays of shape (V,)
        Target and draft law.
    n : int
        Drafts.
    """
    if n == 1:
        return Race(log_weights=np.zeros(len(q)), chosen=q)
    drawn = None if q.min() > 0 else np.flatnonzero(q)
    p_drawn, q_drawn = (p, q) if drawn is None else (p[drawn], q[drawn])
    cells = ratio_cells(p_drawn, q_drawn, n)
    race = fit_cells(cells, q_drawn, _sums(cells, p_drawn), cell_masses(cells, q_drawn, np.empty(len(q_drawn))), n)
    if drawn is None:
        return race
    log_weights, chosen = np.zeros(len(q)), np.zeros(len(q))
    log_weights[drawn], chosen[drawn] = race.log_weights, race.chosen
    return Race(log_weights=log_weights, chosen=chosen)


def fit_race_of_law(p: Floats, law: DraftLaw, n: int) -> Race | CellRace:
    """`fit_race` with the law of a psi, whose tail tokens are all alike in q: their masses are counts times q.

    Parameters
    ----------
    p : float64 ndarray of shape (V,)
        Target.
    law : DraftLaw
        Of the drafts.
    n : int
        Drafts.
    """
    q, even = law.probabilities(), law.tail_probability
    if n == 1 or even == 0.0:
        return fit_race(p, q, n)
    cells = ratio_cells(p, q, n)
    head = cells[law.ids]
    tail_counts = np.bincount(cells, minlength=CELLS) - np.bincount(head, minlength=CELLS)
    q_mass = tail_counts * even + _sums(head, law.head_probabilities)
    return fit_cells(cells, q, _sums(cells, p), q_mass, n)


def fit_cells(cells: npt.NDArray[np.int64], q: Floats, p_mass: Floats, q_mass: Floats, n: int) -> CellRace:
    """The race of tokens whose cells are known, and their masses (CELLS,) in p and q.

    Parameters
    ----------
    cells : int64 ndarray of shape (V,)
        See `ratio_cells`.
    q : float64 ndarray of shape (V,)
        Draft law, above 0.
    p_mass, q_mass : float64 ndarrays of shape (CELLS,)
    n : int
        Drafts.
    """
    used = np.flatnonzero(q_mass > 0)
    starts, group = groups_of(p_mass[used])
    p_group, q_group = np.add.reduceat(p_mass[used], starts), np.add.reduceat(q_mass[used], starts)
    fitted = fit_groups(p_group, q_group, n)
    log_weights, ratios = np.zeros(CELLS), np.zeros(CELLS)
    log_weights[used] = fitted.take(group)
    ratios[used] = (chosen_law(fitted, q_group, n) / q_group).take(group)
    return CellRace(cells=cells, q=q, log_weights=log_weights, ratios=ratios)


def verify_race(
    *, drafts: Sequence[int], p: npt.NDArray[np.float64], race: Race | CellRace, uniforms: npt.NDArray[np.float64]
) -> MultiVerified:
    """Verify n drafts.

    Parameters
    ----------
    drafts : sequence of n ints
    p : float64 ndarray of shape (V,)
    race : Race or CellRace
        Fitted to p, to the law of the drafts, and to n.
    uniforms : float64 ndarray of shape (3,)
        In [0, 1): of the choice, the decision, and a recovered token.
    """
    place = draw_index(np.exp(race.log_weights_of(drafts)), float(uniforms[0]))
    draft = int(drafts[place])
    if uniforms[1] * race.chosen_of(draft) < p[draft]:
        return MultiVerified(token=draft, accepted=place)
    masses = p - race.chosen
    np.maximum(masses, 0.0, out=masses)
    return MultiVerified(token=draw_index(masses if masses.any() else p, float(uniforms[2])), accepted=None)


def ratio_cells(p: Floats, q: Floats, n: int) -> npt.NDArray[np.int64]:
    """Cell of each token, ascending with p / q; q > 0.

    The bits of positive float64 numbers, read as integers, are in the order of the numbers: sign, exponent, fraction.
    """
    cells = (p / q).view(np.int64)
    cells >>= _SHIFT
    cells -= (int(np.float64(n).view(np.int64)) >> _SHIFT) - (CELLS - 1)
    np.maximum(cells, 0, out=cells)
    np.minimum(cells, CELLS - 1, out=cells)
    return cells


def cell_masses(cells: npt.NDArray[np.int64], law: Floats, work: Floats) -> Floats:
    """Mass of each cell, to the last places: a running sum of equal probabilities would round them all one way.

    Multiples of 2^-52 are added without rounding, and what they leave out is small. `work` (V,) is overwritten: new
    memory of this size costs more than the arithmetic.
    """
    np.add(law, 1.0, out=work)
    work -= 1.0
    masses = _sums(cells, work)
    np.subtract(law, work, out=work)
    masses += _sums(cells, work)
    return masses


def _sums(cells: npt.NDArray[np.int64], law: Floats) -> Floats:
    return np.bincount(cells, law, CELLS).astype(np.float64, copy=False)


def groups_of(p_mass: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """First cell of each group, and group of each cell, of the cells that are used."""
    if len(p_mass) <= GROUPS:
        every = np.arange(len(p_mass))
        return every, every
    place = np.cumsum(np.sqrt(p_mass))
    group = np.minimum(place * (GROUPS / place[-1]), GROUPS - 1).astype(np.intp)
    first = np.append(True, group[1:] != group[:-1])
    return np.flatnonzero(first), np.cumsum(first) - 1
