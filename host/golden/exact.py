# SPDX-License-Identifier: Apache-2.0
"""F_hw(psi): the integers of docs/DESIGN_TSD.md section 3, in arbitrary precision and step by step."""

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from host.psi.law import DraftLaw
from host.psi.schema import Psi
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from hw.spec.exp2 import (
    C0,
    C1,
    C2,
    CURVE_OFFSET_BITS,
    CURVE_SHIFT,
    DROPPED_BITS,
    FRACTION_BITS,
    MANTISSA_FRACTION_BITS,
    OFFSET_BITS,
    SEGMENT_BITS,
    SLOPE_SHIFT,
    exp2_mantissa,
    log2_ratio_q,
)

DISTANCES = 256
"""Number of 8-bit code distances."""

MODES = ("table", "exp2")
"""Where the weight of a code distance comes from."""

_C0, _C1, _C2 = (np.array(row, dtype=np.int64) for row in (C0, C1, C2))

_NEGLIGIBLE_NATS = 48
"""exp(-48) * 2**47 is below 1e-6: such entries round to 0 and are raised to 1."""


def draft_law(psi: Psi, config: TsuConfig, mode: str) -> DraftLaw:
    """The exact law of the draws that a TSU of `config` makes from `psi`.

    Parameters
    ----------
    psi : Psi
    config : TsuConfig
    mode : str
        "table" or "exp2"; the TSU must have it.

    Raises
    ------
    SpecError
        A TSU of `config` refuses this psi: K above `k_max`, V above `vocab_max`, a mode that is not built in, or
        Z outside [total_min, total_max].
    """
    check_accepted(psi, config, mode)
    shift = weight_shift(k=psi.k, tail=psi.tail, config=config)
    tail_weight = integer_tail(psi, config, shift)
    weights = integer_weights(psi.distances, psi, config, mode, shift)
    total = int(weights.sum()) + tail_weight
    if not config.total_min <= total <= config.total_max:
        raise SpecError("total Z", total, f"an integer in [{config.total_min}, {config.total_max}]")
    return DraftLaw(
        ids=psi.ids,
        weights=weights,
        tail_weight=tail_weight,
        vocab_size=psi.vocab_size,
        shift=shift,
    )


def check_accepted(psi: Psi, config: TsuConfig, mode: str) -> None:
    """Raise `SpecError` unless K, V and the mode suit a TSU of `config`."""
    if mode not in MODES:
        raise SpecError("mode", mode, "one of " + ", ".join(MODES))
    if not (config.has_table if mode == "table" else config.has_exp2):
        raise SpecError("mode", mode, f"a mode within weight_source = {config.weight_source!r}")
    if psi.k > config.k_max:
        raise SpecError("K", psi.k, f"an integer in [1, {config.k_max}] (k_max)")
    if psi.vocab_size > config.vocab_max:
        raise SpecError("vocab_size", psi.vocab_size, f"an integer in [K, {config.vocab_max}] (vocab_max)")


def weight_shift(*, k: int, tail: float, config: TsuConfig) -> int:
    """h: the right shift of every weight, so that Z fits `total_bits`."""
    best = 1 << (config.weight_bits - 1)
    tail_full = Fraction(tail) * best
    most = (k + 1) * best + -(-tail_full.numerator // tail_full.denominator)
    return max(0, most.bit_length() - config.total_bits)


def integer_tail(psi: Psi, config: TsuConfig, shift: int) -> int:
    """T: the weight of the whole tail after the shift; at least 1 unless the tail is 0."""
    if psi.tail == 0:
        return 0
    tail_full = Fraction(psi.tail) * (1 << (config.weight_bits - 1))
    rounded = tail_full / (1 << shift) + Fraction(1, 2)
    return max(1, rounded.numerator // rounded.denominator)


def integer_weight(distance: int, psi: Psi, config: TsuConfig, mode: str, shift: int) -> int:
    """w of one code distance; at least 1."""
    if mode == "table":
        entry = weight_table(psi.scale, psi.tau, config.weight_bits)[distance]
        mantissa, exponent = entry << (MANTISSA_FRACTION_BITS + 1 - config.weight_bits), 0
    else:
        x = distance * log2_ratio_q(psi.scale, psi.tau)
        exponent = x >> FRACTION_BITS
        mantissa = exp2_mantissa(x & ((1 << FRACTION_BITS) - 1))
    return max(1, rshift_round(mantissa, MANTISSA_FRACTION_BITS + 1 - config.weight_bits + exponent + shift))


def integer_weights(
    distances: npt.NDArray[np.uint8], psi: Psi, config: TsuConfig, mode: str, shift: int
) -> npt.NDArray[np.uint64]:
    """`integer_weight` of many code distances, of any shape, in 64-bit integers.

    No product reaches 2^63: an exponent is below 2^(8 + RATIO_BITS), a slope times an offset below 2^(36 + 27).
    """
    distance = distances.astype(np.int64)
    dropped = MANTISSA_FRACTION_BITS + 1 - config.weight_bits
    if mode == "table":
        exponent = np.zeros(distance.shape, dtype=np.int64)
        mantissa = np.array(weight_table(psi.scale, psi.tau, config.weight_bits))[distance] << dropped
    else:
        x = distance * log2_ratio_q(psi.scale, psi.tau)
        exponent = x >> FRACTION_BITS
        mantissa = _exp2_mantissas(x & ((1 << FRACTION_BITS) - 1))
    right = np.minimum(exponent + (dropped + shift), MANTISSA_FRACTION_BITS + 2)  # 2^50 becomes 0 there
    half = np.left_shift(np.int64(1), right - 1)
    weights: npt.NDArray[np.uint64] = np.maximum((mantissa + half) >> right, 1).astype(np.uint64)
    return weights


def _exp2_mantissas(fraction: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """`hw.spec.exp2.exp2_mantissa` of many fractions."""
    segment = fraction >> (FRACTION_BITS - SEGMENT_BITS)
    y = (fraction >> DROPPED_BITS) & ((1 << OFFSET_BITS) - 1)
    slope = _C1[segment] - ((_C2[segment] * (y >> (OFFSET_BITS - CURVE_OFFSET_BITS))) >> CURVE_SHIFT)
    mantissas: npt.NDArray[np.int64] = _C0[segment] - ((slope * y) >> SLOPE_SHIFT)
    return mantissas


def rshift_round(value: int, bits: int) -> int:
    """`value` / 2**bits, rounded to nearest, halves up; bits >= 1."""
    return (value + (1 << (bits - 1))) >> bits


@lru_cache(maxsize=256)
def weight_table(scale: float, tau: float, weight_bits: int) -> tuple[int, ...]:
    """E_d = max(1, round_half_even(2^(W-1) exp(-d scale / tau))) for d = 0..255, correctly rounded."""
    return tuple(_table_entry(Fraction(d) * Fraction(scale) / Fraction(tau), weight_bits) for d in range(DISTANCES))


def _table_entry(nats: Fraction, weight_bits: int) -> int:
    """max(1, round_half_even(2^(W-1) exp(-nats))), correctly rounded.

    With P digits, each decimal operation errs by at most 5 10^-P (relative), and the error of the quotient is
    multiplied by nats <= 48 in exp. Together that is below 10^(3 - P). The precision is raised until both ends of
    that interval round to one integer, which happens because exp of a non-zero rational is irrational.
    """
    best = 1 << (weight_bits - 1)
    if nats == 0:
        return best
    if nats > _NEGLIGIBLE_NATS:
        return 1
    digits = 30
    while True:
        with localcontext(Context(prec=digits)):
            entry = (-Decimal(nats.numerator) / Decimal(nats.denominator)).exp() * best
            error = entry.scaleb(3 - digits)
            low, high = round(entry - error), round(entry + error)
        if low == high:
            return max(1, low)
        digits *= 2
