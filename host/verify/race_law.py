# SPDX-License-Identifier: Apache-2.0
"""The law of the draft that a weighted race chooses, from the masses and weights of groups of tokens.

    r_g = n q_g w_g I(w_g),   I(w) = integral_0^inf exp(-w t) phi(t)^(n - 1) dt,   phi(t) = sum_h q_h exp(-w_h t)

The integral is a trapezoidal sum over s = ln t, from minus infinity; for functions of this kind its error falls as
exp(-pi^2 / step) (Trefethen and Weideman, SIAM Review 56, 2014). Below n t = exp(START) the integrand is
t (1 - t (w + (n - 1) m)), m = sum_h q_h w_h, up to t (n t)^2, and the sum is that of two geometric series.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

START = -10.0
"""The sum begins term by term where ln(n t) is this."""

BEYOND = 3.7
"""It ends so far behind -ln of the least weight: exp(-w t) is 3e-18 there."""

LAW_STEP, FIT_STEP = 0.28, 0.7
"""Steps in ln t of the law that is drawn from (an error below 1e-12), and during a fit (1e-4, without the series)."""


@dataclass(frozen=True, kw_only=True)
class Nodes:
    """What every sum over t needs.

    Parameters
    ----------
    t : float64 ndarray of shape (T,)
    decays : float64 ndarray of shape (G, T)
        exp(-w t).
    phi : float64 ndarray of shape (T,)
    weights : float64 ndarray of shape (G,)
        w.
    """

    t: Floats
    decays: Floats
    phi: Floats
    weights: Floats


def nodes_of(log_weights: Floats, q: Floats, n: int, *, step: float) -> Nodes:
    """Nodes of the sums for ln w (G,), at most 0, masses q (G,) and n drafts."""
    t = np.exp(np.arange(START - np.log(n), BEYOND - float(log_weights.min()), step))
    weights = np.exp(log_weights)
    decays = np.multiply.outer(-weights, t)
    np.exp(decays, out=decays)
    return Nodes(t=t, decays=decays, phi=q @ decays, weights=weights)


def chosen_law(log_weights: Floats, q: Floats, n: int, *, step: float = LAW_STEP) -> Floats:
    """Mass of each group in r.

    Parameters
    ----------
    log_weights : float64 ndarray of shape (G,)
        ln w, the largest of them 0.
    q : float64 ndarray of shape (G,)
        Masses of the groups in the law of the drafts; they sum to 1.
    n : int
        Drafts.
    step : float
        Of the sum over ln t.

    Returns
    -------
    float64 ndarray of shape (G,)
        Sums to 1 within 1e-12 by the default step.
    """
    nodes = nodes_of(log_weights, q, n, step=step)
    inner = nodes.phi ** (n - 1)
    inner *= nodes.t
    sums = nodes.decays @ inner
    first, ratio = float(nodes.t[0]), float(np.exp(step))
    slopes = nodes.weights + (n - 1) * float(q @ nodes.weights)
    sums += first / (ratio - 1) - first**2 / (ratio**2 - 1) * slopes
    law: Floats = q * nodes.weights * sums * (n * step)
    return law
