# SPDX-License-Identifier: Apache-2.0
"""The exp2 unit: 2^-f by a table of 512 quadratics, and the ratio that turns a code distance into an exponent.

Formats (unsigned): f is UQ0.44, a mantissa UQ1.50, a ratio UQ6.44. The derivation of the error bound is in
docs/reference/bounds.md.
"""

from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from math import isfinite

from .errors import SpecError, check_int

MANTISSA_FRACTION_BITS = 50
"""Fraction bits of a mantissa and of C0; the mantissa of 2^0 is 2^50."""

MANTISSA_BITS = 51
"""Width of a mantissa and of C0."""

SLOPE_FRACTION_BITS = 36
"""Fraction bits of C1; also its width, because C1 is below 1."""

CURVE_FRACTION_BITS = 20
"""Fraction bits of C2."""

CURVE_BITS = 18
"""Width of C2, which is below 1/4."""

FRACTION_BITS = 44
"""Width of f, the fraction of the exponent."""

SEGMENT_BITS = 9
"""Leading bits of f that select a segment."""

SEGMENTS = 1 << SEGMENT_BITS
"""Segments of the table, each 2^-9 wide."""

OFFSET_BITS = 27
"""Width of y, the offset in a segment, in units of 2^-36."""

DROPPED_BITS = FRACTION_BITS - SEGMENT_BITS - OFFSET_BITS
"""Low bits of f that the unit ignores."""

CURVE_OFFSET_BITS = 18
"""Leading bits of y that multiply C2."""

CURVE_SHIFT = CURVE_FRACTION_BITS + SEGMENT_BITS + CURVE_OFFSET_BITS - SLOPE_FRACTION_BITS
"""Right shift that brings C2 y18 to the fraction bits of C1: 11."""

SLOPE_SHIFT = SLOPE_FRACTION_BITS + SEGMENT_BITS + OFFSET_BITS - MANTISSA_FRACTION_BITS
"""Right shift that brings t y to the fraction bits of C0: 22."""

RATIO_FRACTION_BITS = FRACTION_BITS
"""Fraction bits of a = scale / (tau ln 2)."""

RATIO_BITS = 50
"""Width of a; larger ratios saturate (every distance but 0 then weighs 1)."""

RATIO_MAX = (1 << RATIO_BITS) - 1
"""Largest a."""

NODES = (Decimal("0.4641"), Decimal("0.9282"))
"""Interpolation points in units of a segment, beside 0: near the points that balance the cubic error term."""

RELATIVE_ERROR = 3.0e-11
"""Bound on |m / (2^50 2^-f) - 1| over all f, derived in docs/reference/bounds.md; 0 at f = 0."""


def _coefficients() -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """C0, C1, C2, rounded to nearest.

    Newton's divided differences of g(delta) = 2^-delta at 0, x1, x2 give g = c0 - c1 delta + c2 delta^2 in
    segment 0; segment i has the same coefficients times 2^(-i/512). 60 digits leave more than 35 digits after
    the rounding position, even after 512 products.
    """
    with localcontext(Context(prec=60)):
        ln2 = Decimal(2).ln()
        x1, x2 = (node / SEGMENTS for node in NODES)
        g1, g2 = (-ln2 * x1).exp(), (-ln2 * x2).exp()
        first, second = (g1 - 1) / x1, (g2 - g1) / (x2 - x1)
        curve = (second - first) / x2
        slope = curve * x1 - first
        step = (-ln2 / SEGMENTS).exp()
        factor = Decimal(1)
        rows: list[tuple[int, int, int]] = []
        for _ in range(SEGMENTS):
            rows.append(
                (
                    round(factor * (1 << MANTISSA_FRACTION_BITS)),
                    round(factor * slope * (1 << SLOPE_FRACTION_BITS)),
                    round(factor * curve * (1 << CURVE_FRACTION_BITS)),
                )
            )
            factor *= step
    c0, c1, c2 = zip(*rows, strict=True)
    return c0, c1, c2


C0, C1, C2 = _coefficients()
"""Coefficients of the segments: values (UQ1.50), slopes (UQ0.36, negated), curvatures (UQ0.20; 18 bits used)."""


def exp2_mantissa(fraction: int) -> int:
    """m, the UQ1.50 mantissa of 2^-(fraction / 2^44).

    Parameters
    ----------
    fraction : int
        f, in [0, 2**44).

    Returns
    -------
    int
        In [2**49, 2**50], exactly 2**50 at 0.
    """
    check_int("fraction", fraction, 0, (1 << FRACTION_BITS) - 1)
    i = fraction >> (FRACTION_BITS - SEGMENT_BITS)
    y = (fraction >> DROPPED_BITS) & ((1 << OFFSET_BITS) - 1)
    y18 = y >> (OFFSET_BITS - CURVE_OFFSET_BITS)
    t = C1[i] - ((C2[i] * y18) >> CURVE_SHIFT)
    return C0[i] - ((t * y) >> SLOPE_SHIFT)


@lru_cache(maxsize=8)
def _ln2_interval(digits: int) -> tuple[Fraction, Fraction]:
    """Rationals below and above ln 2, one unit of the last of `digits` decimal digits to each side.

    `Decimal.ln` is correctly rounded, so half a unit would do.
    """
    with localcontext(Context(prec=digits)):
        middle = Fraction(Decimal(2).ln())
    unit = Fraction(1, 10**digits)
    return middle - unit, middle + unit


@lru_cache(maxsize=4096)
def log2_ratio_q(scale: float, tau: float) -> int:
    """a = round_half_even(scale / (tau ln 2) * 2^44), at most 2^50 - 1: the exponent per code distance.

    Correctly rounded: ln 2 is enclosed ever more tightly until both ends of the interval round to one integer.
    That ends, because ln 2 is irrational and so the product is never halfway between two integers.

    Parameters
    ----------
    scale, tau : float
        Finite, scale >= 0, tau > 0. Taken as the exact rationals that they are.

    Raises
    ------
    SpecError
        `scale` or `tau` is outside its range.
    """
    if not (isfinite(scale) and scale >= 0):
        raise SpecError("scale", scale, "a finite number >= 0")
    if not (isfinite(tau) and tau > 0):
        raise SpecError("tau", tau, "a finite number > 0")
    exact = Fraction(scale) / Fraction(tau) * (1 << RATIO_FRACTION_BITS)
    if exact > RATIO_MAX:  # ln 2 < 1, so the quotient is larger still
        return RATIO_MAX
    digits = 40
    while True:
        below, above = _ln2_interval(digits)
        low, high = round(exact / above), round(exact / below)
        if low == high:
            return min(low, RATIO_MAX)
        digits *= 2
