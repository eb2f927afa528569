# SPDX-License-Identifier: Apache-2.0
"""Health tests of the noise: schedule, cutoffs, and the known answers of the start-up test.

One bit of a lane's noise words is examined at a time, for a dwell of 64 consecutive samples. A window of 128 dwells
visits the 32 bits of one word four times; the next window examines the next word. The known-answer test is the first
window after reset and visits every word.
Source: NIST SP 800-90B, section 4.4 (repetition count and adaptive proportion tests).
"""

from binascii import crc_hqx
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from .gf2 import state_before
from .noise import WORD_BITS, State, get_generator

POSITION_BITS = 7
"""Bits of the number of a dwell in its window: 5 choose the bit, 2 are the pass or, in the known-answer test, the word.
"""

WORDS_MAX = 1 << (POSITION_BITS - 5)
"""Most noise words of a lane that the known-answer test can visit."""


@dataclass(frozen=True, kw_only=True)
class HealthSchedule:
    """How long one bit position is examined, and what passes.

    A dwell fails the repetition count test when all its bits are equal. A window fails the proportion test when its
    share of ones is below 7/16, or 9/16 and above: the passing counts are as many as a power of two, which makes the
    test one look at the upper bits of a counter.

    Parameters
    ----------
    dwell_log2 : int
        Logarithm of the words of a dwell.
    """

    dwell_log2: int

    @property
    def dwell_words(self) -> int:
        """Words for which one position is examined; a dwell whose bits are all equal fails."""
        return 1 << self.dwell_log2

    @property
    def window_log2(self) -> int:
        """Logarithm of `window_words`."""
        return self.dwell_log2 + POSITION_BITS

    @property
    def window_words(self) -> int:
        """Words of a window, and bits examined in it."""
        return 1 << self.window_log2

    @property
    def passing_log2(self) -> int:
        """Logarithm of how many counts of ones pass."""
        return self.window_log2 - 3

    @property
    def ones_low(self) -> int:
        """Fewest ones of a window that pass."""
        return 7 << (self.window_log2 - 4)

    @property
    def ones_high(self) -> int:
        """Most ones of a window that pass."""
        return self.ones_low + (1 << self.passing_log2) - 1


SCHEDULE = HealthSchedule(dwell_log2=6)
"""The schedule of the gateware."""


def chosen_word(dwell: int, noise_words: int) -> int:
    """Word of a dwell of the known-answer test: 32 dwells each 0, 1, 2, 0 of three, 0, 1, 0, 1 of two."""
    number = dwell // WORD_BITS % WORDS_MAX
    return number if number < noise_words else number % 2 if noise_words == 2 else 0


def proportion_alarm(ones: Fraction, schedule: HealthSchedule = SCHEDULE) -> Fraction:
    """Exact probability that independent bits, each 1 with probability `ones`, fail the proportion test of a window."""
    samples, low, high = schedule.window_words, schedule.ones_low, schedule.ones_high
    one, zero = ones.numerator, ones.denominator - ones.numerator
    ways, passing = 1, 0
    for count in range(high + 1):
        if count >= low:
            passing += ways * one**count * zero ** (samples - count)
        ways = ways * (samples - count) // (count + 1)
    return 1 - Fraction(passing, ones.denominator**samples)


def repetition_alarm(ones: Fraction, schedule: HealthSchedule = SCHEDULE) -> Fraction:
    """Exact probability that independent bits, each 1 with probability `ones`, are all equal in a dwell."""
    return ones**schedule.dwell_words + (1 - ones) ** schedule.dwell_words


def false_alarm(schedule: HealthSchedule = SCHEDULE) -> Fraction:
    """Upper bound of the probability that a window of fair bits fails any test."""
    fair, dwells = Fraction(1, 2), 1 << POSITION_BITS
    return proportion_alarm(fair, schedule) + dwells * repetition_alarm(fair, schedule)


def examined_bits(noise: str, states: Sequence[State], schedule: HealthSchedule = SCHEDULE) -> Iterator[int]:
    """The bits that the known-answer test of a lane sees, from the states of the lane's streams on.

    Raises
    ------
    SpecError
        `noise` is not the name of a generator.
    """
    streams = [get_generator(noise).words(state) for state in states]
    for number in range(schedule.window_words):
        dwell = number >> schedule.dwell_log2
        words = [next(stream) for stream in streams]
        yield words[chosen_word(dwell, len(states))] >> dwell % WORD_BITS & 1


@dataclass(frozen=True)
class KnownAnswer:
    """What the monitor of a lane must have seen when its first window ends.

    Parameters
    ----------
    ones : int
        Ones among the examined bits of all dwells but the last.
    crc : int
        CRC-16 of the examined bits, eight to a byte, the first one at the top (ITU-T V.41, from 0).
    """

    ones: int
    crc: int


@cache
def _known_answer(noise: str, states: tuple[State, ...], schedule: HealthSchedule) -> KnownAnswer:
    before_last = schedule.window_words - schedule.dwell_words
    bits = "".join(map(str, examined_bits(noise, states, schedule)))
    packed = int(bits, 2).to_bytes(schedule.window_words // 8, "big")
    return KnownAnswer(bits[:before_last].count("1"), crc_hqx(packed, 0))


def states_before(noise: str, states: Sequence[State], schedule: HealthSchedule = SCHEDULE) -> tuple[State, ...]:
    """States after reset: the streams are in `states` when the known-answer test has used up its window."""
    return tuple(state_before(noise, state, words_log2=schedule.window_log2) for state in states)


def known_answer(noise: str, states: Sequence[State], schedule: HealthSchedule = SCHEDULE) -> KnownAnswer:
    """The known answer of a lane whose streams are in `states` when the test has ended."""
    return _known_answer(noise, states_before(noise, states, schedule), schedule)
