# SPDX-License-Identifier: Apache-2.0
"""The integer law against a worked example, mpmath, and exact fractions; what a TSU refuses."""

import struct
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from host.golden import exact
from host.golden.exact import MODES, draft_law, integer_weight, integer_weights, rshift_round, weight_table
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.errors import SpecError


def binary32(x: float) -> float:
    return struct.unpack("<f", struct.pack("<f", x))[0]


def make(**changes) -> Psi:
    fields = {
        "ids": [1, 4, 7, 8],
        "scores_q": [126, 124, 127, 125],
        "scale": 0.6931472,  # ln 2 up to binary32
        "zero_point": 0,
        "tau": 1.0,
        "tail": 0.5,
        "vocab_size": 12,
    }
    return Psi(**{**fields, **changes})


def random_psi(seed: int, k: int, vocab_size: int = 1000) -> Psi:
    rng = np.random.Generator(np.random.PCG64(seed))
    return Psi(
        ids=np.sort(rng.choice(vocab_size, size=k, replace=False)),
        scores_q=rng.integers(-128, 128, size=k),
        scale=rng.uniform(0, 0.06),
        zero_point=0,
        tau=1.0,
        tail=float(2.0 ** rng.uniform(-40, 10)) if k < vocab_size else 0.0,
        vocab_size=vocab_size,
    )


@pytest.mark.parametrize("mode", MODES)
def test_worked_example_at_five_bits(mode):
    """W = 5, B = 6, by hand.

    T_full = 8, so (K + 1) 16 + 8 = 88 has 7 bits and h = 1; T = 8 / 2 = 4. The entries 16, 8, 4, 2 of distances
    0..3 become 8, 4, 2, 1; ids 1, 4, 7, 8 lie at distances 1, 3, 0, 2. Z = 15 + 4.
    """
    law = draft_law(make(), PRESETS["tiny"], mode)
    assert law.shift == 1
    assert law.weights.tolist() == [4, 1, 8, 2]
    assert (law.tail_weight, law.total, law.spread) == (4, 19, 8)
    assert law.q(7) == Fraction(8, 19)
    assert law.q(0) == Fraction(4, 19 * 8)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shift", [0, 1, 5, 47])
def test_weights_of_many_distances_are_those_of_each(mode, shift):
    """Every distance, in 64-bit integers and in Python's."""
    distances = np.arange(256, dtype=np.uint8)
    for seed in range(3 if mode == "table" else 40):
        psi = random_psi(seed, 4)
        for config in (PRESETS["tiny"], TsuConfig()):
            each = [integer_weight(d, psi, config, mode, shift) for d in range(256)]
            assert integer_weights(distances, psi, config, mode, shift).tolist() == each


def test_a_wrong_mantissa_is_seen(monkeypatch):
    monkeypatch.setattr(exact, "SLOPE_SHIFT", exact.SLOPE_SHIFT - 1)
    psi = random_psi(1, 4)
    many = integer_weights(np.arange(256, dtype=np.uint8), psi, TsuConfig(), "exp2", 0).tolist()
    assert many != [integer_weight(d, psi, TsuConfig(), "exp2", 0) for d in range(256)]


def test_half_way_shifts_round_up():
    assert [rshift_round(v, 2) for v in range(9)] == [0, 0, 1, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    ("scale", "tau", "weight_bits"),
    [(15 / 255, 1.0, 48), (0.003, 0.7, 48), (0.5, 1.9, 48), (0.05, 1.0, 32), (0.02, 1.0, 5), (1e-30, 1.0, 48)],
)
def test_table_is_correctly_rounded(scale, tau, weight_bits):
    scale, tau = binary32(scale), binary32(tau)
    table = weight_table(scale, tau, weight_bits)
    with mpmath.workdps(60):
        sigma = mpmath.mpf(scale) / mpmath.mpf(tau)
        values = [mpmath.ldexp(mpmath.exp(-d * sigma), weight_bits - 1) for d in range(256)]
        assert list(table) == [max(1, int(mpmath.nint(v))) for v in values]


def test_table_at_the_ends_of_the_ratio():
    assert set(weight_table(binary32(1e-30), 1.0, 48)) == {1 << 47}
    assert weight_table(0.0, 1.0, 48) == (1 << 47,) * 256
    assert weight_table(3e38, 1e-38, 48) == (1 << 47,) + (1,) * 255


@pytest.mark.parametrize(
    ("correction", "below_best"),
    [(Fraction(0), 0), (Fraction(1, 1 << 97), 0), (Fraction(1, 1 << 97) + Fraction(1, 1 << 120), 1)],
)
def test_table_precision_is_raised_until_the_rounding_is_decided(correction, below_best):
    """exp(-x) = 1 - x + x^2/2 - ...: near x = 2^-48 + 2^-97, 2^47 exp(-x) passes 2^47 - 1/2."""
    x = Fraction(1, 1 << 48) + correction
    entry = exact._table_entry(x, 48)
    with mpmath.workdps(80):
        value = mpmath.ldexp(mpmath.exp(-mpmath.mpf(x.numerator) / x.denominator), 47)
        assert abs(value - (2**47 - mpmath.mpf(1) / 2)) < 1e-14
        assert entry == int(mpmath.nint(value)) == 2**47 - below_best


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("k", [1, 2, 32, 64, 512])
def test_weights_are_near_the_formula_and_sum_to_the_total(mode, k):
    """Every weight within 1.75 units plus 4e-11 of 2^(47-h) exp(-d scale / tau); bounds.md has the tight bound."""
    for seed in range(4):
        psi = random_psi(seed, k)
        law = draft_law(psi, TsuConfig(k_max=512), mode)
        assert law.total == sum(law.weights.tolist()) + law.tail_weight
        assert law.total < 1 << 56
        with mpmath.workdps(40):
            best = mpmath.ldexp(1, 47 - law.shift)
            for w, d in zip(law.weights.tolist(), psi.distances.tolist(), strict=True):
                omega = best * mpmath.exp(-d * mpmath.mpf(psi.scale) / mpmath.mpf(psi.tau))
                assert abs(w - omega) <= 1 + omega * 4e-11
            assert abs(law.tail_weight - best * mpmath.mpf(psi.tail)) <= 1


def test_shift_is_the_smallest_that_fits_by_its_rule():
    """Default widths: h counts the doublings of K + 1 + tail from 512, because 2^47 512 = 2^56 = 2^B."""
    cases = [(510, 0.0, 0), (511, 0.0, 1), (1, 509.5, 0), (1, 510.0, 1), (64, 959.0, 2), (1, 2.0**24, 16)]
    for k, tail, shift in cases:
        assert exact.weight_shift(k=k, tail=tail, config=TsuConfig()) == shift


@pytest.mark.parametrize("mode", MODES)
def test_q_sums_to_one_exactly_and_agrees_with_every_view(mode):
    psi = random_psi(9, 20, vocab_size=60)
    law = draft_law(psi, TsuConfig(), mode)
    fractions = [law.q(token) for token in range(60)]
    assert sum(fractions) == 1
    tokens = np.arange(60)
    weights, spreads = law.weight_of(tokens), law.spread_of(tokens)
    assert (weights.dtype, spreads.dtype) == (np.uint64, np.uint32)
    assert [Fraction(int(w), law.total * int(s)) for w, s in zip(weights, spreads, strict=True)] == fractions
    assert law.probabilities() == pytest.approx([float(f) for f in fractions], rel=1e-15)
    assert [law.probability(token) for token in range(60)] == [float(f) for f in fractions]
    masses = np.random.default_rng(9).dirichlet(np.full(60, 0.5))
    assert np.array_equal(law.excess(masses), np.maximum(masses - law.probabilities(), 0.0))
    with mpmath.workdps(30):
        expected = [float(mpmath.log(mpmath.mpf(f.numerator) / f.denominator)) for f in fractions]
    assert law.log_q(tokens) == pytest.approx(expected, rel=1e-14)
    assert {token for token in range(60) if spreads[token] == 1} == set(psi.ids.tolist())


def test_tail_of_zero_and_no_tail():
    law = draft_law(make(tail=0), TsuConfig(), "table")
    assert (law.tail_weight, law.spread, law.q(0)) == (0, 8, 0)
    assert law.log_q([0, 7])[0] == -np.inf
    assert law.probabilities()[0] == 0
    full = draft_law(make(ids=[0, 1, 2, 3], vocab_size=4, tail=0), TsuConfig(), "table")
    assert full.spread == 0
    assert full.probabilities().sum() == pytest.approx(1, abs=1e-15)
    assert draft_law(make(tail=2.0**-64), TsuConfig(), "table").tail_weight == 1


@pytest.mark.parametrize("mode", MODES)
def test_saturated_ratio_leaves_only_the_best_id(mode):
    law = draft_law(make(scale=1e30, tau=1e-30, tail=0), TsuConfig(), mode)
    assert law.weights.tolist() == [1, 1, 1 << 47, 1]


@pytest.mark.parametrize(
    ("psi", "config", "mode", "message"),
    [
        (random_psi(1, 65), TsuConfig(), "table", r"K = 65 .* \[1, 64\]"),
        (make(vocab_size=17), PRESETS["tiny"], "table", r"vocab_size = 17 .* \[K, 16\]"),
        (make(), TsuConfig(weight_source="table"), "exp2", r"mode = 'exp2' .* weight_source = 'table'"),
        (make(), TsuConfig(weight_source="exp2"), "table", r"mode = 'table' .* weight_source = 'exp2'"),
        (make(), TsuConfig(), "both", r"mode = 'both' .* one of table, exp2"),
        # W = B = 5, T_full = 32000: 32080 has 15 bits, h = 10, T = 31 and four weights raised to 1.
        (
            make(tail=2000),
            TsuConfig(k_max=4, vocab_max=16, weight_bits=5, headroom_bits=0),
            "table",
            r"total Z = 35 .* an integer in \[2, 31\]",
        ),
    ],
)
def test_refused(psi, config, mode, message):
    with pytest.raises(SpecError, match=message):
        draft_law(psi, config, mode)


GOOD_LAW = {"ids": [1, 3], "weights": [5, 2], "tail_weight": 3, "vocab_size": 5, "shift": 0}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": [5, 0]}, r"weights = 0 "),
        ({"weights": [5]}, r"len\(weights\) = 1 .* 2"),
        ({"ids": [], "weights": []}, r"at least 1"),
        ({"ids": [3, 1]}, r"ids = .* strictly increasing"),
        ({"ids": [1, 5]}, r"ids = 5 "),
        ({"tail_weight": -1}, r"tail_weight = -1 "),
        ({"vocab_size": 0}, r"vocab_size = 0 "),
        ({"ids": [0, 1], "vocab_size": 2}, r"tail_weight = 3 .* expected 0"),
        ({"shift": -1}, r"shift = -1 "),
    ],
)
def test_draft_law_refuses(changes, message):
    assert DraftLaw(**GOOD_LAW).total == 10
    with pytest.raises(SpecError, match=message):
        DraftLaw(**{**GOOD_LAW, **changes})


def test_tokens_outside_the_vocabulary_are_refused():
    law = DraftLaw(**GOOD_LAW)
    for call in (law.q, lambda t: law.log_q([t]), lambda t: law.weight_of([0, t]), lambda t: law.spread_of([t])):
        for token in (-1, 5):
            with pytest.raises(SpecError, match=rf"tokens? = {token} "):
                call(token)
    with pytest.raises(SpecError, match=r"tokens.dtype"):
        law.weight_of([0.5])
