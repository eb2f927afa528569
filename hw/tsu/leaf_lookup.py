# SPDX-License-Identifier: Apache-2.0
"""Leaf to token id and weight."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import data_register, leaf_write_signature, of_block, result_fields, slot_write_signature, ticket_layout
from .memories import exclusive_memory


class LeafLookup(wiring.Component):
    """Look up id and weight of a head draw's leaf; make a tail draw's token.

    Parameters
    ----------
    config : TsuConfig
    load_domain : str
        Clock domain of `i_write`; see `TsuCore`.

    Members
    -------
    i_ticket : In(ticket_layout)
    i_write : In(leaf_write)
    o : Out(token, weight, tail), o_stb : Out(1)      weight is meaningless where `tail` is set
    i_slot_write : In(slot_write)        with contexts
    o_bank, o_retry : Out                with contexts: of the ticket that `o` belongs to. `o` has `spread` then too,
                                         and in blocks the weight of the tail; `stream` and `ends` the lane adds
    Latency      `latency_cycles`
    Throughput   one ticket per cycle
    """

    def __init__(self, *, config: TsuConfig, load_domain: str = "sync") -> None:
        self._config = config
        self._load_domain = load_domain
        self.latency_cycles = 2 if config.pipelined else 1
        fields = {name: Out(width) for name, width in result_fields(config).items() if name not in ("stream", "ends")}
        ports = {
            "i_ticket": In(ticket_layout(config)),
            "i_write": In(leaf_write_signature(config)),
            "o": Out(wiring.Signature(fields)),
            "o_stb": Out(1),
        }
        if config.contexts:
            ports |= {
                "i_slot_write": In(slot_write_signature(config)),
                "o_bank": Out(config.bank_bits),
                "o_retry": Out(1),
            }
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, write = self._config, self.i_write
        depth = config.banks * config.k_max
        m.submodules.ids = ids = exclusive_memory(shape=unsigned(config.id_bits), depth=depth)
        m.submodules.weights = weights = exclusive_memory(shape=unsigned(config.weight_bits), depth=depth)
        write_id, write_weight = (memory.write_port(domain=self._load_domain) for memory in (ids, weights))
        m.d.comb += [
            write_id.en.eq(write.id_stb),
            write_id.addr.eq(Cat(write.id_index, write.bank)),
            write_id.data.eq(write.id),
            write_weight.en.eq(write.weight_stb),
            write_weight.addr.eq(Cat(write.weight_index, write.bank)),
            write_weight.data.eq(write.weight),
        ]

        ticket, address = self.i_ticket, Signal(config.depth + config.bank_bits)
        m.d.comb += address.eq(Cat(self.i_ticket.leaf, self.i_ticket.bank))
        found = []
        for memory in (ids, weights):
            read = memory.read_port()
            m.d.comb += read.addr.eq(address)
            found.append(read.data)
        if config.contexts:
            found += self._slot_reads(m)
        valid, tail, token = ticket.valid, ticket.tail, (ticket.above - ~ticket.past_last)[: config.id_bits]
        for stage in range(self.latency_cycles):
            following = Signal(name=f"valid_{stage}")
            m.d.sync += following.eq(valid)
            valid = following
            tail = data_register(m, tail, name=f"tail_{stage}")
            token = data_register(m, token, name=f"token_{stage}")
            if stage > 0:  # a block RAM's own output register
                found = [data_register(m, value, name=f"found_{stage}_{i}") for i, value in enumerate(found)]
        id_, weight, *of_slot = found
        m.d.comb += [
            self.o_stb.eq(valid),
            self.o.tail.eq(tail),
            self.o.token.eq(Mux(tail, token, id_)),
            self.o.weight.eq(self._of_slot(m, weight, *of_slot) if of_slot else weight),
        ]
        return m

    def _slot_reads(self, m: Module) -> list[Signal]:
        """Tail weight and spread of the slot, one cycle behind the ticket."""
        found = []
        for name in ("tail_weight", "spread"):
            given = getattr(self.i_slot_write, name)
            memory: Memory = exclusive_memory(shape=given.shape(), depth=self._config.contexts)
            m.submodules[f"slot_{name}"] = memory
            write, read = memory.write_port(domain=self._load_domain), memory.read_port()
            m.d.comb += [
                write.en.eq(self.i_slot_write.stb),
                write.addr.eq(self.i_slot_write.slot),
                write.data.eq(given),
                read.addr.eq(self.i_ticket.bank[: self._config.context_bits]),
            ]
            found.append(read.data)
        return found

    def _of_slot(self, m: Module, weight: Signal, tail_weight: Signal, spread: Signal) -> Value:
        """What only a draw of a block needs. Returns its weight."""
        bank, retry = self.i_ticket.bank, self.i_ticket.retry
        for stage in range(self.latency_cycles):
            bank = data_register(m, bank, name=f"bank_{stage}")
            following = Signal(name=f"retry_{stage}")
            m.d.sync += following.eq(retry)
            retry = following
        m.d.comb += [
            self.o_bank.eq(bank),
            self.o_retry.eq(retry),
            self.o.spread.eq(Mux(self.o.tail, spread, 1)),
        ]
        return Mux(self.o.tail & of_block(self._config, bank), tail_weight, weight)
