# SPDX-License-Identifier: Apache-2.0
"""FIFO whose writer counts the free places itself."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec.errors import check_power_of_two

from .memories import exclusive_memory


class CreditFifo(wiring.Component):
    """First in, first out, for a writer that holds one credit per free place and therefore never overflows it.

    Without a level and without a full flag it is smaller than a general FIFO.

    Parameters
    ----------
    shape : StructLayout
    depth : int
        Places; a power of two. The writer must never have more than `depth` entries inside.
    block_ram : bool
        Whether the output register is that of a block RAM, whose address then depends on `o.ready`, or one behind an
        asynchronous memory, for which `o.ready` is a clock enable.

    Members
    -------
    write_stb : In(1), i : In(shape)
    o : Out(stream(shape))
    Latency      2 cycles from write_stb to o.valid
    Throughput   one entry in and one out per cycle
    Raises       SpecError: depth
    """

    LATENCY_CYCLES = 2

    def __init__(self, *, shape: data.StructLayout, depth: int, block_ram: bool = False) -> None:
        self._depth = check_power_of_two("depth", depth, 2, 1 << 16)
        self._shape = shape
        self._block_ram = block_ram
        super().__init__({"write_stb": In(1), "i": In(shape), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.memory = memory = exclusive_memory(shape=self._shape, depth=self._depth)
        write = memory.write_port()
        # One bit more than an address: equal pointers mean empty.
        written, taken = Signal(range(2 * self._depth)), Signal(range(2 * self._depth))
        m.d.comb += [write.en.eq(self.write_stb), write.addr.eq(written), write.data.eq(self.i)]
        m.d.sync += written.eq(written + self.write_stb)
        if self._block_ram:
            self._read_block(m, memory, written, taken)
        else:
            self._read_asynchronously(m, memory, written, taken)
        return m

    def _read_asynchronously(self, m: Module, memory: Memory, written: Signal, taken: Signal) -> None:
        """`taken` counts what has gone to the output register."""
        read = memory.read_port(domain="comb")
        load = (written != taken) & (~self.o.valid | self.o.ready)
        m.d.comb += read.addr.eq(taken)
        m.d.sync += [
            self.o.valid.eq((written != taken) | (self.o.valid & ~self.o.ready)),
            taken.eq(taken + load),
        ]
        with m.If(load):
            m.d.sync += self.o.payload.eq(read.data)

    def _read_block(self, m: Module, memory: Memory, written: Signal, taken: Signal) -> None:
        """`taken` counts what has left; `following` is taken + 1."""
        read = memory.read_port()
        following, pop = Signal.like(taken, init=1), Signal()
        m.d.comb += [
            pop.eq(self.o.valid & self.o.ready),
            read.addr.eq(Mux(pop, following, taken)),
            self.o.payload.eq(read.data),
        ]
        m.d.sync += self.o.valid.eq(Mux(pop, written != following, written != taken))
        with m.If(pop):
            m.d.sync += [taken.eq(following), following.eq(following + 1)]
