# SPDX-License-Identifier: Apache-2.0
"""Noise bank on the RTL: published words, reference sequences, stalls, seeding and reset in mid-stream."""

import itertools

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from hw.spec.config import TsuConfig
from hw.spec.noise import GENERATORS, LOCKUP_STATE, State, stream_states
from hw.tsu.noise.bank import NoiseBank
from hw.tsu.noise.state_register import SETTLE_CYCLES
from sim.bench_file import variant
from sim.bfm import StreamSink, burst_stalls, cycles, never, random_stalls, start

CONFIG = TsuConfig()
STREAMS = CONFIG.noise_words

TOPLEVELS = {
    name: (lambda config: lambda: NoiseBank(config))(CONFIG.with_fields(noise=name, level_stages=3))
    for name in GENERATORS
}

LATENCY_CYCLES = SETTLE_CYCLES + 1 + 2
"""Settling, and the two words that a pipelined generator prefetches."""

# Rust crate rand_xoshiro, src/xoshiro128plusplus.rs: words of the C reference from state {1, 2, 3, 4}.
XOSHIRO_1234 = [641, 1573767, 3222811527, 3517856514, 836907274, 4247214768, 3867114732, 1355841295]

# Repository edorfaus/xoshiro-6502, test-rom/testdata.asm: words of the C reference from two published states.
XOSHIRO_STATE = (0x964D4A0C, 0xD40AB895, 0xAD7FDECB, 0x3006F0F0)
XOSHIRO_WORDS = [0xC06AC86F, 0xB459C753, 0xAA04C486, 0xB3FB785A]

STALLS = {"none": never, "random": lambda: random_stalls(0.4, seed=7), "bursts": lambda: burst_stalls(3, 5)}


def ref_payloads(states: list[State], count: int) -> list[int]:
    """Words of the streams side by side, stream 0 lowest."""
    words = [itertools.islice(GENERATORS[variant()].words(state), count) for state in states]
    return [sum(word << (32 * i) for i, word in enumerate(row)) for row in zip(*words, strict=True)]


async def seed(dut, states: list[State], *, stalls) -> None:
    """Shift states in, stream 0 first; returns just after the edge that took the last word."""
    dut.seeding.value = 1
    await RisingEdge(dut.clk)  # from the next cycle on no word is offered; the TSU takes none in this one
    for word in itertools.chain.from_iterable(states):
        while next(stalls):
            dut.seed_stb.value = 0
            await RisingEdge(dut.clk)
        dut.seed_stb.value = 1
        dut.i_seed.value = word
        await ReadOnly()
        assert dut.o_words__valid.value == 0, "a word was offered while a seed was shifted"
        await RisingEdge(dut.clk)
    dut.seed_stb.value = 0
    dut.seeding.value = 0


async def setup(dut, *, stalls) -> StreamSink:
    """Reset with all inputs low."""
    for port in (dut.seeding, dut.seed_stb, dut.i_seed):
        port.value = 0
    sink = StreamSink(dut, "o_words", stalls=stalls, may_withdraw=True)
    await start(dut)
    return sink


def check(found: list[int], expected: list[int], what: str) -> None:
    """Compare payloads; the message names the first that differs."""
    for index, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert a == b, f"{what}: payload {index} is {a:#x}, expected {b:#x}"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def published_words(dut):
    """Streams with published start states give the published words."""
    if variant() != "xoshiro128pp":
        # The LFSR has published taps, not words: every new bit is b[n-128] ^ b[n-126] ^ b[n-101] ^ b[n-99].
        sink = await setup(dut, stalls=never())
        await seed(dut, [(1, 2, 3, 4)] * STREAMS, stalls=never())
        bits = [0x4_00000003_00000002_00000001 >> (127 - i) & 1 for i in range(128)]
        shifts = 1 if variant() == "lfsr" else 32
        expected = []
        for _ in range(100):
            word = int("".join(map(str, bits[-32:])), 2)
            expected.append(sum(word << (32 * i) for i in range(STREAMS)))
            for _ in range(shifts):
                bits.append(bits[-128] ^ bits[-126] ^ bits[-101] ^ bits[-99])
        check(await sink.read(100), expected, "published taps")
        return
    sink = await setup(dut, stalls=never())
    await seed(dut, [(1, 2, 3, 4)] * STREAMS, stalls=never())
    expected = [sum(word << (32 * i) for i in range(STREAMS)) for word in XOSHIRO_1234]
    check(await sink.read(len(expected)), expected, "state 1 2 3 4")
    await seed(dut, [XOSHIRO_STATE] * STREAMS, stalls=never())
    expected = [sum(word << (32 * i) for i in range(STREAMS)) for word in XOSHIRO_WORDS]
    check(await sink.read(len(expected)), expected, "state 964d4a0c ...")


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stalls=list(STALLS))
async def words_of_a_seed(dut, stalls):
    """Every stream has its own state; the sequence does not depend on stalls."""
    sink = await setup(dut, stalls=STALLS[stalls]())
    states = stream_states(variant(), 20261123, STREAMS)
    await seed(dut, states, stalls=STALLS[stalls]())
    check(await sink.read(1000), ref_payloads(states, 1000), stalls)
    assert dut.locked_up.value == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_payload_per_cycle(dut):
    """Without stalls 500 payloads take 500 cycles, after at most LATENCY_CYCLES."""
    sink = await setup(dut, stalls=never())
    await seed(dut, stream_states(variant(), 3, STREAMS), stalls=never())
    await cycles(dut, LATENCY_CYCLES)
    sink.want(500)
    first = sink.cycle
    await sink.read(500)
    assert sink.cycle - first <= 502, f"500 payloads took {sink.cycle - first} cycles"


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stalls=list(STALLS))
async def seed_in_mid_stream(dut, stalls):
    """A new seed discards what was prefetched and starts the new sequence at its first word."""
    sink = await setup(dut, stalls=STALLS[stalls]())
    for number in (1, 2, 3):
        states = stream_states(variant(), number, STREAMS)
        await seed(dut, states, stalls=STALLS[stalls]())
        check(await sink.read(37 * number), ref_payloads(states, 37 * number), f"seed {number}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def zero_seed(dut):
    """A stream seeded with zero is reported and starts from the documented state; the others are not touched."""
    sink = await setup(dut, stalls=STALLS["random"]())
    states = stream_states(variant(), 5, STREAMS)
    states[1] = (0, 0, 0, 0)
    await seed(dut, states, stalls=never())
    states[1] = LOCKUP_STATE
    check(await sink.read(100), ref_payloads(states, 100), "zero seed")
    assert dut.locked_up.value == 1
    await seed(dut, stream_states(variant(), 6, STREAMS), stalls=never())
    await sink.read(1)
    assert dut.locked_up.value == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_mid_stream(dut):
    """After reset the streams are those of seed 0."""
    sink = await setup(dut, stalls=STALLS["random"]())
    states = stream_states(variant(), 0, STREAMS)
    check(await sink.read(50), ref_payloads(states, 50), "first reset")
    await seed(dut, stream_states(variant(), 8, STREAMS), stalls=never())
    await sink.read(11)
    dut.rst.value = 1
    await cycles(dut, 2)
    dut.rst.value = 0
    await cycles(dut, 1)
    check(await sink.read(50), ref_payloads(states, 50), "second reset")
