# SPDX-License-Identifier: Apache-2.0
"""Pipelined multiplier made of 18-bit limbs, one hardware multiplier each."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

LIMB_BITS = 18
"""Operand width of one hardware multiplier (ECP5 MULT18X18D; the iCE40 SB_MAC16 takes 16)."""


class PipelinedMultiplier(wiring.Component):
    """Unsigned product of two operands.

    Parameters
    ----------
    a_bits, b_bits : int
        Operand widths. `b` should be the narrower one.
    stages : int
        1: one register behind the product (fastest to simulate). 3: operands, limb products and the sums of each limb
        of `b` are registered, and one stage more adds them up where `b` has several limbs. 5: one register more on
        both sides of the hardware multipliers, so that the wires to and from them have cycles of their own.

    Members
    -------
    a : In(a_bits)    b : In(b_bits)    product : Out(a_bits + b_bits)
    Latency      `latency_cycles`
    Throughput   one product per cycle
    Raises       ValueError: stages
    """

    def __init__(self, *, a_bits: int, b_bits: int, stages: int) -> None:
        if stages not in (1, 3, 5):
            raise ValueError(f"stages = {stages} is not legal: expected 1, 3 or 5")
        self._stages = stages
        self.latency_cycles = stages + (stages > 1 and b_bits > LIMB_BITS)
        super().__init__({"a": In(a_bits), "b": In(b_bits), "product": Out(a_bits + b_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._stages == 1:
            m.d.sync += self.product.eq(self.a * self.b)
            return m
        a, b = self.a, self.b
        for _ in range(1 if self._stages == 3 else 2):
            operands = Signal.like(a, name="a_register"), Signal.like(b, name="b_register")
            m.d.sync += [operands[0].eq(a), operands[1].eq(b)]
            a, b = operands
        rows = [self._row(m, a, b, low) for low in range(0, len(b), LIMB_BITS)]
        if len(rows) == 1:
            m.d.comb += self.product.eq(rows[0])
        else:
            m.d.sync += self.product.eq(sum((row << (LIMB_BITS * i) for i, row in enumerate(rows[1:], 1)), rows[0]))
        return m

    def _row(self, m: Module, a: Signal, b: Signal, low: int) -> Signal:
        """a times one limb of b, registered. Products of every other limb of `a` do not overlap: one adder sums them."""
        limb_b = b[low : low + LIMB_BITS]
        halves: list[list[Signal]] = [[], []]
        for index, a_low in enumerate(range(0, len(a), LIMB_BITS)):
            limb = Signal(2 * LIMB_BITS, name=f"limb_{a_low}_{low}")
            m.d.sync += limb.eq(a[a_low : a_low + LIMB_BITS] * limb_b)
            if self._stages == 5:
                away = Signal.like(limb, name=f"limb_{a_low}_{low}_away")
                m.d.sync += away.eq(limb)
                limb = away
            halves[index % 2].append(limb)
        row = Signal(len(a) + len(limb_b), name=f"row_{low}")
        m.d.sync += row.eq(Cat(halves[0]) + (Cat(halves[1]) << LIMB_BITS))
        return row
