# SPDX-License-Identifier: Apache-2.0
"""Health tests of the noise: cutoffs against the binomial law of scipy, known answers, streams taken back."""

import math
from fractions import Fraction
from itertools import islice

import pytest
from scipy.stats import binom

from hw.spec import gf2
from hw.spec.errors import SpecError
from hw.spec.health import (
    SCHEDULE,
    HealthSchedule,
    chosen_word,
    examined_bits,
    false_alarm,
    known_answer,
    proportion_alarm,
    repetition_alarm,
    states_before,
)
from hw.spec.noise import GENERATORS, STATE_BITS, stream_states

SAMPLES, DWELLS = 8192, 128


def test_schedule() -> None:
    assert (SCHEDULE.dwell_words, SCHEDULE.window_words) == (64, SAMPLES)
    assert (SCHEDULE.ones_low, SCHEDULE.ones_high) == (SAMPLES * 7 // 16, SAMPLES * 9 // 16 - 1)


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(3, 5), Fraction(2, 5), Fraction(9, 16)])
def test_proportion_alarm_is_scipys(share: Fraction) -> None:
    """The exact sum of a library with a floating-point one, of both tails."""
    low, high = SCHEDULE.ones_low, SCHEDULE.ones_high
    tails = binom.cdf(low - 1, SAMPLES, float(share)) + binom.sf(high, SAMPLES, float(share))
    assert float(proportion_alarm(share)) == pytest.approx(tails, rel=1e-6)


def test_repetition_cutoff_is_that_of_sp_800_90b() -> None:
    """C = 1 + ceil(-log2(alpha) / H) with H = 1 gives 64 for alpha = 2^-63, the false alarm of a dwell."""
    assert repetition_alarm(Fraction(1, 2)) == Fraction(1, 2**63)
    assert 1 + math.ceil(63 / 1) == SCHEDULE.dwell_words


def test_false_alarms() -> None:
    """Below the bar of 2^-20 by far: ten years of 22,000 windows a second stay below 2^-13."""
    assert false_alarm() <= Fraction(1, 2**20)
    assert false_alarm() < Fraction(101, 100 * 2**56)
    assert false_alarm() * 22_000 * 3600 * 24 * 3653 < Fraction(1, 2**13)


@pytest.mark.parametrize("share", [0.6, 0.4])
def test_bias_of_60_percent_is_caught_in_one_window(share: float) -> None:
    """Also in one whose first 65 samples are still fair: the second sample behind a window carries its verdict."""
    assert 1 - proportion_alarm(Fraction(share).limit_denominator(10)) < Fraction(1, 10**11)
    if share > 0.5:
        assert binom.cdf(SCHEDULE.ones_high, SAMPLES - 65, share) < 1e-9


def test_wider_cutoffs_would_miss_bias() -> None:
    """The check above can fail: at 5/8, the next power of two, most biased windows pass."""
    assert binom.cdf(SAMPLES * 5 // 8 - 1, SAMPLES, 0.6) > 0.99


@pytest.mark.parametrize("noise", GENERATORS)
def test_streams_reach_their_states_when_the_test_has_ended(noise: str) -> None:
    states = stream_states(noise, 0, 2)
    for state, goal in zip(states_before(noise, states), states, strict=True):
        assert state != goal
        for _ in range(SAMPLES):
            state, _ = GENERATORS[noise].step(state)
        assert state == goal


def test_step_of_xoshiro_is_taken_back() -> None:
    """State 1 2 3 4 of the published words: the inverse of one step and of 2^10."""
    for log2 in (0, 10):
        state = gf2.state_before("xoshiro128pp", (1, 2, 3, 4), words_log2=log2)
        stream = list(islice(GENERATORS["xoshiro128pp"].words(state), (1 << log2) + 3))
        assert stream[1 << log2 :] == [641, 1573767, 3222811527]


def test_inverse() -> None:
    columns = tuple(1 << i | (1 << (i + 1) if i + 1 < 5 else 0) for i in range(5))
    inverse = gf2.inverse(columns)
    assert [gf2.image(columns, gf2.image(inverse, 1 << i)) for i in range(5)] == [1 << i for i in range(5)]
    with pytest.raises(ValueError, match="a singular matrix of 2 columns"):
        gf2.inverse((3, 3))
    assert len(gf2._rewind("lfsr", 0)) == STATE_BITS


@pytest.mark.parametrize(
    ("words", "order"), [(1, [0] * DWELLS), (2, [0, 1] * 2), (3, [0, 1, 2, 0])], ids=["one", "two", "three"]
)
def test_known_answer_test_visits_every_word(words: int, order: list[int]) -> None:
    order = order if words == 1 else [word for word in order for _ in range(32)]
    assert [chosen_word(dwell, words) for dwell in range(DWELLS)] == order


def crc16(bits: list[int]) -> int:
    """CRC of ITU-T V.41, as long division."""
    register = 0
    for bit in bits:
        register = register << 1 ^ (0x1021 if register >> 15 ^ bit else 0)
        register &= 0xFFFF
    return register


def test_crc16_check_value() -> None:
    """Published check value of CRC-16/XMODEM: 0x31C3 for the digits 1 to 9."""
    assert crc16([byte >> (7 - i) & 1 for byte in b"123456789" for i in range(8)]) == 0x31C3


def test_known_answers() -> None:
    """Ones before the last dwell and CRC of what comes before the states; other lanes have other answers."""
    states = stream_states("xoshiro128pp", 0, 6)
    bits = list(examined_bits("xoshiro128pp", states_before("xoshiro128pp", states[:3])))
    answer = known_answer("xoshiro128pp", states[:3])
    assert (answer.ones, answer.crc) == (sum(bits[:-64]), crc16(bits))
    assert answer != known_answer("xoshiro128pp", states[3:])


def test_shorter_schedules() -> None:
    """For benches and proofs."""
    short = HealthSchedule(dwell_log2=2)
    assert (short.window_words, short.ones_low, short.ones_high) == (512, 224, 287)
    assert len(list(examined_bits("lfsr", stream_states("lfsr", 0, 1), short))) == 512


def test_unknown_generator() -> None:
    with pytest.raises(SpecError, match="noise = 'dice' is not legal"):
        states_before("dice", [(1, 2, 3, 4)])
