# SPDX-License-Identifier: Apache-2.0
"""Pipelined multiplier made of 18-bit limbs, one hardware multiplier each."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import SpecError

from .layouts import data_register
from .multiplier18 import WIDTH as LIMB_BITS
from .multiplier18 import Multiplier18


class PipelinedMultiplier(wiring.Component):
    """Unsigned product of two operands.

    Parameters
    ----------
    a_bits, b_bits : int
        Operand widths. `b` should be the narrower one.
    stages : int
        1: one register behind the product (fastest to simulate). 5: hardware multipliers with the registers inside
        them, one register behind each, and the sum for each limb of `b` registered; one stage more adds these sums up
        where `b` has several limbs (fastest in an FPGA).

    Members
    -------
    a : In(a_bits)    b : In(b_bits)    product : Out(a_bits + b_bits)
    Latency      `latency_cycles`
    Throughput   one product per cycle
    Raises       SpecError: stages
    """

    def __init__(self, *, a_bits: int, b_bits: int, stages: int) -> None:
        if stages not in (1, 5):
            raise SpecError("stages", stages, "1 or 5")
        self._stages = stages
        self.latency_cycles = stages + (stages > 1 and b_bits > LIMB_BITS)
        super().__init__({"a": In(a_bits), "b": In(b_bits), "product": Out(a_bits + b_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._stages == 1:
            m.d.comb += self.product.eq(data_register(m, self.a * self.b, name="product_register"))
            return m
        rows = [self._row(m, low) for low in range(0, len(self.b), LIMB_BITS)]
        if len(rows) == 1:
            m.d.comb += self.product.eq(rows[0])
        else:
            total = sum((row << (LIMB_BITS * i) for i, row in enumerate(rows[1:], 1)), rows[0])[: len(self.product)]
            m.d.comb += self.product.eq(data_register(m, total, name="product_register"))
        return m

    def _row(self, m: Module, low: int) -> Signal:
        """a times one limb of b, registered. Products of every other limb of `a` do not overlap: one adder."""
        limb_b = self.b[low : low + LIMB_BITS]
        halves: list[list[Signal]] = [[], []]
        for index, a_low in enumerate(range(0, len(self.a), LIMB_BITS)):
            m.submodules[f"limb_{a_low}_{low}"] = unit = Multiplier18()
            m.d.comb += [unit.a.eq(self.a[a_low : a_low + LIMB_BITS]), unit.b.eq(limb_b)]
            halves[index % 2].append(data_register(m, unit.product, name=f"limb_{a_low}_{low}_away"))
        row = (Cat(halves[0]) + (Cat(halves[1]) << LIMB_BITS))[: len(self.a) + len(limb_b)]
        return data_register(m, row, name=f"row_{low}")
