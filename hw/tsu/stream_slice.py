# SPDX-License-Identifier: Apache-2.0
"""A stream cut by registers in both directions."""

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out


class StreamSlice(wiring.Component):
    """Copy a stream so that no path leads from `i` to `o` or back within a cycle.

    Two places are filled in turn and emptied in turn. Their enables depend on `i` only, and on `o` only which of them
    is offered: where the two sides are far from each other, neither waits for the other's logic. An offer, once made,
    stays until it is taken.

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
        full, writes_second, reads_second = Signal(), Signal(), Signal()
        takes, gives = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(~full),
            takes.eq(self.i.valid & self.i.ready),
            gives.eq(self.o.valid & self.o.ready),
        ]
        m.d.sync += [
            self.o.valid.eq(takes | full | (self.o.valid & ~gives)),
            full.eq(self.o.valid & (takes | full) & ~gives),
            writes_second.eq(writes_second ^ takes),
            reads_second.eq(reads_second ^ gives),
        ]
        places = []
        for index, written in enumerate((~writes_second, writes_second)):
            place = Signal.like(self.i.payload, name=f"place_{index}", reset_less=True)
            with m.If(takes & written):
                m.d.sync += place.eq(self.i.payload)
            places.append(place)
        m.d.comb += self.o.payload.eq(Mux(reads_second, places[1], places[0]))
        return m
