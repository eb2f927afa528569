# SPDX-License-Identifier: Apache-2.0
"""Pipelined multiplier on the RTL against Python's product, at the widths that the TSU uses."""

import itertools
import random
from functools import partial
from pathlib import Path

import cocotb
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig
from hw.tsu.multiplier import PipelinedMultiplier
from sim.bench_file import load_module
from sim.bfm import start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

WIDTHS = ((56, 18), (32, 20), (18, 18), (36, 27), (50, 8), (1, 1), (19, 37), (37, 19))
"""Thresholds, tail index, both products of exp2, ratio times distance, and odd ones."""


class Multipliers(wiring.Component):
    """One multiplier for each pair of widths."""

    def __init__(self, *, stages: int) -> None:
        self._stages = stages
        ports = {}
        for a_bits, b_bits in WIDTHS:
            name = f"{a_bits}x{b_bits}"
            ports |= {f"a_{name}": In(a_bits), f"b_{name}": In(b_bits), f"product_{name}": Out(a_bits + b_bits)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        for a_bits, b_bits in WIDTHS:
            name = f"{a_bits}x{b_bits}"
            unit = PipelinedMultiplier(a_bits=a_bits, b_bits=b_bits, stages=self._stages)
            m.submodules[name] = unit
            m.d.comb += [
                unit.a.eq(getattr(self, f"a_{name}")),
                unit.b.eq(getattr(self, f"b_{name}")),
                getattr(self, f"product_{name}").eq(unit.product),
            ]
        return m


STAGES = {f"levels-{stages}": TsuConfig(level_stages=stages).multiply_stages for stages in (1, 3)}
"""Registers of a multiplication in a TSU for simulation and in one for an FPGA."""

TOPLEVELS = {name: partial(Multipliers, stages=stages) for name, stages in STAGES.items()}


def operands(bits: int) -> list[int]:
    """0, 1, all ones, every power of two and its neighbours."""
    edges = {0, 1, (1 << bits) - 1}
    for i in range(bits):
        edges |= {1 << i, (1 << i) - 1, (1 << bits) - 1 - (1 << i)}
    return sorted(edges)


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(widths=[f"w{a_bits}x{b_bits}" for a_bits, b_bits in WIDTHS])
async def products_of_edges_and_of_random_operands(dut, widths):
    """Every pair of edge operands up to 6000 of them, then 500 random pairs, one product a cycle."""
    a_bits, b_bits = map(int, widths[1:].split("x"))
    a, b, product = (getattr(dut, f"{port}_{a_bits}x{b_bits}") for port in ("a", "b", "product"))
    rng = random.Random(1)
    pairs = list(itertools.product(operands(a_bits), operands(b_bits)))
    pairs = [*rng.sample(pairs, min(len(pairs), 6000)), ((1 << a_bits) - 1, (1 << b_bits) - 1)]
    pairs += [(rng.getrandbits(a_bits), rng.getrandbits(b_bits)) for _ in range(500)]

    def drive(pair):
        a.value, b.value = pair

    await start(dut)
    stages = STAGES[_SUPPORT.base_variant()]
    latency = PipelinedMultiplier(a_bits=a_bits, b_bits=b_bits, stages=stages).latency_cycles
    found = await _SUPPORT.through_pipeline(dut, pairs, drive=drive, sample=lambda: int(product.value), latency=latency)
    _SUPPORT.check(found, [x * y for x, y in pairs], f"{a_bits} x {b_bits}")
