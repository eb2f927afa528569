# SPDX-License-Identifier: Apache-2.0
"""The p-bit."""

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class PBit(wiring.Component):
    """One probabilistic bit: a comparator of a noise word against a threshold.

    `fires` is 1 with probability (2**width - 1 - threshold) / 2**width when `value` is a uniform integer.

    Parameters
    ----------
    width : int
        Width of noise word and threshold.

    Members
    -------
    value : In(width)        noise word
    threshold : In(width)    largest value that does not fire
    fires : Out(1)           value > threshold
    Latency      combinational
    """

    def __init__(self, *, width: int) -> None:
        super().__init__({"value": In(width), "threshold": In(width), "fires": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.fires.eq(self.value > self.threshold)
        return m
