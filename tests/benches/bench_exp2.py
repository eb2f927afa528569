# SPDX-License-Identifier: Apache-2.0
"""exp2 unit on the RTL: the integers of hw.spec.exp2, and 2^-x as mpmath gives it."""

import random
from functools import partial
from pathlib import Path

import cocotb
import mpmath

from hw.spec.config import TsuConfig
from hw.spec.exp2 import FRACTION_BITS, RATIO_BITS, RATIO_MAX, exp2_mantissa, log2_ratio_q
from hw.tsu.exp2_unit import Exp2Unit
from sim.bench_file import load_module
from sim.bfm import cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

STAGES = {f"levels-{stages}": TsuConfig(level_stages=stages).multiply_stages for stages in (1, 3)}
TOPLEVELS = {name: partial(Exp2Unit, stages=stages) for name, stages in STAGES.items()}

RATIOS = [0, 1, (1 << 44) - 1, 1 << 44, 1 << 43, RATIO_MAX, log2_ratio_q(0.0588, 1.0), log2_ratio_q(0.0588, 0.7)]
RATIOS += [random.Random(3).getrandbits(bits) for bits in range(8, RATIO_BITS + 1, 3)]


def latency() -> int:
    return Exp2Unit(stages=STAGES[_SUPPORT.base_variant()]).latency_cycles


async def mantissas(dut, ratio: int, distances: list[int]) -> list[tuple[int, int]]:
    """Mantissa and exponent of each distance, one a cycle; the ratio changes only when the unit is empty."""
    dut.ratio.value = ratio
    await cycles(dut, latency() + 1)

    def drive(distance):
        dut.distance.value = distance

    def read(port, cycles_later: int):
        return _SUPPORT.through_pipeline(
            dut, distances, drive=drive, sample=lambda: int(port.value), latency=cycles_later
        )

    # The exponent comes one cycle before its mantissa.
    found = await read(dut.mantissa, latency())
    return list(zip(found, await read(dut.exponent, latency() - 1), strict=True))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def all_distances_give_the_integers_of_the_contract(dut):
    """256 distances for each of 22 ratios, in order and shuffled."""
    await start(dut)
    for ratio in RATIOS:
        distances = list(range(256))
        if ratio & 1:
            random.Random(ratio).shuffle(distances)
        products = [distance * ratio for distance in distances]
        expected = [(exp2_mantissa(x % (1 << FRACTION_BITS)), x >> FRACTION_BITS) for x in products]
        _SUPPORT.check(await mantissas(dut, ratio, distances), expected, f"ratio {ratio:#x}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def mantissas_are_powers_of_two(dut):
    """Within 3e-11 (relative) of 2^-(d a) for all distances of three ratios; the bound of docs/DESIGN_TSD.md."""
    await start(dut)
    for ratio in (log2_ratio_q(0.0588, 1.0), 0x0123_4567_89AB, (1 << 36) + 12345):
        for distance, (mantissa, exponent) in enumerate(await mantissas(dut, ratio, list(range(256)))):
            exact = mpmath.mpf(2) ** (-mpmath.mpf(distance * ratio) / (1 << FRACTION_BITS))
            error = abs(mpmath.ldexp(mantissa, -50 - exponent) / exact - 1)
            assert error < 3.0e-11, f"ratio {ratio:#x}, distance {distance}: error {float(error):.3g}"
