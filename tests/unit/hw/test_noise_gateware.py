# SPDX-License-Identifier: Apache-2.0
"""Noise gateware in the Python simulator: words equal the reference under stalls, reseeding and zero seeds."""

import gc
import itertools
import random

import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hw.spec.config import PRESETS, TsuConfig
from hw.spec.errors import SpecError
from hw.spec.noise import GENERATORS, LOCKUP_STATE, State, seed_state, stream_states
from hw.tsu.noise.bank import NoiseBank, make_generator
from hw.tsu.noise.lfsr import Lfsr
from hw.tsu.noise.state_register import PIPELINE_CYCLES, SETTLE_CYCLES, StateRegister

START: State = (1, 2, 3, 4)
ZERO: State = (0, 0, 0, 0)


PIPELINED = [False, True]


def bank_of_one(noise: str, *, pipelined: bool, init: State = START) -> NoiseBank:
    """A bank with a single stream, which starts from `init`."""
    config = PRESETS["tiny"].with_fields(noise=noise, level_stages=3 if pipelined else 1)
    return NoiseBank(config, states=[init])


def ref_words(noise: str, state: State, count: int) -> list[int]:
    """The first words of a stream."""
    return list(itertools.islice(GENERATORS[noise].words(state), count))


def run(dut: wiring.Component, process) -> None:
    """Simulate `dut` with one test bench."""
    simulator = Simulator(dut)
    simulator.add_clock(5e-9)
    simulator.add_testbench(process)
    simulator.run()


async def take(ctx, port, count: int, rng: random.Random, ready_probability: float, bound: int = 1000) -> list[int]:
    """Take `count` payloads with a random ready; a stalled payload must stay as it is."""
    taken: list[int] = []
    offered = None
    for _ in range(bound):
        if len(taken) == count:
            break
        ready = rng.random() < ready_probability
        ctx.set(port.ready, ready)
        valid, payload = ctx.get(port.valid), ctx.get(port.payload)
        if offered is not None:
            assert valid and payload == offered, "a stalled payload changed"
        offered = payload if valid and not ready else None
        if valid and ready:
            taken.append(payload)
        await ctx.tick()
    ctx.set(port.ready, 0)
    assert len(taken) == count, f"{len(taken)} of {count} words in {bound} cycles"
    return taken


async def seed(ctx, dut, states: list[State], *, gaps: random.Random | None = None) -> None:
    """Feed states in natural order; with gaps, `seeding` is high from the first word to the last."""
    for state in states:
        for word in state:
            if gaps is not None:
                ctx.set(dut.seeding, 1)
                ctx.set(dut.seed_stb, 0)
                for _ in range(gaps.randrange(4)):
                    await ctx.tick()
            ctx.set(dut.seed_stb, 1)
            ctx.set(dut.i_seed, word)
            await ctx.tick()
    ctx.set(dut.seed_stb, 0)
    ctx.set(dut.seeding, 0)


@pytest.mark.parametrize("noise", GENERATORS)
@pytest.mark.parametrize("pipelined", PIPELINED)
def test_first_words_latency_and_throughput(noise: str, pipelined: bool) -> None:
    dut = bank_of_one(noise, pipelined=pipelined)

    async def process(ctx) -> None:
        ctx.set(dut.o_words.ready, 1)
        for _ in range(dut.latency_cycles):
            assert not ctx.get(dut.o_words.valid)
            await ctx.tick()
        for expected in ref_words(noise, START, 100):
            assert ctx.get(dut.o_words.valid)
            assert ctx.get(dut.o_words.payload) == expected
            await ctx.tick()

    run(dut, process)


@pytest.mark.parametrize("noise", GENERATORS)
@pytest.mark.parametrize("pipelined", PIPELINED)
@pytest.mark.parametrize("ready_probability", [0.1, 0.5, 0.9])
def test_words_under_stalls(noise: str, pipelined: bool, ready_probability: float) -> None:
    dut = bank_of_one(noise, pipelined=pipelined)

    async def process(ctx) -> None:
        words = await take(ctx, dut.o_words, 60, random.Random(1), ready_probability, bound=4000)
        assert words == ref_words(noise, START, 60)

    run(dut, process)


async def silence(ctx, dut: NoiseBank) -> None:
    """Begin to seed, as the TSU does, while nobody takes words; none is offered from the next cycle on."""
    ctx.set(dut.o_words.ready, 0)
    ctx.set(dut.seeding, 1)
    await ctx.tick()
    assert not ctx.get(dut.o_words.valid)


@pytest.mark.parametrize("noise", GENERATORS)
@pytest.mark.parametrize("pipelined", PIPELINED)
@pytest.mark.parametrize("gaps", [False, True])
def test_reseed_in_mid_stream(noise: str, pipelined: bool, gaps: bool) -> None:
    dut = bank_of_one(noise, pipelined=pipelined)

    async def process(ctx) -> None:
        rng = random.Random(2)
        await take(ctx, dut.o_words, 17, rng, 0.7)
        for number in (3, 4):
            state = seed_state(number)
            await silence(ctx, dut)
            ctx.set(dut.o_words.ready, 1)  # nothing may be taken while the seed goes in
            await seed(ctx, dut, [state], gaps=rng if gaps else None)
            assert not ctx.get(dut.o_words.valid)
            assert await take(ctx, dut.o_words, 40, rng, 0.7) == ref_words(noise, state, 40)
            assert not ctx.get(dut.locked_up)

    run(dut, process)


@pytest.mark.parametrize("noise", GENERATORS)
@pytest.mark.parametrize("pipelined", PIPELINED)
def test_seeding_alone_silences_the_stream(noise: str, pipelined: bool) -> None:
    """While `seeding` is high no word is offered, not even one that was prefetched; afterwards words come again."""
    dut = bank_of_one(noise, pipelined=pipelined)

    async def process(ctx) -> None:
        rng = random.Random(5)
        await take(ctx, dut.o_words, 10, rng, 0.7)
        assert ctx.get(dut.o_words.valid)
        await silence(ctx, dut)
        ctx.set(dut.seeding, 0)
        for _ in range(dut.latency_cycles):
            assert not ctx.get(dut.o_words.valid)
            await ctx.tick()
        assert ctx.get(dut.o_words.valid)
        assert not ctx.get(dut.locked_up)

    run(dut, process)


@pytest.mark.parametrize("noise", GENERATORS)
@pytest.mark.parametrize("pipelined", PIPELINED)
def test_zero_seed_is_replaced_and_reported(noise: str, pipelined: bool) -> None:
    dut = bank_of_one(noise, pipelined=pipelined)

    async def process(ctx) -> None:
        rng = random.Random(3)
        await take(ctx, dut.o_words, 5, rng, 0.7)
        assert not ctx.get(dut.locked_up)
        await seed(ctx, dut, [ZERO])
        assert await take(ctx, dut.o_words, 40, rng, 0.7) == ref_words(noise, LOCKUP_STATE, 40)
        assert ctx.get(dut.locked_up)
        await seed(ctx, dut, [START])
        assert await take(ctx, dut.o_words, 40, rng, 0.7) == ref_words(noise, START, 40)
        assert not ctx.get(dut.locked_up)

    run(dut, process)


@pytest.mark.parametrize("pipelined", PIPELINED)
def test_zero_state_in_mid_stream_is_left(pipelined: bool) -> None:
    """A state that becomes zero while running (here: `next_word` is zero once) is replaced as soon as published."""
    dut = StateRegister(init=START, pipelined=pipelined)

    async def process(ctx) -> None:
        ctx.set(dut.step_stb, 1)
        await ctx.tick()
        ctx.set(dut.step_stb, 0)
        assert not any(ctx.get(word) for word in dut.word)
        await ctx.tick().repeat(SETTLE_CYCLES - 1 + PIPELINE_CYCLES * pipelined)
        assert ctx.get(dut.zero)
        await ctx.tick()
        assert tuple(ctx.get(word) for word in dut.word) == LOCKUP_STATE
        assert not ctx.get(dut.zero)
        # The replacement happens once: a state that is stepped at once is not touched again.
        for word, value in zip(dut.next_word, START, strict=True):
            ctx.set(word, value & ~1)
        ctx.set(dut.step_stb, 1)
        for _ in range(4):
            await ctx.tick()
            assert tuple(ctx.get(word) for word in dut.word) == tuple(value & ~1 for value in START)

    run(dut, process)


class TwoLanes(wiring.Component):
    """Two banks on one seed chain, the last lane at the head."""

    def __init__(self, config: TsuConfig) -> None:
        self._config = config
        words = stream.Signature(32 * config.noise_words)
        super().__init__(
            {
                "o_lane0": Out(words),
                "o_lane1": Out(words),
                "seeding": In(1),
                "seed_stb": In(1),
                "i_seed": In(32),
                "locked_up": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.lane0 = lane0 = NoiseBank(self._config, lane=0)
        m.submodules.lane1 = lane1 = NoiseBank(self._config, lane=1)
        wiring.connect(m, lane0.o_words, wiring.flipped(self.o_lane0))
        wiring.connect(m, lane1.o_words, wiring.flipped(self.o_lane1))
        m.d.comb += [lane1.i_seed.eq(self.i_seed), lane0.i_seed.eq(lane1.o_seed)]
        m.d.comb += self.locked_up.eq(lane0.locked_up | lane1.locked_up)
        for bank in (lane0, lane1):
            m.d.comb += [bank.seeding.eq(self.seeding), bank.seed_stb.eq(self.seed_stb)]
        return m


def ref_lane(noise: str, states: list[State], count: int) -> list[int]:
    """Words of several streams side by side, the first one lowest."""
    columns = [ref_words(noise, state, count) for state in states]
    return [sum(word << (32 * i) for i, word in enumerate(row)) for row in zip(*columns, strict=True)]


@pytest.mark.parametrize("noise", GENERATORS)
def test_two_banks_on_one_chain(noise: str) -> None:
    config = TsuConfig(lanes=2, noise=noise)
    width = config.noise_words
    assert width == 3
    dut = TwoLanes(config)

    async def process(ctx) -> None:
        rng = random.Random(4)
        # Out of reset the streams are those of seed 0.
        states = stream_states(noise, 0, 2 * width)
        assert await take(ctx, dut.o_lane0, 20, rng, 0.6) == ref_lane(noise, states[:width], 20)
        assert await take(ctx, dut.o_lane1, 15, rng, 0.6) == ref_lane(noise, states[width:], 15)
        states = stream_states(noise, 987654321, 2 * width)
        await seed(ctx, dut, states)
        assert await take(ctx, dut.o_lane1, 20, rng, 0.6) == ref_lane(noise, states[width:], 20)
        assert await take(ctx, dut.o_lane0, 20, rng, 0.6) == ref_lane(noise, states[:width], 20)
        assert not ctx.get(dut.locked_up)
        # One zero stream among six is reported and replaced; the others keep their seeds.
        states[4] = ZERO
        await seed(ctx, dut, states, gaps=rng)
        states[4] = LOCKUP_STATE
        assert await take(ctx, dut.o_lane1, 20, rng, 0.6) == ref_lane(noise, states[width:], 20)
        assert await take(ctx, dut.o_lane0, 20, rng, 0.6) == ref_lane(noise, states[:width], 20)
        assert ctx.get(dut.locked_up)

    run(dut, process)


@pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")
@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: Lfsr(shifts_per_word=2, init=START, pipelined=False),
            "shifts_per_word = 2 is not legal: expected 1 or 32",
        ),
        (
            lambda: StateRegister(init=ZERO, pipelined=False),
            "init = (0, 0, 0, 0) is not legal: expected 4 words of 32 bits, not all 0",
        ),
        (
            lambda: StateRegister(init=(1, 2, 3), pipelined=False),
            "init = (1, 2, 3) is not legal: expected 4 words",
        ),
        (lambda: StateRegister(init=(1, 2, 3, 2**32), pipelined=False), "init = (1, 2, 3, 4294967296) is not legal"),
        (lambda: make_generator(noise="x", init=START, pipelined=True), "noise = 'x' is not legal"),
        (lambda: NoiseBank(TsuConfig(), states=[START]), "states = [(1, 2, 3, 4)] is not legal: expected 3 states"),
        (lambda: NoiseBank(TsuConfig(), lane=1), "lane = 1 is not legal: expected an integer in [0, 0]"),
    ],
)
def test_bad_parameters(build, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        build()
    text = str(caught.value)
    del caught
    gc.collect()  # frees the component within the filter of this test
    assert text.startswith(message)
    assert "\n" not in text
