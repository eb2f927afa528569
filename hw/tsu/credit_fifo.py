# SPDX-License-Identifier: Apache-2.0
"""FIFO whose writer counts the free places itself."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import check_power_of_two

from .memories import exclusive_memory


class CreditFifo(wiring.Component):
    """First in, first out, for a writer that holds one credit per free place and therefore never overflows it.

    Without a level and without a full flag it is smaller than a general FIFO, and its memory is read through a
    register (block RAM on every FPGA).

    Parameters
    ----------
    shape : StructLayout
    depth : int
        Places; a power of two. The writer must never have more than `depth` entries inside.

    Members
    -------
    write_stb : In(1), i : In(shape)
    o : Out(stream(shape))
    Latency      2 cycles from write_stb to o.valid
    Throughput   one entry in and one out per cycle
    Raises       SpecError: depth
    """

    LATENCY_CYCLES = 2

    def __init__(self, *, shape: data.StructLayout, depth: int) -> None:
        self._depth = check_power_of_two("depth", depth, 2, 1 << 16)
        self._shape = shape
        super().__init__({"write_stb": In(1), "i": In(shape), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = exclusive_memory(shape=self._shape, depth=self._depth)
        write, read = memory.write_port(), memory.read_port()
        # One bit more than an address: equal pointers mean empty. `following` is taken + 1.
        written, taken = Signal(range(2 * self._depth)), Signal(range(2 * self._depth))
        following, pop = Signal.like(taken, init=1), Signal()
        m.d.comb += [
            pop.eq(self.o.valid & self.o.ready),
            write.en.eq(self.write_stb),
            write.addr.eq(written),
            write.data.eq(self.i),
            read.addr.eq(Mux(pop, following, taken)),
            self.o.payload.eq(read.data),
        ]
        m.d.sync += [
            written.eq(written + self.write_stb),
            self.o.valid.eq(Mux(pop, written != following, written != taken)),
        ]
        with m.If(pop):
            m.d.sync += [taken.eq(following), following.eq(following + 1)]
        return m
