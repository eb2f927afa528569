# SPDX-License-Identifier: Apache-2.0
"""Weights, shifts and command words against mpmath and vectors worked out by hand from docs/DESIGN_TSD.md."""

from fractions import Fraction

import mpmath
import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.lowering import (
    COUNT_MAX,
    _table_at,
    check_mode,
    draw_command,
    load_command,
    lower,
    seed_command,
    table_command,
    weight_table,
    with_count,
)
from hw.spec.commands import WeightMode
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.errors import SpecError

DEFAULT = TsuConfig()
TINY = PRESETS["tiny"]


def make_psi(**changes: object) -> Psi:
    fields: dict[str, object] = {
        "ids": [3, 7],
        "scores_q": [-1, 5],
        "scale": 0.25,
        "zero_point": 0,
        "tau": 1.0,
        "tail": 0.5,
        "vocab_size": 10,
    }
    return Psi(**(fields | changes))  # type: ignore[arg-type]  # a mix of field types


def binary32(value: float) -> float:
    return float(np.float32(value))


def mpmath_table(scale: float, tau: float, weight_bits: int) -> list[int]:
    with mpmath.workdps(120):
        step = mpmath.mpf(scale) / mpmath.mpf(tau)
        values = [mpmath.ldexp(mpmath.exp(-d * step), weight_bits - 1) for d in range(256)]
        return [max(1, int(mpmath.nint(value))) for value in values]  # nint rounds ties to even


@pytest.mark.parametrize("weight_bits", [4, 5, 32, 48])
@pytest.mark.parametrize(
    ("scale", "tau"),
    [
        (15 / 255, 1.0),
        (binary32(0.1), binary32(0.7)),
        (binary32(1e-6), binary32(3.3)),
        (1.0, binary32(1e6)),
        (0.5, 0.25),
        (binary32(31.9), 1.0),
        (47.5, 1.0),
        (binary32(1e-45), binary32(3e38)),
    ],
)
def test_weight_table_is_correctly_rounded(scale: float, tau: float, weight_bits: int) -> None:
    assert weight_table(scale, tau, weight_bits).tolist() == mpmath_table(scale, tau, weight_bits)


def test_weight_table_at_the_ends() -> None:
    assert weight_table(0.0, 1.0, 48).tolist() == [1 << 47] * 256
    assert weight_table(binary32(3e38), binary32(1e-45), 48).tolist() == [1 << 47] + [1] * 255


def test_weight_table_asks_for_more_bits_when_rounding_is_undecided() -> None:
    # 50 fraction bits leave an error of some units of 2^-50 on values scaled by 2^47: too coarse for 255 entries.
    assert _table_at(Fraction(1, 16), 48, 50) is None
    assert _table_at(Fraction(1, 16), 48, 192) == mpmath_table(1 / 16, 1.0, 48)


def test_shift_and_tail_by_hand() -> None:
    # 3 * 2^47 + 2^46 has 49 bits and fits 56: no shift; T = 2^47 / 2.
    lowered = lower(make_psi(), DEFAULT, WeightMode.TABLE)
    assert (lowered.shift, lowered.tail_weight, lowered.score_max_q, lowered.log2_ratio_q) == (0, 1 << 46, 5, 0)
    # 3 * 2^47 + 2^24 2^47 has 72 bits: 16 too many.
    lowered = lower(make_psi(tail=2.0**24), DEFAULT, WeightMode.TABLE)
    assert (lowered.shift, lowered.tail_weight) == (16, 1 << 55)
    # (2^24 - 4 + 3) 2^47 is the largest that has 71 bits.
    lowered = lower(make_psi(tail=2.0**24 - 4), DEFAULT, WeightMode.TABLE)
    assert (lowered.shift, lowered.tail_weight) == (15, ((1 << 24) - 4) << 32)
    lowered = lower(make_psi(tail=2.0**24 - 3), DEFAULT, WeightMode.TABLE)
    assert (lowered.shift, lowered.tail_weight) == (16, ((1 << 24) - 3) << 31)


@pytest.mark.parametrize(
    ("tail", "weight"), [(0.0, 0), (2.0**-64, 1), (1 / 32, 1), (3 / 32, 2), (5 / 64, 1), (1.0, 16)]
)
def test_tail_rounds_half_up_and_never_to_zero(tail: float, weight: int) -> None:
    # W = 5: T_full = 16 tail; K = 1: (1 + 1) 16 + 16 has 6 bits = B, so h = 0.
    psi = make_psi(ids=[3], scores_q=[0], tail=tail)
    lowered = lower(psi, TINY, WeightMode.TABLE)
    assert (lowered.shift, lowered.tail_weight) == (0, weight)


def test_ratio_against_mpmath() -> None:
    psi = make_psi(scale=binary32(0.0571), tau=binary32(0.83))
    with mpmath.workdps(60):
        exact = mpmath.mpf(psi.scale) / mpmath.mpf(psi.tau) / mpmath.log(2)
        assert lower(psi, DEFAULT, WeightMode.EXP2).log2_ratio_q == int(mpmath.nint(mpmath.ldexp(exact, 44)))


def test_load_words_by_hand() -> None:
    words = load_command(lower(make_psi(), DEFAULT, WeightMode.TABLE), count=1000, tag=0xBEEF)
    assert words.dtype == np.uint32
    expected = [0xBEEF0101, 1000, 0x0500000A, 0x00000002, 0, 0x00004000, 0, 0, 0xFF000003, 0x05000007]
    assert words.tolist() == expected


def test_load_words_of_exp2_mode_by_hand() -> None:
    # scale / tau = 1: a is 2^44 log2(e), rounded.
    psi = make_psi(scale=1.0, tail=2.0**24, scores_q=[-128, -128], ids=[0, (1 << 20) - 1], vocab_size=1 << 20)
    words = load_command(lower(psi, DEFAULT, WeightMode.EXP2), count=0)
    expected = [0x0101, 0, 0x80100000, 0x10010002, 0, 1 << 23, 0x47652B83, 0x1715, 0x80000000, 0x800FFFFF]
    with mpmath.workdps(40):
        assert int(mpmath.nint(mpmath.ldexp(1 / mpmath.log(2), 44))) == expected[7] << 32 | expected[6]
    assert words.tolist() == expected


def test_draw_table_and_seed_words() -> None:
    assert draw_command(count=(1 << 32) - 1, tag=3).tolist() == [0x00030102, 0xFFFFFFFF]
    table = table_command(weight_table(0.0, 1.0, 48), tag=1)
    assert table.tolist() == [0x00010103] + [0, 1 << 15] * 256
    seed = seed_command(DEFAULT, 0)
    assert len(seed) == 1 + 3 * 4
    # SplitMix64 of seed 0 starts E220A8397B1DCDAF, 6E789E6AA1B965F4 (published test vector).
    assert [hex(word) for word in seed[:5]] == ["0x104", "0x7b1dcdaf", "0xe220a839", "0xa1b965f4", "0x6e789e6a"]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: lower(make_psi(ids=range(5), scores_q=[0] * 5), TINY, WeightMode.TABLE), "k"),
        (lambda: lower(make_psi(vocab_size=17), TINY, WeightMode.TABLE), "vocab_size"),
        (lambda: lower(make_psi(), PRESETS["up5k"], WeightMode.EXP2), "mode"),
        (lambda: check_mode(DEFAULT, "log"), "mode"),
        (lambda: draw_command(count=1 << 32), "count"),
        (lambda: draw_command(count=-1), "count"),
        (lambda: draw_command(count=1, tag=1 << 16), "tag"),
        (lambda: table_command(np.zeros(255, dtype=np.uint64)), "len(entries)"),
        (lambda: seed_command(DEFAULT, -1), "seed"),
        (lambda: weight_table(1.0, 1.0, 49), "weight_bits"),
    ],
)
def test_illegal_arguments_name_field_value_and_range(call: object, field: str) -> None:
    with pytest.raises(SpecError) as caught:
        call()  # type: ignore[operator]  # a lambda of the table above
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_default_mode_follows_the_weight_source() -> None:
    assert check_mode(DEFAULT, None) is WeightMode.TABLE
    assert check_mode(DEFAULT.with_fields(weight_source="exp2"), None) is WeightMode.EXP2


def test_another_count_is_the_same_load_with_that_count() -> None:
    """`with_count` changes what LOAD with that count would hold, nothing else, and leaves the given words alone."""
    lowered = lower(make_psi(), DEFAULT, WeightMode.TABLE)
    load = load_command(lowered, count=0)
    for count in (0, 1, 77, COUNT_MAX):
        assert np.array_equal(with_count(load, count), load_command(lowered, count=count))
    assert np.array_equal(load, load_command(lowered, count=0))
    with pytest.raises(SpecError, match="count"):
        with_count(load, COUNT_MAX + 1)
