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
        left = Signal.like(self.steps)
        difference, decides, fits = Signal(len(self.divisor) + 2), Signal(), Signal()
        subtraction = (self.remainder << 1) - self.divisor
        if self._step_cycles == 1:
            m.d.comb += [difference.eq(subtraction), decides.eq(self.busy)]
        else:  # the subtraction and the choice take turns
            m.d.sync += [difference.eq(subtraction), decides.eq(self.busy & ~decides & ~self.start_stb)]
        m.d.comb += fits.eq(~difference[-1])
        with m.If(self.start_stb):
            m.d.sync += [
                self.remainder.eq(self.first),
                self.quotient.eq(0),
                left.eq(self.steps),
                self.busy.eq(1),
            ]
        with m.Elif(decides):
            m.d.sync += [
                self.remainder.eq(Mux(fits, difference, self.remainder << 1)),
                self.quotient.eq(Cat(fits, self.quotient)),
                left.eq(left - 1),
                self.busy.eq(left != 1),
            ]
        return m
