# SPDX-License-Identifier: Apache-2.0
"""FIFO whose writer counts the free places itself."""

from collections.abc import Mapping

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec.errors import check_power_of_two

from .layouts import handshake_signature
from .memories import exclusive_memory


class CreditFifo(wiring.Component):
    """First in, first out, for a writer that holds one credit per free place and therefore never overflows it.

    Without a level and without a full flag it is smaller than a general FIFO. Each field has a memory of its own,
    unless they are block RAM.

    Parameters
    ----------
    fields : mapping of str to int
        Names and widths.
    depth : int
        Places; a power of two. The writer must never have more than `depth` entries inside.
    block_ram : bool
        Whether the output register is that of a block RAM, whose address then depends on `o.ready`, or one behind an
        asynchronous memory, for which `o.ready` is a clock enable.
    pipelined : bool
        Block RAM with its output register, and `o.ready` a clock enable of both its registers; not together with
        `block_ram`.

    Members
    -------
    write_stb : In(1), i : In(fields)
    o : Out(fields, valid, ready)
    Latency      `latency_cycles` from write_stb to o.valid: 2, or 3 if `pipelined`
    Throughput   one entry in and one out per cycle
    Raises       SpecError: depth
    """

    def __init__(
        self, *, fields: Mapping[str, int], depth: int, block_ram: bool = False, pipelined: bool = False
    ) -> None:
        self._depth = check_power_of_two("depth", depth, 2, 1 << 16)
        self._fields = dict(fields)
        self._block_ram = block_ram
        self._pipelined = pipelined
        self.latency_cycles = 2 + pipelined
        super().__init__(
            {
                "write_stb": In(1),
                "i": In(wiring.Signature({name: Out(width) for name, width in self._fields.items()})),
                "o": Out(handshake_signature(self._fields)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # One bit more than an address: equal pointers mean empty.
        written, taken = Signal(range(2 * self._depth)), Signal(range(2 * self._depth))
        with m.If(self.write_stb):
            m.d.sync += written.eq(written + 1)
        if self._block_ram:
            address, loads = self._block_pointers(m, written, taken), []
        else:
            address, loads = self._register_pointers(m, written, taken)
        in_block_ram = self._block_ram or self._pipelined
        for names in [tuple(self._fields)] if self._pipelined else [(name,) for name in self._fields]:
            width = sum(self._fields[name] for name in names)
            memory: Memory = exclusive_memory(shape=unsigned(width), depth=self._depth, block_ram=self._pipelined)
            m.submodules["_".join(names)] = memory
            write = memory.write_port()
            m.d.comb += [
                write.en.eq(self.write_stb),
                write.addr.eq(written),
                write.data.eq(Cat(getattr(self.i, name) for name in names)),
            ]
            read = memory.read_port(domain="sync" if in_block_ram else "comb")
            m.d.comb += read.addr.eq(address)
            value = read.data
            for index, load in enumerate(loads):
                if self._pipelined and index == 0:
                    m.d.comb += read.en.eq(load)
                    continue
                register = Signal(width, name=f"{names[0]}_{index}", reset_less=True)
                with m.If(load):
                    m.d.sync += register.eq(value)
                value = register
            m.d.comb += Cat(getattr(self.o, name) for name in names).eq(value)
        return m

    def _register_pointers(self, m: Module, written: Signal, taken: Signal) -> tuple[Value, list[Signal]]:
        """Read address, and when each output register loads; `taken` counts what has gone to the first of them."""
        loads: list[Signal] = []
        count = 1 + self._pipelined
        valids = [Signal(name=f"valid_{index}") for index in range(count - 1)] + [self.o.valid]
        present = [written != taken, *valids[:-1]]
        for index in reversed(range(count)):
            load = Signal(name=f"load_{index}")
            ahead = self.o.ready if index == count - 1 else loads[0]
            m.d.comb += load.eq(~valids[index] | ahead)
            with m.If(load):
                m.d.sync += valids[index].eq(present[index])
            loads.insert(0, load)
        with m.If(loads[0] & present[0]):
            m.d.sync += taken.eq(taken + 1)
        return taken, loads

    def _block_pointers(self, m: Module, written: Signal, taken: Signal) -> Value:
        """Read address of every cycle; `taken` counts what has left, `following` is taken + 1."""
        following, pop = Signal.like(taken, init=1), Signal()
        m.d.comb += pop.eq(self.o.valid & self.o.ready)
        m.d.sync += self.o.valid.eq(Mux(pop, written != following, written != taken))
        with m.If(pop):
            m.d.sync += [taken.eq(following), following.eq(following + 1)]
        return Mux(pop, following, taken)
