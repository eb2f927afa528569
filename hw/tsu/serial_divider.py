# SPDX-License-Identifier: Apache-2.0
"""Serial restoring divider."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import check_int


class SerialDivider(wiring.Component):
    """Divide first * 2**steps by `divisor`, one quotient bit per step, for first < divisor.

    Used for c = floor(2**U / Z) and for 2**tail_noise_bits mod n: both numerators are powers of two, and the
    leading zeros of the quotient are skipped by the choice of `first`.

    Parameters
    ----------
    width : int
        Width of divisor and remainder.
    quotient_bits : int
        Width of the quotient; higher bits are lost.
    step_cycles : int
        1, or 2: then only one adder or one choice lies between registers (for wide divisors in an FPGA).

    Members
    -------
    start_stb : In(1)       take first and steps, and begin
    divisor : In(width)     stable while busy
    first : In(width)
    steps : In(6)           1 .. 63
    busy : Out(1)
    quotient : Out(quotient_bits), remainder : Out(width)    valid while not busy
    Latency      steps * step_cycles + 1 cycles
    Raises       SpecError: step_cycles
    """

    def __init__(self, *, width: int, quotient_bits: int, step_cycles: int) -> None:
        self._step_cycles = check_int("step_cycles", step_cycles, 1, 2)
        super().__init__(
            {
                "start_stb": In(1),
                "divisor": In(width),
                "first": In(width),
                "steps": In(6),
                "busy": Out(1),
                "quotient": Out(quotient_bits),
                "remainder": Out(width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = len(self.divisor)
        left = Signal.like(self.steps)
        # A step leaves what it found, doubled, and that less the divisor; the sign then says which of them goes on.
        doubled, rest, negative = Signal(width + 1), Signal(width), Signal(init=1)
        bits = Signal(len(self.quotient))
        difference, subtracts = Signal(width + 2), Signal()
        m.d.comb += [
            self.remainder.eq(Mux(negative, doubled, rest)),
            self.quotient.eq(Cat(~negative, bits)),
        ]
        if self._step_cycles == 1:
            chosen = self.remainder
            m.d.comb += subtracts.eq(self.busy)
        else:  # the choice and the subtraction take turns
            chosen = Signal(width)
            m.d.sync += [chosen.eq(self.remainder), subtracts.eq(self.busy & ~subtracts & ~self.start_stb)]
        m.d.comb += difference.eq((chosen << 1) - self.divisor)
        with m.If(self.start_stb):
            m.d.sync += [doubled.eq(self.first), negative.eq(1), bits.eq(0), left.eq(self.steps), self.busy.eq(1)]
        with m.Elif(subtracts):
            m.d.sync += [doubled.eq(chosen << 1), negative.eq(difference[-1]), bits.eq(self.quotient)]
            m.d.sync += [left.eq(left - 1), self.busy.eq(left != 1)]
        with m.If(subtracts):  # what a start finds here does not matter
            m.d.sync += rest.eq(difference)
        return m
