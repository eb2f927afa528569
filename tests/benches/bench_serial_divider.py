# SPDX-License-Identifier: Apache-2.0
"""Serial divider on the RTL against Python's division: every small case, and those the TSU asks for."""

import random
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import TsuConfig
from hw.tsu.serial_divider import SerialDivider
from sim.bench_file import load_module
from sim.bfm import cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

CONFIG = TsuConfig()
WIDTHS = {"small": (5, 7), "scale": (CONFIG.total_bits, CONFIG.scale_bits), "tail": (CONFIG.id_bits, 1)}
TOPLEVELS = {
    f"{name}{suffix}": partial(SerialDivider, width=width, quotient_bits=quotient, step_cycles=cycles_each)
    for name, (width, quotient) in WIDTHS.items()
    for suffix, cycles_each in (("", 1), ("+two-cycle", 2))
}


def step_cycles() -> int:
    return 2 if _SUPPORT.variant().endswith("+two-cycle") else 1


async def divide(dut, first: int, divisor: int, steps: int) -> tuple[int, int]:
    """Quotient and remainder; checks that the unit is busy for exactly the time of `steps` steps."""
    dut.start_stb.value, dut.divisor.value, dut.first.value, dut.steps.value = 1, divisor, first, steps
    await RisingEdge(dut.clk)
    dut.start_stb.value, dut.first.value, dut.steps.value = 0, 0, 0
    for _ in range(steps * step_cycles()):
        await RisingEdge(dut.clk)
        assert dut.busy.value == 1, "not busy while dividing"
    await RisingEdge(dut.clk)
    assert dut.busy.value == 0, f"still busy after {steps} steps"
    return int(dut.quotient.value), int(dut.remainder.value)


async def started(dut) -> None:
    dut.start_stb.value = 0
    await start(dut)


def expected(first: int, divisor: int, steps: int) -> tuple[int, int]:
    quotient, remainder = divmod(first << steps, divisor)
    return quotient % (1 << WIDTHS[_SUPPORT.base_variant()][1]), remainder


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def all_small_quotients(dut):
    """Every divisor of 5 bits, every first value below it, 1, 4 and 7 steps (other widths: 200 random cases)."""
    await started(dut)
    width, _ = WIDTHS[_SUPPORT.base_variant()]
    rng = random.Random(2)
    if width == 5:
        cases = [(first, divisor, steps) for divisor in range(1, 32) for first in range(divisor) for steps in (1, 4, 7)]
    else:
        divisors = [rng.getrandbits(rng.randint(1, width)) or 1 for _ in range(200)]
        cases = [(rng.randrange(divisor), divisor, rng.randint(1, 63)) for divisor in divisors]
        cases += [((1 << width) - 2, (1 << width) - 1, 63), (0, 1, 63)]
    for case in cases:
        found = await divide(dut, *case)
        assert found == expected(*case), f"first, divisor, steps {case}: {found}, expected {expected(*case)}"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def scale_and_tail_remainder_of_the_tsu(dut):
    """c = floor(2^U / Z) at both ends of the legal totals and around powers of two; 2^tb mod n for edge n."""
    await started(dut)
    low, high = CONFIG.total_min, CONFIG.total_max
    if _SUPPORT.base_variant() == "scale":
        middle = [1 << bits for bits in range(low.bit_length(), high.bit_length())]
        for total in [low, low + 1, high, *middle, *(z + 1 for z in middle), *(z - 1 for z in middle)]:
            quotient, remainder = await divide(dut, low - 1, total, CONFIG.scale_bits)
            assert (quotient, remainder) == divmod(1 << CONFIG.uniform_bits, total), f"Z = {total}"
    elif _SUPPORT.base_variant() == "tail":
        for n in [2, 3, 4, 5, 7, 641, 65535, 65536, 65537, (1 << 20) - 1, 1 << 19, 151_999]:
            _, remainder = await divide(dut, 1, n, CONFIG.tail_noise_bits)
            assert remainder == (1 << CONFIG.tail_noise_bits) % n, f"n = {n}"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def start_while_busy_begins_anew(dut):
    """A start in mid-division gives the new quotient, after the new number of steps."""
    await started(dut)
    for wait in range(6):
        dut.start_stb.value, dut.divisor.value, dut.first.value, dut.steps.value = 1, 29, 17, 7
        await RisingEdge(dut.clk)
        dut.start_stb.value = 0
        await cycles(dut, wait)
        assert await divide(dut, 5, 19, 5) == expected(5, 19, 5), f"second start {wait} cycles after the first"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_mid_division(dut):
    """After reset the unit is idle, and divides again."""
    await started(dut)
    dut.start_stb.value, dut.divisor.value, dut.first.value, dut.steps.value = 1, 29, 17, 60
    await RisingEdge(dut.clk)
    dut.start_stb.value = 0
    await cycles(dut, 5)
    dut.rst.value = 1
    await cycles(dut, 2)
    dut.rst.value = 0
    await cycles(dut, 1)
    assert dut.busy.value == 0
    assert await divide(dut, 5, 19, 5) == expected(5, 19, 5)
