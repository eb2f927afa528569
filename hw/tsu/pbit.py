# SPDX-License-Identifier: Apache-2.0
"""The p-bit."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class PBit(wiring.Component):
    """One probabilistic bit: a comparator of a noise word against a threshold.

    `fires` is 1 with probability (2**width - 1 - threshold) / 2**width when `value` is a uniform integer.

    Written with `<`: that is one carry chain. To `>`, Yosys adds a tree of LUTs that looks for equality, costs as much
    again and comes later than the chain. The other wide comparisons of the TSU follow suit.

    Parameters
    ----------
    width : int
        Width of noise word and threshold.
    latency_cycles : int
        0: combinational. 1: both halves of the words are compared by themselves and registered; `fires` is one LUT away
        from these registers.

    Members
    -------
    value : In(width)        noise word
    threshold : In(width)    largest value that does not fire
    fires : Out(1)           value > threshold
    """

    def __init__(self, *, width: int, latency_cycles: int = 0) -> None:
        self._latency_cycles = latency_cycles
        super().__init__({"value": In(width), "threshold": In(width), "fires": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._latency_cycles == 0:
            m.d.comb += self.fires.eq(self.threshold < self.value)
            return m
        half = len(self.value) // 2
        value_low, value_high = self.value[:half], self.value[half:]
        threshold_low, threshold_high = self.threshold[:half], self.threshold[half:]
        # The carry out of a chain that compares a < b says a >= b: registered as it is, without a LUT behind the chain.
        low_not_above, not_above, below = (Signal(reset_less=True) for _ in range(3))
        m.d.sync += [
            low_not_above.eq(~(threshold_low < value_low)),
            not_above.eq(~(threshold_high < value_high)),
            # t <= v as 2 t < 2 v + 1: other operands, or Yosys would share the chain and look for equality after all.
            below.eq(~(Cat(C(0, 1), threshold_high) < Cat(C(1, 1), value_high))),
        ]
        m.d.comb += self.fires.eq(Mux(low_not_above, ~not_above, ~below))
        return m
