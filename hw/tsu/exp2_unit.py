# SPDX-License-Identifier: Apache-2.0
"""On-chip 2**-x for the weight engine."""

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec import exp2

from .layouts import DISTANCE_BITS
from .multiplier import PipelinedMultiplier


class Exp2Unit(wiring.Component):
    """Mantissa and exponent of 2**-(d a): a piecewise quadratic on 512 segments.

    Parameters
    ----------
    stages : int
        Registers per multiplication, 1 or 3 (see `PipelinedMultiplier`).

    Members
    -------
    distance : In(8)      code distance d
    ratio : In(50)        a = scale / (tau ln 2), UQ6.44, stable
    mantissa : Out(51)    UQ1.50, in (1/2, 1]
    exponent : Out(14)    integer part of d a, one cycle before the mantissa
    Latency      `latency_cycles`
    Throughput   one distance per cycle
    Golden       hw.spec.exp2.exp2_mantissa (same integers), mpmath (4e-11)
    """

    def __init__(self, *, stages: int) -> None:
        def multiplier(a_bits: int, b_bits: int) -> PipelinedMultiplier:
            return PipelinedMultiplier(a_bits=a_bits, b_bits=b_bits, stages=stages)

        self._scale = multiplier(exp2.RATIO_BITS, DISTANCE_BITS)
        self._bend = multiplier(exp2.CURVE_BITS, exp2.CURVE_OFFSET_BITS)
        self._drop = multiplier(exp2.SLOPE_FRACTION_BITS, exp2.OFFSET_BITS)
        # Registers beside the three: coefficient memories and behind them, slope, mantissa.
        self.latency_cycles = sum(unit.latency_cycles for unit in (self._scale, self._bend, self._drop)) + 4
        self.exponent_bits = DISTANCE_BITS + exp2.RATIO_BITS - exp2.RATIO_FRACTION_BITS
        super().__init__(
            {
                "distance": In(DISTANCE_BITS),
                "ratio": In(exp2.RATIO_BITS),
                "mantissa": Out(exp2.MANTISSA_BITS),
                "exponent": Out(self.exponent_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.scale, m.submodules.bend, m.submodules.drop = self._scale, self._bend, self._drop

        def multiply(unit: PipelinedMultiplier, a: object, b: object) -> Signal:
            m.d.comb += [unit.a.eq(a), unit.b.eq(b)]
            return unit.product

        def delay(value: object, cycles: int, name: str) -> object:
            for index in range(cycles):
                register = Signal(len(value), name=f"{name}_{index}", reset_less=True)
                m.d.sync += register.eq(value)
                value = register
            return value

        x = multiply(self._scale, self.ratio, self.distance)
        fraction = x[: exp2.RATIO_FRACTION_BITS]
        segment = fraction[-exp2.SEGMENT_BITS :]
        y = fraction[-exp2.SEGMENT_BITS - exp2.OFFSET_BITS : -exp2.SEGMENT_BITS]

        read = []
        for name, table, width in (
            ("c0", exp2.C0, exp2.MANTISSA_BITS),
            ("c1", exp2.C1, exp2.SLOPE_FRACTION_BITS),
            ("c2", exp2.C2, exp2.CURVE_BITS),
        ):
            m.submodules[name] = memory = Memory(shape=unsigned(width), depth=len(table), init=table)
            port = memory.read_port()
            m.d.comb += port.addr.eq(segment)
            read.append(delay(port.data, 1, f"{name}_read"))  # a block RAM's output takes most of a cycle
        c0, c1, c2 = read
        y_read = delay(y, 2, "y")

        to_slope, to_mantissa = self._bend.latency_cycles, self._bend.latency_cycles + 1 + self._drop.latency_cycles
        bend = multiply(self._bend, c2, y_read[-exp2.CURVE_OFFSET_BITS :])
        slope = Signal(exp2.SLOPE_FRACTION_BITS)
        m.d.sync += slope.eq(delay(c1, to_slope, "c1") - (bend >> exp2.CURVE_SHIFT))
        drop = multiply(self._drop, slope, delay(y_read, to_slope + 1, "y_slope"))
        m.d.sync += self.mantissa.eq(delay(c0, to_mantissa, "c0") - (drop >> exp2.SLOPE_SHIFT))
        m.d.comb += self.exponent.eq(delay(x[exp2.RATIO_FRACTION_BITS :], to_mantissa + 2, "exponent"))
        return m
