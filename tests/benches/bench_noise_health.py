# SPDX-License-Identifier: Apache-2.0
"""A noise bank that tests itself: the known-answer test in front of the stream, and noise that goes bad."""

import itertools
from functools import partial
from pathlib import Path

import cocotb
from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge

from hw.spec.config import PRESETS, TsuConfig
from hw.spec.noise import GENERATORS, State, stream_states
from hw.tsu.noise.bank import NoiseBank
from hw.tsu.noise.generator import NoiseGenerator
from sim.bench_file import load_module
from sim.bfm import StreamSink, burst_stalls, cycles, never, random_stalls, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

WINDOW = 8192
FAULTS = ("none", "stuck bit", "stuck word", "bias", "zero state")
"""What input `fault` does to the last generator of the bank, by its number."""

CONFIGS = {
    "default": TsuConfig(),
    "lfsr": TsuConfig(noise="lfsr", level_stages=2),
    "lfsr-leap": TsuConfig(noise="lfsr-leap", level_stages=3),
    "board": TsuConfig(level_stages=3),
    "up5k": PRESETS["up5k"],
}


class FaultyGenerator(NoiseGenerator):
    """A generator whose words, or whose state, go bad while `fault` says so."""

    def __init__(self, inner: NoiseGenerator, fault: Signal, *, init: State, pipelined: bool) -> None:
        self._inner, self._fault, self.prefetch = inner, fault, inner.prefetch
        super().__init__(init=init, pipelined=pipelined)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = self._inner
        is_fault = {name: self._fault == number for number, name in enumerate(FAULTS)}
        # The seed chain fills the state with zeros, one word a cycle.
        zeroed = is_fault["zero state"]
        m.d.comb += [
            inner.advance.eq(self.advance),
            inner.seeding.eq(self.seeding | zeroed),
            inner.seed_stb.eq(self.seed_stb | zeroed),
            inner.i_seed.eq(Mux(zeroed, 0, self.i_seed)),
            self.o_seed.eq(inner.o_seed),
            self.zero.eq(inner.zero),
        ]
        word = inner.word
        # A bit is set where three others of the word allow it: 59.4 % ones.
        biased = Cat(bit | word[(i + 7) % 32] & word[(i + 13) % 32] & (word[(i + 19) % 32] | word[(i + 29) % 32])
                     for i, bit in enumerate(word))  # fmt: skip
        m.d.comb += self.word.eq(word)
        for name, value in (("stuck bit", word & ~(1 << 21)), ("stuck word", 0x1234_5678), ("bias", biased)):
            with m.If(is_fault[name]):
                m.d.comb += self.word.eq(value)
        return m


class FaultyBank(NoiseBank):
    """A monitored bank whose last generator does what `fault` says."""

    def __init__(self, config: TsuConfig) -> None:
        self.fault = Signal(range(len(FAULTS)))
        self._made, self._count = 0, config.noise_words
        super().__init__(config, monitored=True)

    def _generator(self, init: State) -> NoiseGenerator:
        generator = super()._generator(init)
        self._made += 1
        if self._made < self._count:
            return generator
        return FaultyGenerator(generator, self.fault, init=init, pipelined=self._pipelined)


class BankWithFaults(wiring.Component):
    """The ports of a `NoiseBank`, and `fault`."""

    def __init__(self, config: TsuConfig) -> None:
        self._bank = FaultyBank(config)
        super().__init__({**dict(self._bank.signature.members), "fault": In(range(len(FAULTS)))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.bank = bank = self._bank
        m.d.comb += bank.fault.eq(self.fault)
        wiring.connect(m, bank.o_words, wiring.flipped(self.o_words))
        for name, member in bank.signature.members.items():
            if name != "o_words":
                own, port = getattr(self, name), getattr(bank, name)
                m.d.comb += port.eq(own) if member.flow == In else own.eq(port)
        return m


TOPLEVELS = {name: partial(BankWithFaults, config) for name, config in CONFIGS.items()}
ALARMS = ("repetition", "proportion", "known_answer", "locked_up")
STALLS = {"none": never, "random": lambda: random_stalls(0.4, seed=7), "bursts": lambda: burst_stalls(3, 5)}


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def alarms(dut) -> list[str]:
    return [name for name in ALARMS if getattr(dut, name).value]


def ref_payloads(states: list[State], count: int) -> list[int]:
    """Words of the streams side by side, stream 0 lowest."""
    words = [itertools.islice(GENERATORS[config().noise].words(state), count) for state in states]
    return [sum(word << (32 * i) for i, word in enumerate(row)) for row in zip(*words, strict=True)]


async def reset(dut) -> None:
    """Reset with all inputs low."""
    for port in (dut.seeding, dut.seed_stb, dut.i_seed, dut.fault, dut.o_words__ready):
        port.value = 0
    await start(dut)


async def tested(dut) -> None:
    """Until the known-answer test has ended; nothing is offered while it takes words."""
    for cycle in range(WINDOW + 20):
        if not dut.testing.value:
            assert cycle > WINDOW, f"the test took {cycle} cycles"
            return
        assert cycle > WINDOW or not dut.o_words__valid.value, "a word of the test was offered"
        await RisingEdge(dut.clk)
    raise AssertionError(f"the test takes more than {WINDOW + 20} cycles")


async def take(dut, count: int) -> list[int]:
    """Words without the rules of a stream: a fault changes them while they wait."""
    found: list[int] = []
    dut.o_words__ready.value = 1
    while len(found) < count:
        await RisingEdge(dut.clk)
        if dut.o_words__valid.value:
            found.append(int(dut.o_words__payload.value))
    dut.o_words__ready.value = 0
    return found


async def seed(dut, states: list[State]) -> None:
    """Shift states in, stream 0 first."""
    dut.seeding.value = 1
    await RisingEdge(dut.clk)
    dut.seed_stb.value = 1
    for word in itertools.chain.from_iterable(states):
        dut.i_seed.value = word
        await RisingEdge(dut.clk)
    dut.seed_stb.value = dut.seeding.value = 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stalls=list(STALLS))
async def stream_of_seed_0_follows_the_test(dut, stalls):
    """Somebody who wants words from reset on gets the first ones of seed 0, every one of them, behind the test."""
    sink = StreamSink(dut, "o_words", stalls=STALLS[stalls]())
    dut.seeding.value = dut.seed_stb.value = dut.i_seed.value = dut.fault.value = 0
    await start(dut)
    sink.want(300)
    await tested(dut)
    found = await sink.read(300)
    _SUPPORT.check(found, ref_payloads(stream_states(config().noise, 0, config().noise_words), 300), stalls)
    assert alarms(dut) == []


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def good_noise_of_a_seed_raises_nothing(dut):
    """A window of each word, and a piece."""
    await reset(dut)
    await tested(dut)
    states = stream_states(config().noise, 2026, config().noise_words)
    await seed(dut, states)
    count = config().noise_words * WINDOW + 100
    _SUPPORT.check(await take(dut, count), ref_payloads(states, count), "words")
    assert alarms(dut) == []


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(fault=FAULTS[1:])
async def bad_start_is_no_known_answer(dut, fault):
    """A generator that is bad from reset on fails the test, which ends in its time; the words flow all the same."""
    await reset(dut)
    dut.fault.value = FAULTS.index(fault)
    await tested(dut)
    await cycles(dut, 2)
    assert "known_answer" in alarms(dut)
    dut.fault.value = 0
    await take(dut, 10)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(fault=FAULTS[1:4])
async def generator_that_goes_bad_is_found(dut, fault):
    """The last one of the lane, from word 1000 of a seed on, at the latest when the first whole window of it ends."""
    await reset(dut)
    await tested(dut)
    await seed(dut, stream_states(config().noise, 3, config().noise_words))
    await take(dut, 1000)
    assert alarms(dut) == []
    dut.fault.value = FAULTS.index(fault)
    await take(dut, (1 + config().noise_words) * WINDOW - 1000 + 2)
    await cycles(dut, 10)
    assert ("proportion" if fault == "bias" else "repetition") in alarms(dut)
    assert "known_answer" not in alarms(dut)
    dut.fault.value = 0
    found = alarms(dut)
    await take(dut, 100)
    assert alarms(dut) == found, "an alarm did not stay"
    await seed(dut, stream_states(config().noise, 4, config().noise_words))
    await take(dut, 200)
    assert alarms(dut) == []


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def zero_state_is_left_and_reported(dut):
    """In mid-stream. The streams go on; a seed ends the alarm."""
    await reset(dut)
    await tested(dut)
    await take(dut, 100)
    dut.fault.value = FAULTS.index("zero state")
    await cycles(dut, 6)
    dut.fault.value = 0
    await cycles(dut, 6)
    payloads = await take(dut, 100)
    assert alarms(dut) == ["locked_up"]
    shift = 32 * (config().noise_words - 1)
    assert len({payload >> shift for payload in payloads}) > 20
    states = stream_states(config().noise, 5, config().noise_words)
    await seed(dut, states)
    _SUPPORT.check(await take(dut, 50), ref_payloads(states, 50), "words of the seed")
    assert alarms(dut) == []
