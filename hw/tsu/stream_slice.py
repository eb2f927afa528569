# SPDX-License-Identifier: Apache-2.0
"""A stream cut by registers in both directions."""

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamSlice(wiring.Component):
    """Copy a stream so that no path leads from `i` to `o` or back within a cycle.

    An offer, once made, stays until it is taken.

    Parameters
    ----------
    shape : ShapeLike
        Payload of both streams.

    Members
    -------
    i : In(stream), o : Out(stream)
    Latency      1 cycle
    Throughput   one transfer per cycle
    Reset        empty
    """

    def __init__(self, *, shape: ShapeLike) -> None:
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # `held` takes the word that arrives in the cycle in which `o` begins to stall.
        held, full = Signal.like(self.i.payload), Signal()
        m.d.comb += self.i.ready.eq(~full)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid | full),
                self.o.payload.eq(Mux(full, held, self.i.payload)),
                full.eq(0),
            ]
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [held.eq(self.i.payload), full.eq(1)]
        return m
