# SPDX-License-Identifier: Apache-2.0
"""A stream stage whose input does not feel the output's stall in the same cycle."""

from collections.abc import Mapping

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .layouts import handshake_signature


class SkidBuffer(wiring.Component):
    """Pass entries through; keep the one that comes in the cycle in which the output stalls.

    `i.ready` is a register, so that a long way from `o.ready` to the enables of what feeds the buffer is cut in two.

    Parameters
    ----------
    fields : mapping of str to int
        Names and widths.

    Members
    -------
    i : In(fields, valid, ready)
    o : Out(fields, valid, ready)
    Latency      combinational from i to o
    Throughput   one entry per cycle
    """

    def __init__(self, *, fields: Mapping[str, int]) -> None:
        self._fields = dict(fields)
        super().__init__({"i": In(handshake_signature(self._fields)), "o": Out(handshake_signature(self._fields))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        kept = Signal()
        m.d.comb += [self.i.ready.eq(~kept), self.o.valid.eq(self.i.valid | kept)]
        m.d.sync += kept.eq(self.o.valid & ~self.o.ready)
        for name, width in self._fields.items():
            value = Signal(width, name=f"kept_{name}", reset_less=True)
            arriving = getattr(self.i, name)
            with m.If(~kept):
                m.d.sync += value.eq(arriving)
            m.d.comb += getattr(self.o, name).eq(Mux(kept, value, arriving))
        return m
