# SPDX-License-Identifier: Apache-2.0
"""Pipelined multiplier made of 18-bit limbs, one hardware multiplier each."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

LIMB_BITS = 18
"""Operand width of one hardware multiplier (ECP5 MULT18X18D; the iCE40 SB_MAC16 takes 16)."""


class PipelinedMultiplier(wiring.Component):
    """Unsigned product of two operands.

    Parameters
    ----------
    a_bits, b_bits : int
        Operand widths.
    stages : int
        1: one register behind the product (fastest to simulate). 3: operands, limb products and their
        sum are registered (fastest in an FPGA).

    Members
    -------
    a : In(a_bits)    b : In(b_bits)    product : Out(a_bits + b_bits)
    Latency      `stages`
    Throughput   one product per cycle
    """

    def __init__(self, *, a_bits: int, b_bits: int, stages: int) -> None:
        if stages not in (1, 3):
            raise ValueError(f"stages = {stages} is not legal: expected 1 or 3")
        self._stages = stages
        super().__init__({"a": In(a_bits), "b": In(b_bits), "product": Out(a_bits + b_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._stages == 1:
            m.d.sync += self.product.eq(self.a * self.b)
            return m
        a, b = Signal.like(self.a), Signal.like(self.b)
        m.d.sync += [a.eq(self.a), b.eq(self.b)]
        terms = []
        for a_low in range(0, len(a), LIMB_BITS):
            for b_low in range(0, len(b), LIMB_BITS):
                limb_a, limb_b = a[a_low : a_low + LIMB_BITS], b[b_low : b_low + LIMB_BITS]
                limb_product = Signal(len(limb_a) + len(limb_b), name=f"limb_{a_low}_{b_low}")
                m.d.sync += limb_product.eq(limb_a * limb_b)
                terms.append(limb_product << (a_low + b_low))
        while len(terms) > 1:
            terms = [sum(terms[i + 1 : i + 2], terms[i]) for i in range(0, len(terms), 2)]
        m.d.sync += self.product.eq(terms[0])
        return m
