# SPDX-License-Identifier: Apache-2.0
"""How far F_hw can be from F; the derivation is in docs/reference/bounds.md."""

import math
from typing import NamedTuple

from host.psi.schema import Psi
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from hw.spec.exp2 import RATIO_FRACTION_BITS, RELATIVE_ERROR

from .exact import DISTANCES, MODES, weight_shift

_LN2 = math.log(2.0)


class LawBound(NamedTuple):
    """Bounds on the distance between F_hw(psi) and F(psi)."""

    tv: float
    """Total variation."""
    dlogq: float
    """Largest |log q - log p| over the vocabulary, nats."""


def law_bound(psi: Psi, config: TsuConfig, mode: str) -> LawBound:
    """Bounds on TV(F_hw(psi), F(psi)) and on the largest |log q - log p|.

    Parameters
    ----------
    psi : Psi
    config : TsuConfig
    mode : str
        "table" or "exp2".
    """
    span = int(psi.distances.max()) * psi.scale / psi.tau
    return shape_bound(k=psi.k, span=span, tail=psi.tail, config=config, mode=mode)


def shape_bound(*, k: int, span: float, tail: float, config: TsuConfig, mode: str) -> LawBound:
    """The bound for every psi of one shape; V only limits the tails that make sense.

    Parameters
    ----------
    k : int
        K.
    span : float
        Largest (s_max - s_k) / tau, nats, >= 0.
    tail : float
        As in psi: mass of the tail over the weight of the best id.
    config : TsuConfig
    mode : str
        "table" or "exp2".
    """
    if mode not in MODES:
        raise SpecError("mode", mode, "one of " + ", ".join(MODES))
    shift = weight_shift(k=k, tail=tail, config=config)
    log_best = (config.weight_bits - 1 - shift) * _LN2  # log of the real-valued weight of the best id
    log_least = log_best - span
    if mode == "exp2":
        relative = RELATIVE_ERROR + (DISTANCES - 1) * 2.0 ** -(RATIO_FRACTION_BITS + 1)
        rounding = 0.5
    else:
        relative = 0.0
        rounding = 0.5 if shift == 0 else 0.5 + 2.0 ** -(shift + 1)

    if log_least >= 0:
        head_log, head_units = _relative_log(rounding * math.exp(-log_least) + relative), rounding
    else:
        head_log, head_units = max(-log_least, _LN2), 1.0
    tail_log = tail_units = log_tail = 0.0
    if tail > 0:
        log_tail = math.log(tail) + log_best
        tail_units = 0.5 if log_tail >= 0 else 1.0
        tail_log = _relative_log(0.5 * math.exp(-log_tail)) if log_tail >= 0 else -log_tail

    # The sum of all errors over the smallest real-valued total, both divided by the weight of the best id.
    smallest = 1 + (k - 1) * math.exp(-span) + tail
    share = relative + (k * head_units + tail_units) * math.exp(-log_best) / smallest
    total_log = _relative_log(share) if share < 0.5 else max(_LN2, math.log1p(share))
    return LawBound(tv=min(1.0, share), dlogq=max(head_log, tail_log) + total_log)


def _relative_log(error: float) -> float:
    """Bound on |log(w / omega)| where |w - omega| <= error * omega, error < 1, and w >= omega / 2."""
    return min(-math.log1p(-error), _LN2)
