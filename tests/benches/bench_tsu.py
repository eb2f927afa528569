# SPDX-License-Identifier: Apache-2.0
"""The whole TSU on the RTL, bit for bit against tests/reference/stream.py: switches, splits, stalls, resets, seeds."""

import random
from functools import partial
from pathlib import Path

import cocotb

from host.golden.exact import draft_law
from host.tsu.lowering import draw_command, seed_command, weight_table
from hw.spec.commands import Opcode, Status
from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore
from sim.bench_file import load_module
from sim.bfm import cycles

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")
_REFERENCE = load_module(_HERE.parent / "reference" / "stream.py")
STREAMS, TsuDriver = _DRIVER.STREAMS, _DRIVER.TsuDriver
ReferenceTsu, random_psi = _REFERENCE.ReferenceTsu, _REFERENCE.random_psi

SMALL = TsuConfig(k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {
    "small-1": SMALL,
    "small-4": SMALL.with_fields(lanes=4, level_stages=2, noise="lfsr-leap"),
    "default-1": TsuConfig(),
    "default-4": TsuConfig(lanes=4),
    "board-2": TsuConfig(lanes=2, level_stages=3, vocab_max=1 << 18),
    "groups-2": SMALL.with_fields(groups=2, lanes=2),
    "groups-3": SMALL.with_fields(groups=3, level_stages=3),
}
TOPLEVELS = {name: partial(TsuCore, config=config) for name, config in CONFIGS.items()}

STALLED = {"none": (), **{name: (name,) for name in STREAMS}, "all": STREAMS}


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def some_psi(seed: int, *, k: int | None = None, tail: float | None = None):
    """A psi that suits the configuration: K, V and tail are random unless given."""
    rng = random.Random(seed)
    k = rng.randint(1, config().k_max) if k is None else k
    vocab = rng.randint(k + 1, config().vocab_max)
    # A weight of 12 bits must not be shifted out: see total_min.
    scale = rng.choice([0.004, 0.03, 0.0588])
    return random_psi(seed, k=k, vocab=vocab, tail=rng.choice([0.0, 0.3, 2.0]) if tail is None else tail, scale=scale)


async def started(dut, *, stalled=()) -> TsuDriver:
    tsu = TsuDriver(dut, config(), stalled=stalled)
    await tsu.start()
    return tsu


async def check_draws(tsu, reference, psi, count: int, mode: str, *, tag: int, what: str):
    """Take the draws of a command and compare them with the reference stream of its group; returns them."""
    found = await tsu.take(count, tag=tag)
    _SUPPORT.check(found, reference.rows(psi, count, mode, group=tsu.group(tag)), what)
    return found


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=list(STALLED))
async def draws_equal_the_reference_stream(dut, stalled):
    """Several psi in a row, both weight modes, odd batches: tokens, weights, spreads and totals, with any stalls."""
    tsu = await started(dut, stalled=STALLED[stalled])
    await tsu.seed(2026)
    reference = ReferenceTsu(config(), 2026)
    for number, (n, more) in enumerate([(150, [1, 7]), (1, []), (0, [3, 200]), (33, [2]), (64, [64, 5])]):
        psi, mode = some_psi(number), ("table", "exp2")[number % 2]
        law = draft_law(psi, config(), mode)
        tag, total = await tsu.load(psi, n, mode=mode)
        assert total == law.total, f"psi {number}: total {total}, expected {law.total}"
        await check_draws(tsu, reference, psi, n, mode, tag=tag, what=f"psi {number}, LOAD")
        for count in more:
            tag, total = await tsu.draw(count)
            found = await check_draws(tsu, reference, psi, count, mode, tag=tag, what=f"psi {number}, DRAW {count}")
            assert total == law.total
            for token, weight, spread in found:
                assert law.q(token) * law.total * spread == weight, f"token {token} claims another probability"


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def reset_state_is_seed_0(dut, stalled):
    """Without a SEED the stream is that of seed 0."""
    tsu = await started(dut, stalled=STALLED[stalled])
    psi = some_psi(50)
    tag, _ = await tsu.load(psi, 60)
    await check_draws(tsu, ReferenceTsu(config(), 0), psi, 60, "table", tag=tag, what="after reset")


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stalled=list(STALLED))
async def psi_switch_in_mid_stream(dut, stalled):
    """All commands are offered at once: each psi is loaded while the one before is sampled, and no draw is mixed up."""
    tsu = await started(dut, stalled=STALLED[stalled])
    psis = [some_psi(60 + i) for i in range(4)]
    reference, jobs = ReferenceTsu(config(), 0), []
    rng = random.Random(5)
    for number in range(12):
        psi = psis[number % 4]
        count = rng.choice([1, 2, 3, 17, 90])
        jobs.append((tsu.put_load(psi, count, "exp2"), psi, count, Opcode.LOAD))
        for _ in range(rng.randrange(3)):
            count = rng.choice([0, 1, 5, 40])
            jobs.append((tsu.put_draw(count), psi, count, Opcode.DRAW))
    for tag, psi, _, opcode in jobs:
        assert await tsu.good_status(tag, opcode) == draft_law(psi, config(), "exp2").total
    for number, (tag, psi, count, _) in enumerate(jobs):
        await check_draws(tsu, reference, psi, count, "exp2", tag=tag, what=f"job {number}")


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def next_psi_is_loaded_while_draws_are_not_taken(dut):
    """With o_draw blocked, two LOADs a group are accepted; the next one waits for a bank; nothing is lost."""
    tsu = await started(dut)
    tsu.draws.refuse()
    banks = 2 * config().groups
    psis, reference = [some_psi(70 + i) for i in range(banks + 1)], ReferenceTsu(config(), 0)
    tags = [tsu.put_load(psi, 300, "exp2") for psi in psis]
    for tag in tags[:banks]:
        await tsu.good_status(tag, Opcode.LOAD)
    await cycles(dut, 1500)
    assert not tsu.statuses.taken, "a psi was loaded over one that is still sampled"
    assert tsu.draws.transfers == 0
    tsu.draws.want(_DRIVER.ENDLESS)
    await tsu.good_status(tags[banks], Opcode.LOAD)
    for tag, psi in zip(tags, psis, strict=True):
        await check_draws(tsu, reference, psi, 300, "exp2", tag=tag, what=f"command {tag:#x}")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def stream_does_not_depend_on_batches(dut, stalled):
    """Random splits of 700 draws give the stream of one batch."""
    tsu = await started(dut, stalled=STALLED[stalled])
    psi, rng, left, found = some_psi(80), random.Random(3), 700, []
    tag, _ = await tsu.load(psi, 0)
    while left:
        n = min(left, rng.choice([1, 2, 3, 5, 30, 111]))
        tag, _ = await tsu.draw(n)
        found += await tsu.take(n, tag=tag)
        left -= n
    _SUPPORT.check(found, ReferenceTsu(config(), 0).rows(psi, 700, "table"), "splits")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def bad_psi_is_flagged_and_never_sampled(dut, stalled):
    """The draws of the psi before it all come, then DRAW is refused until a good psi is loaded."""
    tsu = await started(dut, stalled=STALLED[stalled])
    good, other, reference = some_psi(90), some_psi(91), ReferenceTsu(config(), 0)
    tag, _ = await tsu.load(good, 0)
    tag = tsu.put_draw(400)
    bad = draw_command(count=9, tag=77).tolist()
    bad[0] = bad[0] & ~0xFF | Opcode.LOAD
    bad += [4 | 3 << 24, 2, 0, 0, 0, 0, 1 | 3 << 24, 1 | 2 << 24]  # ids 1, 1
    tsu.put(bad)
    refused = tsu.put_draw(5)
    await tsu.good_status(tag, Opcode.DRAW)
    assert await tsu.status() == (77, Opcode.LOAD, Status.BAD_ID, 0)
    assert await tsu.status() == (refused, Opcode.DRAW, Status.NO_PSI, 0)
    await check_draws(tsu, reference, good, 400, "table", tag=tag, what="draws of the good psi")
    await cycles(dut, 300)
    assert not tsu.draws.taken, "a refused command delivered draws"
    tag, _ = await tsu.load(other, 50)
    await check_draws(tsu, reference, other, 50, "table", tag=tag, what="next good psi")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def reset_in_mid_stream(dut, stalled):
    """A reset while draws are owed and a LOAD is half taken: no psi, no table, the streams of seed 0."""
    tsu = await started(dut, stalled=STALLED[stalled])
    psi = some_psi(100)
    for taken in (0, 4, 32):
        await tsu.seed(9)
        tag, _ = await tsu.load(psi, 5000)
        await tsu.take(taken, tag=tag, whole=False)
        tsu.source.put([0x0101 | 7 << 16, 40, 40])  # half a LOAD
        await cycles(dut, 23)
        await tsu.reset()
        tag = tsu.put_draw(1)
        assert await tsu.status() == (tag, Opcode.DRAW, Status.NO_PSI, 0)
        tag = tsu.put_load(psi, 3, "table")
        assert await tsu.status() == (tag, Opcode.LOAD, Status.NO_TABLE, 0)
        tag, total = await tsu.load(psi, 61)
        assert total == draft_law(psi, config(), "table").total
        await check_draws(tsu, ReferenceTsu(config(), 0), psi, 61, "table", tag=tag, what="after reset")
        assert not tsu.draws.taken


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def seed_in_mid_stream(dut, stalled):
    """A SEED behind a DRAW waits until its draws are delivered, and starts at lane 0; the psi stays loaded."""
    tsu = await started(dut, stalled=STALLED[stalled])
    psi = some_psi(110)
    await tsu.load(psi, 0)
    seeds, jobs = [0, 77, 1 << 63], []
    for number, seed in enumerate(seeds):
        if number:
            tsu.put(seed_command(config(), seed, tag=seed & 0xFF))
        jobs.append(tsu.put_draw(101 + number))
    for number, seed in enumerate(seeds):
        if number:
            assert await tsu.status() == (seed & 0xFF, Opcode.SEED, Status.OK, 0)
            tsu.restart()
        await tsu.good_status(jobs[number], Opcode.DRAW)
        await check_draws(
            tsu, ReferenceTsu(config(), seed), psi, 101 + number, "table", tag=jobs[number], what=f"seed {seed}"
        )


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def refused_seed_leaves_the_draws_before_it_alone(dut):
    """A SEED of another version, or of one word, behind a DRAW: its draws come as if nothing had been sent."""
    tsu = await started(dut)
    psi, reference = some_psi(120), ReferenceTsu(config(), 0)
    await tsu.load(psi, 0)
    wrong = seed_command(config(), 5).tolist()
    wrong[0] += 0x0100
    first, second = tsu.put_draw(203), 0x3333
    tsu.put(wrong)
    tsu.put(draw_command(count=202, tag=second))
    tsu.put(seed_command(config(), 5)[:1])
    await tsu.good_status(first, Opcode.DRAW)
    assert (await tsu.status())[1:3] == (Opcode.SEED, Status.BAD_VERSION)
    await tsu.good_status(second, Opcode.DRAW)
    assert (await tsu.status())[1:3] == (Opcode.SEED, Status.BAD_LENGTH)
    await check_draws(tsu, reference, psi, 203, "table", tag=first, what="before the wrong version")
    await check_draws(tsu, reference, psi, 202, "table", tag=second, what="before the short SEED")
    assert (await tsu.execute(draw_command(count=1)))[0] == Status.NO_SEED
    await tsu.seed(6)
    tag, _ = await tsu.draw(40)
    await check_draws(tsu, ReferenceTsu(config(), 6), psi, 40, "table", tag=tag, what="after the good SEED")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def zero_state_is_refused(dut, stalled):
    """After BAD_SEED draws are refused with NO_SEED, loads without draws are not; a good SEED ends it."""
    tsu = await started(dut, stalled=STALLED[stalled])
    psi = some_psi(130)
    await tsu.load(psi, 0)
    for stream in (0, config().noise_streams - 1):
        wrong = seed_command(config(), 5).tolist()
        wrong[1 + 4 * stream : 5 + 4 * stream] = [0] * 4
        assert await tsu.execute(wrong) == (Status.BAD_SEED, 0)
        assert await tsu.execute(draw_command(count=1)) == (Status.NO_SEED, 0)
        assert (await tsu.execute(draw_command(count=0)))[0] == Status.OK
        await tsu.seed(stream)
        tag, _ = await tsu.draw(30)
        await check_draws(tsu, ReferenceTsu(config(), stream), psi, 30, "table", tag=tag, what="good SEED")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def table_of_another_version_changes_nothing(dut, stalled):
    """A refused TABLE of a wrong version leaves the entries; one of a wrong length leaves no table."""
    tsu = await started(dut, stalled=STALLED[stalled])
    psi, other = some_psi(140), some_psi(141)
    total = draft_law(psi, config(), "table").total
    await tsu.load(psi, 0)
    words = _DRIVER.table_command(weight_table(other.scale, other.tau, config().weight_bits)).tolist()
    assert await tsu.execute([words[0] + 0x0100, *words[1:]]) == (Status.BAD_VERSION, 0)
    tag = tsu.put_load(psi, 20, "table")
    assert await tsu.good_status(tag, Opcode.LOAD) == total
    await check_draws(tsu, ReferenceTsu(config(), 0), psi, 20, "table", tag=tag, what="old table")
    assert await tsu.execute(words[:-1]) == (Status.BAD_LENGTH, 0)
    tag = tsu.put_load(psi, 20, "table")
    assert await tsu.status() == (tag, Opcode.LOAD, Status.NO_TABLE, 0)
