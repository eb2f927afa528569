# SPDX-License-Identifier: Apache-2.0
"""A TSU of several groups: commands in flight everywhere, what is shared, and small jobs per second.

Bit for bit against tests/reference/stream.py, like bench_tsu.py, which runs on several groups too.
"""

import random
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from host.golden.exact import draft_law
from host.tsu.lowering import draw_command, seed_command
from hw.spec.commands import Opcode, Status
from hw.spec.config import TsuConfig
from hw.spec.registers import REGISTERS
from hw.tsu.core import TsuCore
from sim.bench_file import load_module
from sim.bfm import cycles

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")
_REFERENCE = load_module(_HERE.parent / "reference" / "stream.py")
STREAMS = _DRIVER.STREAMS
ReferenceTsu, random_psi = _REFERENCE.ReferenceTsu, _REFERENCE.random_psi

SMALL = TsuConfig(k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {
    "groups-2": SMALL.with_fields(groups=2, lanes=4),
    "groups-3": SMALL.with_fields(groups=3, level_stages=3, noise="lfsr-leap"),
}
TOPLEVELS = {name: partial(TsuCore, config=config) for name, config in CONFIGS.items()}


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def some_psi(seed: int, *, k: int | None = None):
    rng = random.Random(seed)
    k = rng.randint(1, config().k_max) if k is None else k
    return random_psi(seed, k=k, vocab=rng.randint(k + 1, config().vocab_max), tail=rng.choice([0.0, 0.3]), scale=0.03)


async def started(dut, *, stalled=()):
    tsu = _DRIVER.TsuDriver(dut, config(), stalled=stalled)
    await tsu.start()
    return tsu


async def check_draws(tsu, reference, psi, count: int, *, tag: int, what: str) -> None:
    """Take the draws of a command and compare them with the reference stream of its group."""
    found = await tsu.take(count, tag=tag)
    _SUPPORT.check(found, reference.rows(psi, count, "exp2", group=tsu.group(tag)), what)


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def psi_of_all_groups_are_sampled_together(dut, stalled):
    """Long jobs in every group: beats come in turns, one of each group, and every group has its own stream."""
    tsu = await started(dut, stalled=STREAMS if stalled == "all" else ())
    groups, lanes = config().groups, config().lanes
    reference, psis = ReferenceTsu(config(), 0), [some_psi(10 + group) for group in range(groups)]
    tags = [tsu.put_load(psi, 400 * lanes, "exp2") for psi in psis]
    assert [tsu.group(tag) for tag in tags] == list(range(groups))
    for tag, psi in zip(tags, psis, strict=True):
        assert await tsu.good_status(tag, Opcode.LOAD) == draft_law(psi, config(), "exp2").total
    while len(tsu.draws.taken) < 300 * groups:
        await RisingEdge(dut.clk)
    order = [_DRIVER.unpack_beat(payload, config())["group"] for payload in tsu.draws.taken]
    middle = order[60 * groups : 260 * groups]
    counts = [middle.count(group) for group in range(groups)]
    if stalled == "all":  # the draws do not wait for beats that are taken every other cycle
        assert max(counts) - min(counts) <= 1, f"beats of the groups: {counts}"
    assert min(counts) > 150, f"beats of the groups: {counts}"
    for tag, psi in zip(tags, psis, strict=True):
        await check_draws(tsu, reference, psi, 400 * lanes, tag=tag, what=f"group {tsu.group(tag)}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", *STREAMS, "all"])
async def many_small_jobs(dut, stalled):
    """Sixty psi of all sizes with one to four draws, offered at once; some are drawn from again."""
    tsu = await started(dut, stalled=STREAMS if stalled == "all" else () if stalled == "none" else (stalled,))
    rng, reference, jobs = random.Random(8), ReferenceTsu(config(), 0), []
    for number in range(60):
        psi, count = some_psi(100 + number), rng.randint(1, 4)
        jobs.append((tsu.put_load(psi, count, "exp2"), psi, count, Opcode.LOAD))
        if rng.random() < 0.3:
            count = rng.randint(0, 9)
            jobs.append((tsu.put_draw(count), psi, count, Opcode.DRAW))
    for tag, psi, _, opcode in jobs:
        assert await tsu.good_status(tag, opcode) == draft_law(psi, config(), "exp2").total
    for number, (tag, psi, count, _) in enumerate(jobs):
        await check_draws(tsu, reference, psi, count, tag=tag, what=f"job {number}")
    await cycles(dut, 200)
    assert not tsu.draws.taken and not tsu.statuses.taken
    assert dut.busy.value == 0


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def a_seed_waits_for_the_draws_of_every_group(dut):
    """The group that owes draws is not the one that the SEED is answered by; behind it all groups start anew."""
    tsu = await started(dut)
    groups = config().groups
    psis, reference = [some_psi(30 + group) for group in range(groups)], ReferenceTsu(config(), 0)
    tags = [tsu.put_load(psi, 0, "exp2") for psi in psis[:-1]] + [tsu.put_load(psis[-1], 150, "exp2")]
    tsu.draws.refuse()
    tsu.put(seed_command(config(), 77, tag=9))
    for tag in tags:
        await tsu.good_status(tag, Opcode.LOAD)
    await cycles(dut, 1500)
    assert not tsu.statuses.taken, "a SEED was executed while a group owed draws"
    tsu.draws.want(_DRIVER.ENDLESS)
    assert await tsu.status() == (9, Opcode.SEED, Status.OK, 0)
    await check_draws(tsu, reference, psis[-1], 150, tag=tags[-1], what="before the SEED")
    tsu.restart()
    reference = ReferenceTsu(config(), 77)
    tag = tsu.put_draw(31)  # from the last psi still
    await tsu.good_status(tag, Opcode.DRAW)
    assert tsu.group(tag) == groups - 1
    await check_draws(tsu, reference, psis[-1], 31, tag=tag, what="DRAW behind the SEED")
    for psi in psis:
        tag, _ = await tsu.load(psi, 31, mode="exp2")
        await check_draws(tsu, reference, psi, 31, tag=tag, what=f"group {tsu.group(tag)} behind the SEED")
    assert tsu.group(tag) == groups - 1


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def refused_commands_count_once(dut):
    """REFUSED_COUNT, also of commands that all groups execute; a refused LOAD takes its group's psi, not another's."""
    tsu = await started(dut)
    good, groups = some_psi(40), config().groups
    for _ in range(groups):
        await tsu.load(good, 0, mode="exp2")
    bad = [Opcode.LOAD | 0x0100, 3]
    assert await tsu.execute(bad) == (Status.BAD_LENGTH, 0)  # group 0
    assert (await tsu.execute(draw_command(count=1)))[0] == Status.NO_PSI
    assert await tsu.execute(bad) == (Status.BAD_LENGTH, 0)  # group 1
    assert await tsu.execute([Opcode.TABLE | 0x0100, 1]) == (Status.BAD_LENGTH, 0)
    assert await tsu.execute([Opcode.SEED | 0x0100, 1, 2]) == (Status.BAD_LENGTH, 0)
    tag, _ = await tsu.load(good, 0, mode="exp2")
    assert tsu.group(tag) == 0, "a refused SEED too begins at group 0"
    for _ in range(groups - 1):
        await tsu.load(good, 0, mode="exp2")
    for word in (0x0200 | Opcode.SEED, 0x0109):  # to the group of the last LOAD, and nothing happens
        assert (await tsu.execute([word, 1, 2, 3]))[0] in (Status.BAD_VERSION, Status.BAD_OPCODE)
    assert (await tsu.execute(draw_command(count=1)))[0] == Status.NO_SEED
    assert (await tsu.execute(draw_command(count=0)))[0] == Status.OK
    dut.register_address.value = REGISTERS["REFUSED_COUNT"].address
    await cycles(dut, 3)
    assert dut.register_data.value == 8
    dut.register_address.value = REGISTERS["GROUPS"].address
    await cycles(dut, 2)
    assert dut.register_data.value == groups


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def known_answer_test_holds_every_group_back(dut):
    """Right after reset a LOAD waits for the test, in every group; none of the draws is missing or another's."""
    tsu = await started(dut)
    psis, reference = [some_psi(50 + number) for number in range(2 * config().groups)], ReferenceTsu(config(), 0)
    tags = [tsu.put_load(psi, 20, "exp2") for psi in psis]
    await cycles(dut, 4000)
    assert not tsu.statuses.taken and not tsu.draws.taken
    for tag, psi in zip(tags, psis, strict=True):
        await tsu.good_status(tag, Opcode.LOAD)
        await check_draws(tsu, reference, psi, 20, tag=tag, what=f"command {tag:#x}")
