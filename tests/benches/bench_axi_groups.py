# SPDX-License-Identifier: Apache-2.0
"""A TSU of several groups behind AXI: draws come mixed, and TUSER or DRAW_HEAD say whose they are."""

import random
import struct
from functools import partial
from itertools import pairwise
from pathlib import Path

import cocotb

from hw.axi.axi_tsu import AxiTsu
from hw.spec.axi import AXI_REGISTERS
from hw.spec.commands import GroupChoice, Opcode
from hw.spec.config import TsuConfig
from sim.bench_file import load_module

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "axi_driver.py")
_REFERENCE = load_module(_HERE.parent / "reference" / "stream.py")
ReferenceTsu, random_psi = _REFERENCE.ReferenceTsu, _REFERENCE.random_psi

SMALL = TsuConfig(k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {"groups-3": SMALL.with_fields(groups=3, lanes=2)}
TOPLEVELS = {name: partial(AxiTsu, config=config) for name, config in CONFIGS.items()}
COUNTS = (90, 1, 40, 3, 70, 2, 33)


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def some_psi(seed: int):
    rng = random.Random(seed)
    k = rng.randint(1, config().k_max)
    return random_psi(seed, k=k, vocab=rng.randint(k + 1, config().vocab_max), tail=0.3, scale=0.03)


def put_all(tsu) -> tuple[list[int], dict[int, list]]:
    """Offer a LOAD for each of `COUNTS`; their tags, and the draws that each must give."""
    choice, reference, expected = GroupChoice(config().groups), ReferenceTsu(config(), 0), {}
    for number, count in enumerate(COUNTS):
        psi = some_psi(number)
        tag = tsu.put_load(psi, count, "exp2")
        group = choice.of(int(Opcode.LOAD) | 0x0100).start
        expected[tag] = reference.rows(psi, count, "exp2", group=group)
    return list(expected), expected


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(paused=["none", "all"])
async def draws_are_told_apart_by_tuser(dut, paused):
    """All LOADs at once: transfers sorted by TUSER are the reference draws, and TLAST is the last one of its tag."""
    tsu = _DRIVER.AxiTsuDriver(dut, config(), paused=_DRIVER.AxiTsuDriver.PAUSABLE if paused == "all" else ())
    await tsu.start()
    tags, expected = put_all(tsu)
    found: dict[int, list] = {tag: [] for tag in tags}
    order: list[int] = []
    ended: set[int] = set()
    while len(ended) < len(tags):
        frame = await tsu.draws.recv(compact=False)
        for slot in range(len(frame.tdata) // 16):
            tag = frame.tuser[16 * slot]
            assert tag not in ended, "a transfer behind the TLAST of its command"
            order.append(tag)
            if frame.tkeep[16 * slot]:
                token, spread, weight = struct.unpack_from("<IIQ", frame.tdata, 16 * slot)
                found[tag].append((token & 0x7FFF_FFFF, weight, spread))
        ended.add(tag)
    for tag in tags:
        assert (await tsu.good_status(tag, Opcode.LOAD)) > 0
        _SUPPORT.check(found[tag], expected[tag], f"command {tag:#x}")
    changes = sum(before != after for before, after in pairwise(order))
    assert changes > 2 * len(tags), "beats of the groups were not mixed"


@cocotb.test(timeout_time=9, timeout_unit="ms")
async def draws_through_registers_keep_their_tags(dut):
    """The same, with the draws taken one by one from the DRAW registers."""
    tsu = _DRIVER.AxiTsuDriver(dut, config())
    await tsu.start()
    registers = {name: register.offset for name, register in AXI_REGISTERS.items()}
    await tsu.write(registers["ROUTE"], 4)
    tags, expected = put_all(tsu)
    found: dict[int, list] = {tag: [] for tag in tags}
    for _ in range(sum(COUNTS)):
        while not await tsu.read(registers["STATE"]) & 4:
            pass
        head = await tsu.read(registers["DRAW_HEAD"])
        token, spread = await tsu.read(registers["DRAW_TOKEN"]), await tsu.read(registers["DRAW_SPREAD"])
        found[head & 0xFFFF].append((token, await tsu.read(registers["DRAW_WEIGHT_LOW"]), spread))
        done = len(found[head & 0xFFFF]) == len(expected[head & 0xFFFF])
        assert head >> 16 & 1 == done, f"`last` is {head >> 16 & 1} in draw {len(found[head & 0xFFFF])}"
        await tsu.write(registers["DRAW_TAKE"], 1)
    for tag in tags:
        _SUPPORT.check(found[tag], expected[tag], f"command {tag:#x}")
