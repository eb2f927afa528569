# SPDX-License-Identifier: Apache-2.0
"""Leaf to token id and weight."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import data_register, leaf_write_signature, result_fields, ticket_layout
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
    Latency      `latency_cycles`
    Throughput   one ticket per cycle
    """

    def __init__(self, *, config: TsuConfig, load_domain: str = "sync") -> None:
        self._config = config
        self._load_domain = load_domain
        self.latency_cycles = 2 if config.pipelined else 1
        super().__init__(
            {
                "i_ticket": In(ticket_layout(config)),
                "i_write": In(leaf_write_signature(config)),
                "o": Out(wiring.Signature({name: Out(width) for name, width in result_fields(config).items()})),
                "o_stb": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, write = self._config, self.i_write
        m.submodules.ids = ids = exclusive_memory(shape=unsigned(config.id_bits), depth=2 * config.k_max)
        m.submodules.weights = weights = exclusive_memory(shape=unsigned(config.weight_bits), depth=2 * config.k_max)
        write_id, write_weight = (memory.write_port(domain=self._load_domain) for memory in (ids, weights))
        m.d.comb += [
            write_id.en.eq(write.id_stb),
            write_id.addr.eq(Cat(write.id_index, write.bank)),
            write_id.data.eq(write.id),
            write_weight.en.eq(write.weight_stb),
            write_weight.addr.eq(Cat(write.weight_index, write.bank)),
            write_weight.data.eq(write.weight),
        ]

        ticket, address = self.i_ticket, Signal(config.depth + 1)
        m.d.comb += address.eq(Cat(self.i_ticket.leaf, self.i_ticket.bank))
        found = []
        for memory in (ids, weights):
            read = memory.read_port()
            m.d.comb += read.addr.eq(address)
            found.append(read.data)
        valid, tail, token = ticket.valid, ticket.tail, (ticket.above - ~ticket.past_last)[: config.id_bits]
        for stage in range(self.latency_cycles):
            following = Signal(name=f"valid_{stage}")
            m.d.sync += following.eq(valid)
            valid = following
            tail = data_register(m, tail, name=f"tail_{stage}")
            token = data_register(m, token, name=f"token_{stage}")
            if stage > 0:  # a block RAM's own output register
                found = [data_register(m, value, name=f"found_{stage}_{i}") for i, value in enumerate(found)]
        id_, weight = found
        m.d.comb += [
            self.o_stb.eq(valid),
            self.o.tail.eq(tail),
            self.o.token.eq(Mux(tail, token, id_)),
            self.o.weight.eq(weight),
        ]
        return m
