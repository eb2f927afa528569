# SPDX-License-Identifier: Apache-2.0
"""The exp2 unit against mpmath: coefficients, error bound, ratio."""

import math
import random
import struct

import mpmath
import pytest

from hw.spec import exp2
from hw.spec.errors import SpecError

ONE = 1 << exp2.FRACTION_BITS


def ref_relative_error(fraction: int, mantissa: int) -> float:
    with mpmath.workdps(50):
        return float(mpmath.ldexp(mantissa, -50) * mpmath.power(2, mpmath.mpf(fraction) / ONE) - 1)


def sweep() -> list[int]:
    """Both ends of every segment and 40 random fractions in each."""
    rng = random.Random(20240601)
    width = ONE // exp2.SEGMENTS
    fractions = []
    for i in range(exp2.SEGMENTS):
        edges = (0, 255, 256, width - 1)
        fractions += [i * width + j for j in edges]
        fractions += [i * width + rng.randrange(width) for _ in range(40)]
    return fractions


def test_formats_of_the_contract():
    assert (exp2.FRACTION_BITS, exp2.SEGMENT_BITS, exp2.OFFSET_BITS, exp2.DROPPED_BITS) == (44, 9, 27, 8)
    assert (exp2.CURVE_SHIFT, exp2.SLOPE_SHIFT) == (11, 22)
    for table, bits in ((exp2.C0, exp2.MANTISSA_BITS), (exp2.C1, exp2.SLOPE_FRACTION_BITS), (exp2.C2, exp2.CURVE_BITS)):
        assert len(table) == 512
        assert max(table).bit_length() == bits
        assert min(table) > 0
    assert exp2.C0[0] == 1 << 50


def test_coefficients_solve_the_interpolation_equations():
    with mpmath.workdps(50):
        h = mpmath.mpf(1) / 512
        nodes = [mpmath.mpf(0), mpmath.mpf("0.4641") * h, mpmath.mpf("0.9282") * h]
        matrix = mpmath.matrix([[1, -x, x * x] for x in nodes])
        for i in (0, 1, 2, 100, 255, 256, 383, 510, 511):
            values = mpmath.matrix([mpmath.power(2, -(i * h + x)) for x in nodes])
            c0, c1, c2 = mpmath.lu_solve(matrix, values)
            expected = [int(mpmath.nint(mpmath.ldexp(c, bits))) for c, bits in ((c0, 50), (c1, 36), (c2, 20))]
            assert [exp2.C0[i], exp2.C1[i], exp2.C2[i]] == expected


def test_mantissa_error_is_within_the_documented_bound_and_near_it():
    errors = [ref_relative_error(f, exp2.exp2_mantissa(f)) for f in sweep()]
    worst = max(abs(e) for e in errors)
    assert worst < exp2.RELATIVE_ERROR
    assert worst > 0.85 * exp2.RELATIVE_ERROR  # the bound is not slack either
    assert exp2.exp2_mantissa(0) == 1 << 50


def test_the_error_check_sees_a_single_wrong_coefficient(monkeypatch):
    monkeypatch.setattr(exp2, "C2", (*exp2.C2[:300], exp2.C2[300] + 32, *exp2.C2[301:]))
    width = ONE // exp2.SEGMENTS
    f = 301 * width - 1
    assert abs(ref_relative_error(f, exp2.exp2_mantissa(f))) > exp2.RELATIVE_ERROR


def test_mantissa_stays_in_its_octave():
    mantissas = [exp2.exp2_mantissa(f) for f in sweep()]
    assert max(mantissas) == 1 << 50
    assert min(mantissas) >= 1 << 49


@pytest.mark.parametrize("fraction", [-1, ONE, 0.5])
def test_mantissa_refuses_a_fraction_outside_44_bits(fraction):
    with pytest.raises(SpecError, match=r"fraction = .* expected an integer in \[0, "):
        exp2.exp2_mantissa(fraction)


def test_ratio_is_correctly_rounded():
    rng = random.Random(7)
    pairs = [(rng.uniform(0, 2), rng.uniform(0.05, 4)) for _ in range(300)]
    pairs += [(math.ldexp(rng.random(), -rng.randrange(100)), 1.0) for _ in range(100)]
    with mpmath.workdps(80):
        for scale, tau in pairs:
            scale, tau = struct.unpack("<2f", struct.pack("<2f", scale, tau))
            exact = mpmath.ldexp(mpmath.mpf(scale) / mpmath.mpf(tau) / mpmath.log(2), 44)
            expected = min(int(mpmath.nint(exact)), (1 << 50) - 1)
            assert exp2.log2_ratio_q(scale, tau) == expected


def test_ratio_ends():
    assert exp2.log2_ratio_q(0.0, 1.0) == 0
    assert exp2.log2_ratio_q(2.0**-149, 3e38) == 0
    assert exp2.log2_ratio_q(44.0, 1.0) < exp2.RATIO_MAX  # 44 / ln 2 = 63.48
    assert exp2.log2_ratio_q(45.0, 1.0) == exp2.RATIO_MAX  # 45 / ln 2 = 64.92
    assert exp2.log2_ratio_q(3e38, 2.0**-149) == exp2.RATIO_MAX


@pytest.mark.parametrize(
    ("scale", "tau", "field"),
    [(-1.0, 1.0, "scale"), (math.nan, 1.0, "scale"), (1.0, 0.0, "tau"), (1.0, math.inf, "tau")],
)
def test_ratio_refuses(scale, tau, field):
    with pytest.raises(SpecError, match=f"{field} = "):
        exp2.log2_ratio_q(scale, tau)
