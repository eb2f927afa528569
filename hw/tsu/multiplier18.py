# SPDX-License-Identifier: Apache-2.0
"""One hardware multiplier with the registers inside it."""

from amaranth.hdl import ClockSignal, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

WIDTH = 18
"""Operand width of an ECP5 MULT18X18D (an iCE40 SB_MAC16 takes 16 bits)."""

REGISTER_PARAMETERS = {f"p_REG_{name}_CLK": "CLK0" for name in ("INPUTA", "INPUTB", "PIPELINE", "OUTPUT")}
"""Registers of the MULT18X18D in use: operands, pipeline, product."""


class Multiplier18(wiring.Component):
    """18 x 18 bits, unsigned, with registers at the operands, inside and at the product.

    On ECP5 these are the registers of the multiplier block, which synthesis does not find by itself: outside of
    it, the wires to the block take most of a cycle. Elsewhere they are ordinary registers; the function is the same.

    Members
    -------
    a, b : In(18), product : Out(36)
    Latency      LATENCY_CYCLES
    Throughput   one product per cycle
    Reset        none: what is inside comes out
    Source       Lattice FPGA-TN-02205, ECP5 sysDSP usage guide (ports and parameters of MULT18X18D)
    """

    LATENCY_CYCLES = 3

    def __init__(self) -> None:
        super().__init__({"a": In(WIDTH), "b": In(WIDTH), "product": Out(2 * WIDTH)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if getattr(platform, "family", None) == "ecp5":
            ports = {f"i_A{i}": bit for i, bit in enumerate(self.a)} | {f"i_B{i}": bit for i, bit in enumerate(self.b)}
            ports |= {f"i_{name}": 0 for name in ("SIGNEDA", "SIGNEDB", "SOURCEA", "SOURCEB", "RST0")}
            ports |= {"i_CLK0": ClockSignal(), "i_CE0": 1}
            ports |= {f"o_P{i}": bit for i, bit in enumerate(self.product)}
            m.submodules.block = Instance("MULT18X18D", **REGISTER_PARAMETERS, **ports)
            return m
        a, b = Signal(WIDTH, reset_less=True), Signal(WIDTH, reset_less=True)
        inside = Signal(2 * WIDTH, reset_less=True)
        product = Signal(2 * WIDTH, reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), inside.eq(a * b), product.eq(inside)]
        m.d.comb += self.product.eq(product)
        return m
