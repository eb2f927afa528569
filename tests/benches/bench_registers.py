# SPDX-License-Identifier: Apache-2.0
"""Register file on the RTL: SPEC_ID, configuration, refused commands, alarms of the noise."""

import random
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import PRESETS, TsuConfig
from hw.spec.digest import spec_id
from hw.tsu.register_file import RegisterFile
from sim.bench_file import load_module
from sim.bfm import cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

CONFIGS = {
    "lanes-4": TsuConfig(lanes=4),
    "lanes-64": TsuConfig(lanes=64),
    "groups-5": TsuConfig(groups=5, lanes=8),
    "up5k": PRESETS["up5k"],
}
TOPLEVELS = {name: partial(RegisterFile, config=config) for name, config in CONFIGS.items()}


def config():
    return CONFIGS[_SUPPORT.base_variant()]


async def read(dut, address: int) -> int:
    """Data one cycle after the address."""
    dut.address.value = address
    await cycles(dut, 2)
    return int(dut.data.value)


async def started(dut) -> None:
    dut.address.value = dut.refused_stb.value = dut.alarms.value = dut.testing.value = 0
    await start(dut)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def identity_and_configuration(dut):
    """Addresses as docs/reference lists them; unused ones read 0."""
    await started(dut)
    digest = spec_id(config())
    expected = [digest % (1 << 32), digest >> 32, config().k_max, config().vocab_max, config().lanes]
    expected += [config().weight_bits, config().total_bits, config().uniform_bits, 0, 0] + [0] * 4
    expected += [config().groups, 0]
    _SUPPORT.check([await read(dut, address) for address in range(16)], expected, "registers")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def refused_commands_are_counted(dut):
    """Every cycle of `refused_stb` counts, also while the register is read; a reset clears it."""
    await started(dut)
    rng, count = random.Random(71), 0
    dut.address.value = 8
    for _ in range(500):
        stb = rng.randrange(2)
        dut.refused_stb.value = stb
        await RisingEdge(dut.clk)
        count += stb
    dut.refused_stb.value = 0
    assert await read(dut, 8) == count
    dut.rst.value = 1
    await cycles(dut, 2)
    dut.rst.value = 0
    assert await read(dut, 8) == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(kind=range(4))
async def alarm_has_a_bit_for_each_of_32_lanes(dut, kind):
    """Bit l of an alarm's register is lane l; lanes from 32 on have none, but HEALTH and the alarm know them."""
    await started(dut)
    registers = (11, 12, 13, 9)  # repetition, proportion, known answer, lock-up
    for lane in range(config().all_lanes):
        dut.alarms.value = 1 << (kind * config().all_lanes + lane)
        await cycles(dut, 2)
        assert dut.alarm.value == 1, f"lane {lane}"
        found = [await read(dut, address) for address in registers]
        expected = [1 << lane if number == kind and lane < 32 else 0 for number in range(4)]
        assert found == expected, f"lane {lane}: {found}"
        assert await read(dut, 10) == 1 << kind, f"lane {lane}"
    dut.alarms.value = 0
    await cycles(dut, 2)
    assert [await read(dut, address) for address in (10, *registers)] == [0] * 5
    assert dut.alarm.value == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def health_tells_alarms_and_the_known_answer_test_apart(dut):
    """All alarms together are bits 0 to 3, the running test is bit 8 and no alarm."""
    await started(dut)
    dut.testing.value = 1
    assert await read(dut, 10) == 0x100
    assert dut.alarm.value == 0
    dut.alarms.value = (1 << 4 * config().all_lanes) - 1
    await cycles(dut, 1)
    assert await read(dut, 10) == 0x10F
