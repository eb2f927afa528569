# SPDX-License-Identifier: Apache-2.0
"""F(psi) in float64, the real-valued law that the integers approximate.

    Z = sum_k exp(s_k / tau) + (V - K) eps;   p(id_k) = exp(s_k / tau) / Z;   p(other) = eps / Z

Everything is divided by the weight of the best id, so that no score overflows; (V - K) eps is then `tail`.
"""

import math

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi


def head_tail(psi: Psi) -> tuple[npt.NDArray[np.float64], float]:
    """Probabilities of the ids, float64 of shape (K,), and of the whole tail. They sum to 1."""
    weights = np.exp(psi.distances.astype(np.float64) * -psi.scale / psi.tau)
    total = math.fsum(weights) + psi.tail
    return weights / total, psi.tail / total


def probabilities(psi: Psi) -> npt.NDArray[np.float64]:
    """F(psi): the probability of every token, float64 of shape (V,)."""
    head, tail = head_tail(psi)
    p = np.zeros(psi.vocab_size, dtype=np.float64)
    if psi.spread:
        p[:] = tail / psi.spread
    p[psi.ids] = head
    return p
