# SPDX-License-Identifier: Apache-2.0
"""The whole TSU behind AXI4-Streams, driven by cocotbext-axi, token for token against tests/reference/stream.py."""

import random
from functools import partial
from pathlib import Path

import cocotb

from host.golden.exact import draft_law
from host.tsu.lowering import seed_command
from hw.axi.axi_tsu import AxiTsu
from hw.spec.commands import Opcode, Status
from hw.spec.config import TsuConfig
from sim.bench_file import load_module

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "axi_driver.py")
_REFERENCE = load_module(_HERE.parent / "reference" / "stream.py")
AxiTsuDriver, PAUSABLE = _DRIVER.AxiTsuDriver, _DRIVER.AxiTsuDriver.PAUSABLE
ReferenceTsu, random_psi = _REFERENCE.ReferenceTsu, _REFERENCE.random_psi

SMALL = TsuConfig(k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {
    "small-1": SMALL,
    "small-4": SMALL.with_fields(lanes=4, noise="lfsr-leap"),
    "board-2": TsuConfig(lanes=2, level_stages=3, vocab_max=1 << 18),
}
TOPLEVELS = {name: partial(AxiTsu, config=config) for name, config in CONFIGS.items()}

PAUSED = {"none": (), **{name: (name,) for name in PAUSABLE}, "all": PAUSABLE}
CONTROL, ROUTE = 0x104, 0x10C


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def some_psi(seed: int):
    """A psi that suits the configuration."""
    rng = random.Random(seed)
    k = rng.randint(1, config().k_max)
    vocab = rng.randint(k + 1, config().vocab_max)
    # A weight of 12 bits must not be shifted out: see total_min.
    return random_psi(seed, k=k, vocab=vocab, tail=rng.choice([0.0, 0.3, 2.0]), scale=rng.choice([0.004, 0.03, 0.0588]))


async def started(dut, *, paused=()) -> AxiTsuDriver:
    tsu = AxiTsuDriver(dut, config(), paused=paused)
    await tsu.start()
    return tsu


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def draws_equal_the_reference_stream(dut, paused):
    """LOAD over AXI4-Stream, draw, both weight modes, odd batches: tokens, weights, spreads and totals."""
    tsu = await started(dut, paused=PAUSED[paused])
    await tsu.seed(2026)
    reference = ReferenceTsu(config(), 2026)
    for number, (n, more) in enumerate([(150, [1, 7]), (1, []), (0, [3, 200]), (33, [2])]):
        psi, mode = some_psi(number), ("exp2", "table")[number % 2]
        law = draft_law(psi, config(), mode)
        tag, total = await tsu.load(psi, n, mode)
        assert total == law.total, f"psi {number}: total {total}, expected {law.total}"
        _SUPPORT.check(await tsu.take(n, tag=tag), reference.rows(psi, n, mode), f"psi {number}, LOAD")
        for count in more:
            tag = tsu.put_draw(count)
            assert await tsu.good_status(tag, Opcode.DRAW) == law.total
            found = await tsu.take(count, tag=tag)
            _SUPPORT.check(found, reference.rows(psi, count, mode), f"psi {number}, DRAW {count}")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=list(PAUSED))
async def commands_queue_up(dut, paused):
    """All commands are offered at once; registers are read meanwhile; no draw is mixed up, lost or doubled."""
    tsu = await started(dut, paused=PAUSED[paused])
    psis, rng, reference, jobs = [some_psi(60 + i) for i in range(3)], random.Random(5), ReferenceTsu(config(), 0), []
    for number in range(9):
        psi, count = psis[number % 3], rng.choice([1, 2, 3, 17, 90])
        jobs.append((tsu.put_load(psi, count, "exp2"), psi, count, Opcode.LOAD))
        for _ in range(rng.randrange(3)):
            count = rng.choice([0, 1, 5, 40])
            jobs.append((tsu.put_draw(count), psi, count, Opcode.DRAW))
    reads = cocotb.start_soon(read_lanes(tsu, 40))
    for tag, psi, _, opcode in jobs:
        assert await tsu.good_status(tag, opcode) == draft_law(psi, config(), "exp2").total
    for number, (tag, psi, count, _) in enumerate(jobs):
        _SUPPORT.check(await tsu.take(count, tag=tag), reference.rows(psi, count, "exp2"), f"job {number}")
    await reads
    await tsu.cycles(200)
    assert tsu.draws.empty() and tsu.statuses.empty()


async def read_lanes(tsu, times: int) -> None:
    for _ in range(times):
        assert await tsu.read(0x10) == config().lanes


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def blocked_streams_lose_nothing(dut, paused):
    """Statuses and draws are not taken for long; then all of them come."""
    tsu = await started(dut, paused=PAUSED[paused])
    psi, reference = some_psi(70), ReferenceTsu(config(), 0)
    for sink in (tsu.statuses, tsu.draws):
        sink.set_pause_generator(None)
        sink.pause = True
    tags = [tsu.put_load(psi, 120, "exp2"), tsu.put_draw(77), tsu.put_draw(5)]
    await tsu.cycles(1500)
    assert tsu.statuses.empty() and tsu.draws.empty()
    for sink in (tsu.statuses, tsu.draws):
        sink.pause = False
    for tag, opcode, count in zip(tags, (Opcode.LOAD, Opcode.DRAW, Opcode.DRAW), (120, 77, 5), strict=True):
        await tsu.good_status(tag, opcode)
        _SUPPORT.check(await tsu.take(count, tag=tag), reference.rows(psi, count, "exp2"), f"command {tag:#x}")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def refused_command_is_answered(dut, paused):
    """A short, an unknown and an early command get their status and no draw; the register counts them."""
    tsu = await started(dut, paused=PAUSED[paused])
    tsu.put([0x0102 | 5 << 16, 9])
    assert await tsu.status() == (5, Opcode.DRAW, Status.NO_PSI, 0)
    tsu.put([0x0102 | 6 << 16])
    assert await tsu.status() == (6, Opcode.DRAW, Status.BAD_LENGTH, 0)
    tsu.put([0x0177 | 7 << 16] * 20)
    assert await tsu.status() == (7, 0x77, Status.BAD_OPCODE, 0)
    assert await tsu.read(0x20) == 3
    psi = some_psi(80)
    tag, _ = await tsu.load(psi, 9, "exp2")
    _SUPPORT.check(await tsu.take(9, tag=tag), ReferenceTsu(config(), 0).rows(psi, 9, "exp2"), "good psi")
    assert tsu.draws.empty()


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def reset_in_mid_stream(dut, paused):
    """aresetn while draws are owed and a LOAD is half taken: no psi, no draw left over, the streams of seed 0."""
    tsu = await started(dut, paused=PAUSED[paused])
    psi = some_psi(100)
    for delay in (0, 11, 60):
        await tsu.seed(9)
        await tsu.load(psi, 5000, "exp2")
        tsu.put(tsu.load_words(psi, 5, "exp2", tag=3))
        await tsu.cycles(delay)
        await tsu.reset()
        assert tsu.draws.empty() and tsu.statuses.empty()
        tag = tsu.put_draw(1)
        assert await tsu.status() == (tag, Opcode.DRAW, Status.NO_PSI, 0)
        tag, total = await tsu.load(psi, 61, "exp2")
        assert total == draft_law(psi, config(), "exp2").total
        _SUPPORT.check(await tsu.take(61, tag=tag), ReferenceTsu(config(), 0).rows(psi, 61, "exp2"), "after reset")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def reset_by_register_in_mid_stream(dut, paused):
    """CONTROL.reset in the middle of a command and of a packet: the TSU is as after aresetn, offers stay on offer.

    The sink of the draws does not see TLAST for the packet that was cut, so that the next packet begins with its rest.
    """
    tsu = await started(dut, paused=PAUSED[paused])
    psi = some_psi(110)
    for delay in (0, 5, 20, 40, 90):
        await tsu.seed(9)
        await tsu.load(psi, 3000, "exp2")
        cut = tsu.next_tag()
        tsu.put(tsu.load_words(psi, 5, "exp2", tag=cut))
        tsu.put(tsu.load_words(psi, 5, "exp2", tag=cut))
        await tsu.cycles(delay)
        await tsu.write(CONTROL, 1)
        await tsu.source.wait()
        await tsu.cycles(150)
        answered = []
        while not tsu.statuses.empty():
            answered.append((await tsu.status())[:3])
        # Whole commands behind the reset are executed; the one that was cut in two is not.
        assert set(answered) <= {(cut, Opcode.LOAD, Status.OK)}, f"{answered} after {delay} cycles"
        await tsu.cycles(400)
        assert await tsu.read(0x108) & 1 == 0, "busy"
        await tsu.write(CONTROL, 1)
        tag = tsu.put_draw(1)
        while (found := await tsu.status())[0] == cut:
            pass
        assert found == (tag, Opcode.DRAW, Status.NO_PSI, 0)
        tag, total = await tsu.load(psi, 61, "exp2")
        assert total == draft_law(psi, config(), "exp2").total
        rows = []
        while len(rows) < 61:
            rows = await rows_of_tag(tsu, tag)
        _SUPPORT.check(rows, ReferenceTsu(config(), 0).rows(psi, 61, "exp2"), f"after {delay} cycles and the reset")


async def rows_of_tag(tsu, tag: int) -> list[tuple[int, int, int]]:
    """Draws with this TUSER in the next packet."""
    frame = await tsu.draws.recv(compact=False)
    rows = []
    for slot in range(len(frame.tdata) // 16):
        if frame.tkeep[16 * slot] and frame.tuser[16 * slot] == tag:
            words = [int.from_bytes(frame.tdata[16 * slot + i : 16 * slot + i + 4], "little") for i in (0, 4, 8, 12)]
            rows.append((words[0] & 0x7FFF_FFFF, words[2] | words[3] << 32, words[1]))
    tsu.position = 0
    return rows


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def seed_and_load_behind_one_another(dut, paused):
    """SEED, LOAD and DRAW in one go, three times: every round is the stream of its seed."""
    tsu = await started(dut, paused=PAUSED[paused])
    psi, tags = some_psi(120), []
    for seed in (3, 4, 5):
        tsu.put(seed_command(config(), seed, tag=seed))
        tags.append((seed, tsu.put_load(psi, 31, "exp2"), tsu.put_draw(10)))
    for seed, load, draw in tags:
        assert (await tsu.status())[:3] == (seed, Opcode.SEED, Status.OK)
        tsu.position, reference = 0, ReferenceTsu(config(), seed)
        await tsu.good_status(load, Opcode.LOAD)
        _SUPPORT.check(await tsu.take(31, tag=load), reference.rows(psi, 31, "exp2"), f"LOAD of seed {seed}")
        await tsu.good_status(draw, Opcode.DRAW)
        _SUPPORT.check(await tsu.take(10, tag=draw), reference.rows(psi, 10, "exp2"), f"DRAW of seed {seed}")
