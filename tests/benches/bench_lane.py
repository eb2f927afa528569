# SPDX-License-Identifier: Apache-2.0
"""One lane on the RTL: every noise word, rank select over every set of ids, exact use of noise under stalls."""

import random
from collections import Counter
from itertools import accumulate, combinations
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import PRESETS
from hw.tsu.lane import Lane
from hw.tsu.layouts import start_layout
from sim.bench_file import load_module
from sim.bfm import StreamSink, StreamSource, cycles, start

_HERE = Path(__file__).parent
_SUPPORT, _REFERENCE = load_module(_HERE / "support.py"), load_module(_HERE.parent / "reference" / "stream.py")
decide, split_noise = _REFERENCE.decide, _REFERENCE.split_noise

TINY = PRESETS["tiny"]
CONFIGS = {f"tiny-{stages}": TINY.with_fields(level_stages=stages) for stages in (1, 2, 3)}


def toplevel(config):
    return lambda: _SUPPORT.Streamed(Lane(config=config))


TOPLEVELS = {name: toplevel(config) for name, config in CONFIGS.items()}
WORD_BITS = TINY.uniform_bits + TINY.tail_noise_bits
PSI = ([1, 4, 5, 11], [16, 7, 3, 1], 13, 14)
"""Ids, weights, tail weight, V."""


def config():
    return CONFIGS[_SUPPORT.base_variant()]


class LaneDriver:
    """Loads and starts one lane, feeds noise, collects draws."""

    def __init__(self, dut, *, kind: str = "none") -> None:
        self.dut = dut
        self.words = StreamSource(dut, "i_words", stalls=_SUPPORT.stalls(kind, 1))
        self.results = StreamSink(dut, "o_result", stalls=_SUPPORT.stalls(kind, 2))
        for port in (dut.start, dut.i_tree_write__stb, dut.i_leaf_write__id_stb, dut.i_leaf_write__weight_stb):
            port.value = 0

    async def load(self, psi, *, bank: int) -> None:
        """Write trees and leaves of a bank, and put the parameters on the port."""
        dut, (ids, weights, tail, vocab) = self.dut, psi
        k, n = len(ids), vocab - len(ids)
        c, reached = (1 << config().uniform_bits) // (sum(weights) + tail), list(accumulate(weights))
        top = (1 << config().uniform_bits) - 1
        dut.i_tree_write__bank.value = dut.i_leaf_write__bank.value = bank
        for boundary in range(1, config().k_max):
            for rank in (0, 1):
                threshold = top
                if boundary < k:
                    threshold = ids[boundary - 1] - boundary + 1 if rank else c * reached[boundary - 1] - 1
                dut.i_tree_write__stb.value, dut.i_tree_write__rank.value = 1, rank
                dut.i_tree_write__boundary.value, dut.i_tree_write__threshold.value = boundary, threshold
                await RisingEdge(dut.clk)
        dut.i_tree_write__stb.value = 0
        dut.i_leaf_write__id_stb.value = dut.i_leaf_write__weight_stb.value = 1
        for index, (token, weight) in enumerate(zip(ids, weights, strict=True)):
            dut.i_leaf_write__id_index.value = dut.i_leaf_write__weight_index.value = index
            dut.i_leaf_write__id.value, dut.i_leaf_write__weight.value = token, weight
            await RisingEdge(dut.clk)
        dut.i_leaf_write__id_stb.value = dut.i_leaf_write__weight_stb.value = 0
        dut.params__reject_threshold.value = c * reached[-1] - 1 + c * tail
        dut.params__tail_threshold.value = (c * reached[-1] - 1) & top
        dut.params__spread.value = n
        dut.params__tail_reject.value = (1 << config().tail_noise_bits) % n if n > 1 else 0
        dut.params__rank_last.value = ids[-1] - (k - 1)
        dut.params__tail_weight.value = tail
        await cycles(dut, 2)

    async def start(self, count: int, *, bank: int, fresh: bool) -> None:
        """Start a job; the lane must be idle."""
        assert self.dut.idle.value == 1, "started while not idle"
        word = {"stb": 1, "bank": bank, "fresh": int(fresh), "some": int(count > 0), "count": count}
        self.dut.start.value = _SUPPORT.pack(start_layout(), word)
        await RisingEdge(self.dut.clk)
        self.dut.start.value = _SUPPORT.pack(start_layout(), word | {"stb": 0, "fresh": 0})
        await cycles(self.dut, 1)

    async def settled(self, *, bound: int = 20_000) -> None:
        """Wait until the lane is idle."""
        for _ in range(bound):
            await RisingEdge(self.dut.clk)
            if self.dut.idle.value == 1:
                return
        raise AssertionError(f"not idle in {bound} cycles")

    async def draws(self, count: int) -> list[tuple[int, int | None]]:
        """Token, and weight (None of a tail draw) of the next draws."""
        rows = []
        for payload in await self.results.read(count, bound=20_000):
            token, rest = payload % (1 << config().id_bits), payload >> config().id_bits
            weight, tail = rest % (1 << config().weight_bits), rest >> config().weight_bits
            rows.append((token, None if tail else weight))
        return rows


async def started(dut, *, kind: str = "none") -> LaneDriver:
    lane = LaneDriver(dut, kind=kind)
    await start(dut)
    return lane


async def reset(dut, lane: LaneDriver) -> None:
    """Reset; words that were offered are forgotten."""
    dut.rst.value = 1
    await cycles(dut, 1)
    lane.words.drop()
    await cycles(dut, 1)
    dut.rst.value = 0


def expected_draws(words: list[int], psi) -> list[tuple[int, int | None]]:
    """Draws that the contract makes of noise words."""
    rows = [decide(*split_noise(word, config()), *psi, config()) for word in words]
    return [(row[0], row[1] if row[0] in psi[0] else None) for row in rows if row is not None]


def noise(word: int, rng: random.Random) -> int:
    """A noise word whose unused high bits are random."""
    return word | rng.getrandbits(32 * config().noise_words - WORD_BITS) << WORD_BITS


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def every_noise_word(dut):
    """All 2^13 words: draws as the contract says, in noise order."""
    lane, rng = await started(dut), random.Random(31)
    words = list(range(1 << WORD_BITS))
    rng.shuffle(words)
    await lane.load(PSI, bank=1)
    expected = expected_draws(words, PSI)
    await lane.start(len(expected), bank=1, fresh=True)
    lane.words.put(noise(word, rng) for word in words)
    _SUPPORT.check(await lane.draws(len(expected)), expected, "draws")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def tail_tokens_of_every_set_of_ids(dut):
    """Every set of 1 to 4 ids below 9, every tail word: the other tokens come equally often, the ids never."""
    lane, rng = await started(dut), random.Random(32)
    tail_words = 1 << config().tail_noise_bits
    number = 0
    for k in range(1, 5):
        for ids in combinations(range(9), k):
            psi = (list(ids), [4] * k, 40, 9)
            u = (1 << config().uniform_bits) // (4 * k + 40) * (4 * k + 40) - 1
            words = [noise(u | word << config().uniform_bits, rng) for word in range(tail_words)]
            # The words that are rejected come first, so that all are taken.
            words.sort(key=lambda word, psi=psi: len(expected_draws([word], psi)))
            expected = expected_draws(words, psi)
            number += 1
            await lane.load(psi, bank=number % 2)
            await lane.start(len(expected), bank=number % 2, fresh=True)
            lane.words.put(words)
            found = await lane.draws(len(expected))
            n = 9 - k
            others = dict.fromkeys((token for token in range(9) if token not in ids), tail_words // n)
            assert Counter(token for token, _ in found) == others, f"ids {ids}: the tail is not uniform"
            assert all(weight is None for _, weight in found), f"ids {ids}: a tail draw has a head weight"


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def noise_is_used_for_draws_that_were_asked_for_only(dut, kind):
    """Jobs of 1 to 80 draws, two banks: the words taken are exactly those of the draws, whatever stalls."""
    lane, rng = await started(dut, kind=kind), random.Random(33)
    other = ([0, 2], [9, 30], 0, 3)
    words = [noise(rng.getrandbits(WORD_BITS), rng) for _ in range(6000)]
    lane.words.put(words)
    position = 0
    lane.results.want(1 << 40)
    for number in range(30):
        psi, bank = (PSI, other)[number % 2], number % 2
        await lane.load(psi, bank=bank)
        for fresh in (True, False, False):
            count = rng.choice([1, 2, 3, 7, 80])
            expected = []
            begin = position
            while len(expected) < count:
                expected += expected_draws(words[position : position + 1], psi)
                position += 1
            await lane.start(count, bank=bank, fresh=fresh)
            await lane.settled()
            taken = lane.words.transfers
            assert taken == position, f"job {number}: {taken - begin} words for {count} draws, not {position - begin}"
            if not fresh:
                # Only a fresh start copies the parameters.
                dut.params__spread.value, dut.params__reject_threshold.value = rng.randrange(16), rng.randrange(256)
            _SUPPORT.check(await lane.draws(count), expected, f"job {number}")
    await cycles(dut, 50)
    assert not lane.results.taken and lane.words.transfers == position


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_blocked_output_stops_the_noise_and_loses_nothing(dut):
    """With o_result blocked the lane takes what its FIFO holds, and goes on later."""
    lane, rng = await started(dut), random.Random(34)
    words = [noise(rng.getrandbits(WORD_BITS), rng) for _ in range(1000)]
    expected = expected_draws(words, PSI)[:500]
    await lane.load(PSI, bank=0)
    lane.words.put(words)
    await lane.start(500, bank=0, fresh=True)
    await cycles(dut, 400)
    draws = len(expected_draws(words[: lane.words.transfers], PSI))
    depth = Lane(config=config()).fifo_depth
    assert depth - 1 <= draws <= depth, f"{draws} draws wait, the FIFO holds {depth}"
    taken = lane.words.transfers
    await cycles(dut, 100)
    assert lane.words.transfers == taken, "the lane goes on without room"
    assert dut.idle.value == 0
    _SUPPORT.check(await lane.draws(500), expected, "draws")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def latency_and_throughput(dut):
    """The first draw comes `latency_cycles` after its word; then one candidate a cycle."""
    lane, rng = await started(dut), random.Random(35)
    await lane.load(PSI, bank=0)
    words = [noise(rng.getrandbits(WORD_BITS), rng) for _ in range(2000)]
    first = next(index for index, word in enumerate(words) if expected_draws([word], PSI))
    lane.results.want(1 << 40)
    await lane.start(1000, bank=0, fresh=True)
    lane.words.put(words)
    begin = None
    while not lane.results.taken:
        await RisingEdge(dut.clk)
        if begin is None and lane.words.transfers:
            begin = lane.words.cycle
        assert begin is None or lane.words.cycle < begin + 100
    latency = lane.results.cycle - begin - first
    assert latency == Lane(config=config()).latency_cycles, f"latency {latency}"
    await lane.draws(1000)
    spent = lane.results.cycle - begin
    needed = lane.words.transfers
    assert spent <= needed + latency + 3, f"{needed} candidates took {spent} cycles"


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(kind=["none", "random"])
async def reset_in_mid_stream(dut, kind):
    """After a reset the lane is idle and owes nothing; the next job is as ever."""
    lane, rng = await started(dut, kind=kind), random.Random(36)
    for wait in (1, 3, 9, 40):
        await lane.load(PSI, bank=0)
        lane.words.put(noise(rng.getrandbits(WORD_BITS), rng) for _ in range(500))
        await lane.start(300, bank=0, fresh=True)
        await cycles(dut, wait)
        await reset(dut, lane)
        await cycles(dut, 60)
        assert dut.idle.value == 1
        assert dut.o_result__valid.value == 0
        words = [noise(rng.getrandbits(WORD_BITS), rng) for _ in range(200)]
        before = lane.words.transfers
        lane.words.put(words)
        expected = expected_draws(words, PSI)[:50]
        await lane.start(50, bank=0, fresh=True)
        _SUPPORT.check(await lane.draws(50), expected, f"reset after {wait}")
        assert lane.words.transfers > before
        await reset(dut, lane)
