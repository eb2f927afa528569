# SPDX-License-Identifier: Apache-2.0
"""Integer weights of a lowered psi, for backends without a weight engine: docs/DESIGN_TSD.md sections 3 and 4 in NumPy.

Every value fits 63 bits, so uint64 arithmetic is exact. `host.golden.exact`, which the verifier compares with, is
another statement of the same integers and is not used here.
"""

import numpy as np
import numpy.typing as npt

from hw.spec import exp2
from hw.spec.commands import TABLE_ENTRIES, Status, WeightMode
from hw.spec.config import TsuConfig

from .held import refusal
from .lowering import LoweredPsi, load_command, weight_table

Weights = npt.NDArray[np.uint64]

_C0, _C1, _C2 = (np.array(values, dtype=np.uint64) for values in (exp2.C0, exp2.C1, exp2.C2))
_SHIFT_MAX = np.uint64(63)


def integer_weights(lowered: LoweredPsi, config: TsuConfig) -> tuple[Weights, int]:
    """Weights of the top-K ids and the total: steps 3 to 5 of docs/DESIGN_TSD.md section 3.

    Parameters
    ----------
    lowered : LoweredPsi
        Of a TSU of `config`.
    config : TsuConfig

    Returns
    -------
    weights : uint64 ndarray of shape (K,)
        w_k >= 1, in the order of the ids.
    total : int
        Z = sum of the weights + T.

    Raises
    ------
    TsuError
        Z is outside [total_min, total_max]: the same refusal as that of the bit-true backends.
    """
    psi = lowered.psi
    by_distance = _table_weights if lowered.mode is WeightMode.TABLE else _exp2_weights
    weights = by_distance(lowered, config)[psi.distances]
    total = int(weights.sum()) + lowered.tail_weight  # K <= 1024 weights of at most 48 bits each
    if not config.total_min <= total <= config.total_max:
        raise refusal(load_command(lowered, count=0), Status.BAD_TOTAL, config, lowered)
    return weights, total


def _table_weights(lowered: LoweredPsi, config: TsuConfig) -> Weights:
    """Weight of each distance in table mode, uint64 of shape (256,)."""
    widen = np.uint64(exp2.MANTISSA_FRACTION_BITS + 1 - config.weight_bits)
    mantissa = weight_table(lowered.psi.scale, lowered.psi.tau, config.weight_bits) << widen
    return _rounded(mantissa, np.uint64(int(widen) + lowered.shift))


def _exp2_weights(lowered: LoweredPsi, config: TsuConfig) -> Weights:
    """Weight of each distance in exp2 mode, uint64 of shape (256,)."""
    x = np.arange(TABLE_ENTRIES, dtype=np.uint64) * np.uint64(lowered.log2_ratio_q)
    exponent = x >> np.uint64(exp2.FRACTION_BITS)
    fraction = x & np.uint64((1 << exp2.FRACTION_BITS) - 1)
    i = fraction >> np.uint64(exp2.FRACTION_BITS - exp2.SEGMENT_BITS)
    y = (fraction >> np.uint64(exp2.DROPPED_BITS)) & np.uint64((1 << exp2.OFFSET_BITS) - 1)
    y18 = y >> np.uint64(exp2.OFFSET_BITS - exp2.CURVE_OFFSET_BITS)
    t = _C1[i] - ((_C2[i] * y18) >> np.uint64(exp2.CURVE_SHIFT))
    mantissa = _C0[i] - ((t * y) >> np.uint64(exp2.SLOPE_SHIFT))
    least = exp2.MANTISSA_FRACTION_BITS + 1 - config.weight_bits + lowered.shift
    return _rounded(mantissa, exponent + np.uint64(least))


def _rounded(mantissa: Weights, shift: np.uint64 | Weights) -> Weights:
    """max(1, rshift_round(mantissa, shift)). A mantissa has 51 bits: a shift of 53 or more leaves 0, as does 63."""
    shift = np.minimum(shift, _SHIFT_MAX)
    half = np.uint64(1) << (shift - np.uint64(1))
    weights: Weights = np.maximum((mantissa + half) >> shift, np.uint64(1))
    return weights
