# SPDX-License-Identifier: Apache-2.0
"""Health monitor on the RTL: every verdict where the law puts it, stuck and biased noise, the known-answer test."""

import random
from binascii import crc_hqx
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.health import SCHEDULE, KnownAnswer
from hw.tsu.health_monitor import HealthMonitor
from sim.bench_file import load_module
from sim.bfm import cycles, never, random_stalls, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

DWELL, WINDOW, LOW, HIGH = 64, 8192, 3584, 4607
"""As docs/reference/health.md has them."""

ANSWER_SEED = 4
WORDS = {"plain-3": 3, "plain-1": 1, "compact-2": 2, "pipelined-3": 3}


def some_words(seed: int, count: int, noise_words: int) -> list[list[int]]:
    """Samples of fair bits."""
    rng = random.Random(seed)
    return [[rng.getrandbits(32) for _ in range(noise_words)] for _ in range(count)]


def examined(number: int, words: list[int]) -> int:
    """The bit of that sample after a restart: the 32 bits of a word in turn, four times, then those of the next."""
    return words[number // WINDOW % len(words)] >> number // DWELL % 32 & 1


def answered(number: int, words: list[int]) -> int:
    """The bit of that sample of the known-answer test: in turn those of words 0, 1, 2, 0 of three."""
    position = number // DWELL
    order = {1: (0, 0, 0, 0), 2: (0, 1, 0, 1), 3: (0, 1, 2, 0)}[len(words)]
    return words[order[position // 32]] >> position % 32 & 1


def ref_answer(noise_words: int) -> KnownAnswer:
    """Ones before the last dwell, and CRC, of the words of ANSWER_SEED, bit by bit."""
    bits = [answered(i, words) for i, words in enumerate(some_words(ANSWER_SEED, WINDOW, noise_words))]
    packed = bytes(sum(bit << (7 - i) for i, bit in enumerate(bits[j : j + 8])) for j in range(0, WINDOW, 8))
    return KnownAnswer(sum(bits[:-DWELL]), crc_hqx(packed, 0))


TOPLEVELS = {
    name: partial(
        HealthMonitor, noise_words=count, expected=ref_answer(count), select=name.partition("-")[0], schedule=SCHEDULE
    )
    for name, count in WORDS.items()
}
STAGES = {"plain": 1, "compact": 1, "pipelined": 4}
GAPS = {"none": never, "random": lambda: random_stalls(0.3, seed=5)}


def noise_words() -> int:
    return WORDS[_SUPPORT.base_variant()]


def latency() -> int:
    """Cycles from the edge that takes a sample to the one that shows its verdict."""
    return STAGES[_SUPPORT.base_variant().partition("-")[0]] + 1


def ref_verdicts(samples: list[list[int]]) -> dict[str, int | None]:
    """For each alarm the sample that raises it: the first behind a bad dwell, the second behind a bad window."""
    bits = [examined(number, words) for number, words in enumerate(samples)]
    dwells = range(DWELL, len(bits), DWELL)
    windows = range(WINDOW, len(bits) - 1, WINDOW)
    return {
        "repetition": next((end for end in dwells if len(set(bits[end - DWELL : end])) == 1), None),
        "proportion": next((end + 1 for end in windows if not LOW <= sum(bits[end - WINDOW : end]) <= HIGH), None),
    }


def with_bits(bits: Iterable[int], *, seed: int) -> list[list[int]]:
    """Fair words, but for the examined bits, which are given."""
    bits = list(bits)
    samples = some_words(seed, len(bits), noise_words())
    for number, (words, bit) in enumerate(zip(samples, bits, strict=True)):
        if examined(number, words) != bit:
            words[:] = [word ^ 1 << number // DWELL % 32 for word in words]
    return samples


async def setup(dut) -> None:
    """After reset: the known-answer test."""
    dut.sample_stb.value = dut.restart.value = 0
    await start(dut)


async def restart(dut) -> None:
    """What a SEED does, of the shortest kind."""
    dut.restart.value = 1
    await cycles(dut, 4)
    dut.restart.value = 0
    await cycles(dut, 2)


async def ready(dut) -> None:
    """Behind the known-answer test."""
    await setup(dut)
    await restart(dut)
    assert (dut.repetition.value, dut.proportion.value, dut.testing.value) == (0, 0, 0)


async def feed(dut, samples: list[list[int]], *, gaps: str = "none") -> dict[str, int | None]:
    """Give samples, with other words between them; for each alarm the number of the sample that made it rise."""
    stalls, rng = GAPS[gaps](), random.Random(3)
    found: dict[str, int | None] = {"repetition": None, "proportion": None}
    watched = [name for name in found if not getattr(dut, name).value]
    taken: list[int | None] = []  # sample taken at each edge
    number = last = 0
    while number < len(samples) or len(taken) - last <= latency():
        stb = number < len(samples) and not next(stalls)
        words = samples[number] if stb else [rng.getrandbits(32) for _ in range(noise_words())]
        dut.sample_stb.value = stb
        for index, word in enumerate(words):
            getattr(dut, f"word__{index}").value = word
        await RisingEdge(dut.clk)
        taken.append(number if stb else None)
        if stb:
            number, last = number + 1, len(taken)
        for name in watched:
            if found[name] is None and getattr(dut, name).value:
                found[name] = taken[-1 - latency()]
    dut.sample_stb.value = 0
    return found


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(gaps=list(GAPS))
async def fair_noise_passes(dut, gaps):
    """Two windows and a piece."""
    await ready(dut)
    found = await feed(dut, some_words(1, 2 * WINDOW + 100, noise_words()), gaps=gaps)
    assert found == {"repetition": None, "proportion": None}


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stuck=[0, 1], place=["first", "third", "last"])
async def one_stuck_bit_is_found_in_its_first_whole_dwell(dut, stuck, place):
    """Any of the positions, stuck at 0 or 1 in mid-dwell of another one; nothing else raises an alarm."""
    await ready(dut)
    # The dwell of the third bit begins behind the onset; that of the first one comes again with the second pass.
    word, bit, dwell = {"first": (0, 0, 32), "third": (0, 2, 2), "last": (noise_words() - 1, 31, 31)}[place]
    samples = some_words(2, word * WINDOW + (dwell + 1) * DWELL + 5, noise_words())
    for words in samples[70:]:
        words[word] = words[word] & ~(1 << bit) | stuck << bit
    expected = ref_verdicts(samples)
    assert expected["repetition"] == word * WINDOW + (dwell + 1) * DWELL
    assert await feed(dut, samples, gaps="random") == expected


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stuck=[0, 0xFFFF_FFFF])
async def stuck_words_are_found_in_two_dwells(dut, stuck):
    """From the middle of a dwell on."""
    await ready(dut)
    samples = some_words(3, 100, noise_words()) + [[stuck] * noise_words()] * 100
    found = await feed(dut, samples)
    assert found["repetition"] == ref_verdicts(samples)["repetition"] == 192


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(bit=[0, 1])
async def a_dwell_minus_one_bit_passes(dut, bit):
    """63 equal bits and one other, first or last; 64 equal ones across the border of two dwells; then a whole dwell."""
    await ready(dut)
    other = 1 - bit
    dwells = [[other] + [bit] * 63, [bit] * 63 + [other], [other] + [bit] * 63, [bit] * 63 + [other]]
    bits = [item for dwell in dwells for item in dwell]
    samples = with_bits([*bits, *[bit] * 64, other], seed=4)
    assert (await feed(dut, samples))["repetition"] == len(bits) + 64


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(ones=[LOW - 1, LOW, HIGH, HIGH + 1])
async def proportion_at_the_cutoffs(dut, ones):
    """Exactly so many ones in the second window; the alarm comes with the second sample behind it."""
    await ready(dut)
    rng = random.Random(ones)
    bits = [1] * ones + [0] * (WINDOW - ones)
    rng.shuffle(bits)
    fair = [number & 1 for number in range(WINDOW)]
    found = await feed(dut, with_bits([*fair, *bits, 0, 1, 0], seed=5))
    bad = not LOW <= ones <= HIGH
    assert found == {"repetition": None, "proportion": 2 * WINDOW + 1 if bad else None}


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(percent=[40, 60], only=[None, 0])
async def biased_noise_is_found_in_its_first_whole_window(dut, percent, only):
    """Independent bits of all words, or of one, from sample 1000 on. Missed with probability 2 * 10^-12."""
    await ready(dut)
    rng = random.Random(percent)
    onset, end = 1000, (1 + noise_words() if only == 0 else 2) * WINDOW + 2
    samples = some_words(6, end, noise_words())
    for words in samples[onset:]:
        for index in range(noise_words()) if only is None else [only]:
            words[index] = sum((rng.random() < percent / 100) << bit for bit in range(32))
    expected = ref_verdicts(samples)
    assert expected["proportion"] is not None
    assert await feed(dut, samples) == expected


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def restart_clears_and_begins_anew(dut):
    """Alarms stay while good samples come, and end with a restart; half a dwell before it does not count."""
    await ready(dut)
    await feed(dut, with_bits([0] * 65, seed=7))
    await feed(dut, with_bits([0, 1] * 100, seed=8))
    assert dut.repetition.value == 1
    await restart(dut)
    assert dut.repetition.value == 0
    assert (await feed(dut, with_bits([1] * 40, seed=9)))["repetition"] is None
    await restart(dut)
    assert (await feed(dut, with_bits([1] * 63 + [0] * 33 + [1] * 70, seed=10)))["repetition"] is None
    await restart(dut)
    assert (await feed(dut, with_bits([1] * 64 + [0], seed=11)))["repetition"] == 64


async def judged(dut, samples: list[list[int]], *, gaps: str = "none") -> int:
    """Give the samples of a known-answer test; the verdict, which comes without more of them."""
    await feed(dut, samples[:-2], gaps=gaps)
    assert (dut.testing.value, dut.reserved.value, dut.known_answer.value) == (1, 1, 0)
    await feed(dut, samples[-2:])
    await cycles(dut, 2)
    assert (dut.testing.value, dut.reserved.value) == (0, 0)
    return int(dut.known_answer.value)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(gaps=list(GAPS))
async def known_answer_passes(dut, gaps):
    """The right words: no alarm; the tests behind it go on as ever."""
    await setup(dut)
    assert await judged(dut, some_words(ANSWER_SEED, WINDOW, noise_words()), gaps=gaps) == 0
    found = await feed(dut, with_bits([0, 1] * 32 + [1] * 65, seed=12))
    assert found == {"repetition": 128, "proportion": None}
    assert dut.known_answer.value == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(change=["first bit", "last bit", "two bits", "order"])
async def wrong_answer_stays_until_reset(dut, change):
    """One bit, two bits that leave the count of ones, or two samples exchanged."""
    await setup(dut)
    samples = some_words(ANSWER_SEED, WINDOW, noise_words())
    bits = [answered(number, words) for number, words in enumerate(samples)]
    zero, one = bits.index(0), bits.index(1)
    flips = {"first bit": [0], "last bit": [WINDOW - 1], "two bits": [zero, one], "order": []}[change]
    for number in flips:
        samples[number] = [word ^ 1 << number // DWELL % 32 for word in samples[number]]
    if change == "order":
        samples[zero], samples[one] = samples[one], samples[zero]
    assert await judged(dut, samples) == 1
    await restart(dut)
    await feed(dut, some_words(13, 100, noise_words()))
    assert dut.known_answer.value == 1
    dut.rst.value = 1
    await cycles(dut, 2)
    dut.rst.value = 0
    await cycles(dut, 1)
    assert (dut.testing.value, dut.known_answer.value) == (1, 0)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def restart_in_mid_test_is_a_wrong_answer(dut):
    """A test that was cut short did not pass."""
    await setup(dut)
    await feed(dut, some_words(ANSWER_SEED, 5000, noise_words()))
    await restart(dut)
    await cycles(dut, 2)
    assert (dut.testing.value, dut.reserved.value, dut.known_answer.value) == (0, 0, 1)
