# SPDX-License-Identifier: Apache-2.0
"""Small jobs, one behind the other: cycles per psi, for 1, 2 and 4 groups of as many lanes in all, and wide values.

The figures are in the log of the run; docs/reference/groups.md has them.
"""

import random
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from host.golden.exact import draft_law
from hw.spec.commands import Opcode
from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore
from sim.bench_file import load_module

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")
_REFERENCE = load_module(_HERE.parent / "reference" / "stream.py")
ReferenceTsu, random_psi = _REFERENCE.ReferenceTsu, _REFERENCE.random_psi

SHAPES = {
    "1-group-of-4": (1, 4),
    "2-groups-of-2": (2, 2),
    "4-groups-of-1": (4, 1),
    "2-groups-of-4": (2, 4),
    "4-groups-of-4": (4, 4),
}
CONFIGS = {
    **{name: TsuConfig(groups=groups, lanes=lanes) for name, (groups, lanes) in SHAPES.items()},
    **{
        f"{name}-deep": TsuConfig(groups=groups, lanes=lanes, level_stages=3)
        for name, (groups, lanes) in SHAPES.items()
        if lanes * groups == 4
    },
}
TOPLEVELS = {name: partial(TsuCore, config=config) for name, config in CONFIGS.items()}

JOBS = 40

WIDE_JOBS = 48

LOAD_CYCLES = {1: 51, 3: 87}
"""By `level_stages`: cycles of a LOAD beside two for each of its K words, in a group that is never idle."""

WORDS = 10
"""Words of a LOAD beside its K entries, and two cycles between two LOADs."""


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


async def cycles_each(dut, *, k: int, count: int) -> float:
    """Cycles per psi, from the first draw to the last draw of `JOBS` psi that are offered at once."""
    tsu = _DRIVER.TsuDriver(dut, config())
    await tsu.start()
    psis = [random_psi(number, k=k, vocab=50_000, tail=0.5) for number in range(4)]
    tags = [tsu.put_load(psis[number % 4], count, "exp2") for number in range(JOBS)]
    while tsu.draws.transfers == 0:
        await RisingEdge(dut.clk)
    first = tsu.draws.cycle
    for tag in tags:
        await tsu.good_status(tag, Opcode.LOAD)
        await tsu.take(count, tag=tag)
    return (tsu.draws.cycle - first) / (JOBS - 1)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(k=[1, 8, 32, 64], count=[1, 4])
async def psi_per_second(dut, k, count):
    """The groups share the loading out: what remains is the LOAD of one of them, or the words on their way in."""
    each = await cycles_each(dut, k=k, count=count)
    groups, lanes = config().groups, config().lanes
    dut._log.info(f"small jobs: groups {groups}, lanes {lanes}, K = {k}, {count} draws: {each:.1f} cycles per psi")
    assert 8 + k <= each, "more than a word per cycle"
    assert each <= max(WORDS + k, (LOAD_CYCLES[config().level_stages] + 2 * k) / groups) + 1


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(stalled=[False, True])
async def values_of_every_width(dut, stalled):
    """Tails that fill their 56 bits and vocabularies up to the largest: every bit of a beat is used, and is right."""
    tsu = _DRIVER.TsuDriver(dut, config(), stalled=_DRIVER.STREAMS if stalled else ())
    await tsu.start()
    rng, reference, jobs = random.Random(3), ReferenceTsu(config(), 0), []
    for number in range(WIDE_JOBS):
        k, vocab = rng.randint(1, 6), rng.randint(1 << rng.randint(6, 19), config().vocab_max)
        tail = rng.choice([0.2, rng.uniform(2, 4), rng.uniform(2**10, 2**24)])
        psi, count = random_psi(500 + number, k=k, vocab=vocab, tail=tail), 3 * config().lanes + rng.randint(0, 3)
        jobs.append((tsu.put_load(psi, count, "exp2"), psi, count, Opcode.LOAD))
        if rng.random() < 0.3:
            jobs.append((tsu.put_draw(2), psi, 2, Opcode.DRAW))
    for tag, psi, _, opcode in jobs:
        assert await tsu.good_status(tag, opcode) == draft_law(psi, config(), "exp2").total
    for number, (tag, psi, count, _) in enumerate(jobs):
        found = await tsu.take(count, tag=tag)
        _SUPPORT.check(found, reference.rows(psi, count, "exp2", group=tsu.group(tag)), f"job {number}")
