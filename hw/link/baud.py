# SPDX-License-Identifier: Apache-2.0
"""Bit times of a UART from the system clock."""

from dataclasses import dataclass
from fractions import Fraction

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import SpecError, check_int

BAUD_MAX = 12_000_000
"""Fastest rate of the link, bit/s."""

CYCLES_PER_BIT_MIN = 4
"""Fewest clock cycles of a bit: the receiver needs to find the middle of it."""

FRACTION_BITS_MAX = 4
"""Most fraction bits of a bit time."""

ERROR_MAX = Fraction(1, 200)
"""Largest deviation of the bit time: a tenth of a bit over the ten bits of a byte leaves room for the other end."""


@dataclass(frozen=True, kw_only=True)
class BitTime:
    """Clock cycles of a bit, with as few fraction bits as the rate allows.

    Parameters
    ----------
    clk_hz, baud : int
        Clock and line rate.

    Raises
    ------
    SpecError
        A bit has fewer than 4 cycles, or its time errs by more than 0.5 % with every choice.
    """

    clk_hz: int
    baud: int

    def __post_init__(self) -> None:
        check_int("baud", self.baud, 1, BAUD_MAX)
        check_int("clk_hz", self.clk_hz, CYCLES_PER_BIT_MIN * self.baud, 1_000_000_000)
        if self._error(FRACTION_BITS_MAX) > ERROR_MAX:
            raise SpecError("baud", self.baud, f"a rate whose bits last whole sixteenths of cycles of {self.clk_hz} Hz")

    def _units(self, fraction_bits: int) -> int:
        """Bit time in units of 2**-fraction_bits cycles, rounded."""
        return round(Fraction(self.clk_hz << fraction_bits, self.baud))

    def _error(self, fraction_bits: int) -> Fraction:
        return abs(Fraction(self._units(fraction_bits) * self.baud, self.clk_hz << fraction_bits) - 1)

    @property
    def fraction_bits(self) -> int:
        """Fraction bits of the bit time: the fewest that meet `ERROR_MAX`."""
        return next(bits for bits in range(FRACTION_BITS_MAX + 1) if self._error(bits) <= ERROR_MAX)

    @property
    def cycles(self) -> int:
        """Whole cycles of a bit; `fraction` / 2**fraction_bits more on average."""
        return self._units(self.fraction_bits) >> self.fraction_bits

    @property
    def fraction(self) -> int:
        """The rest of the bit time, in units of 2**-fraction_bits cycles."""
        return self._units(self.fraction_bits) - (self.cycles << self.fraction_bits)


class BitTimer(wiring.Component):
    """Ticks once a bit while `run` is high.

    Parameters
    ----------
    bit_time : BitTime
    first_cycles : int
        Cycles from the one in which `run` rises to the first tick, that one not counted.

    Members
    -------
    run : In(1)
    tick : Out(1)
    """

    run: In(1)
    tick: Out(1)

    def __init__(self, *, bit_time: BitTime, first_cycles: int) -> None:
        super().__init__()
        self._bit_time = bit_time
        self._first = check_int("first_cycles", first_cycles, 1, bit_time.cycles)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._bit_time
        left = Signal(range(bits.cycles + 1), init=self._first - 1)
        longer: Signal | Const = Const(0, 1)
        if bits.fraction:
            phase, total = Signal(bits.fraction_bits), Signal(bits.fraction_bits + 1)
            longer = total[-1]
            m.d.comb += total.eq(phase + bits.fraction)
            with m.If(~self.run):
                m.d.sync += phase.eq(0)
            with m.Elif(self.tick):
                m.d.sync += phase.eq(total)
        m.d.comb += self.tick.eq(self.run & (left == 0))
        with m.If(~self.run):
            m.d.sync += left.eq(self._first - 1)
        with m.Elif(left == 0):
            m.d.sync += left.eq(Mux(longer, bits.cycles, bits.cycles - 1))
        with m.Else():
            m.d.sync += left.eq(left - 1)
        return m


__all__ = ["BAUD_MAX", "CYCLES_PER_BIT_MIN", "BitTime", "BitTimer"]
