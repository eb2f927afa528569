# SPDX-License-Identifier: Apache-2.0
"""Leaf to token id and weight."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import leaf_write_signature, result_signature, ticket_layout
from .memories import exclusive_memory


class LeafLookup(wiring.Component):
    """Look up id and weight of a head draw's leaf; let a tail draw's token pass.

    Parameters
    ----------
    config : TsuConfig
    load_domain : str
        Clock domain of `i_write`; see `TsuCore`.

    Members
    -------
    i_ticket : In(stream(ticket))
    i_write : In(leaf_write)
    o_result : Out(result)      weight is meaningless where `tail` is set
    Latency      `latency_cycles`
    Throughput   one ticket per cycle
    """

    def __init__(self, *, config: TsuConfig, load_domain: str = "sync") -> None:
        self._config = config
        self._load_domain = load_domain
        self.latency_cycles = 2 if config.pipelined else 1
        super().__init__(
            {
                "i_ticket": In(stream.Signature(ticket_layout(config))),
                "i_write": In(leaf_write_signature(config)),
                "o_result": Out(result_signature(config)),
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

        read_id, read_weight = ids.read_port(), weights.read_port()
        ticket = self.i_ticket.payload
        advance, valid, tail, token = Signal(), Signal(), Signal(), Signal(config.id_bits)
        address = Cat(ticket.index[: config.depth], ticket.bank)
        m.d.comb += [
            self.i_ticket.ready.eq(advance),
            read_id.en.eq(advance),
            read_id.addr.eq(address),
            read_weight.en.eq(advance),
            read_weight.addr.eq(address),
        ]
        with m.If(advance):
            m.d.sync += [valid.eq(self.i_ticket.valid), tail.eq(ticket.tail), token.eq(ticket.index)]
        result = self.o_result
        id_, weight = read_id.data, read_weight.data
        if self.latency_cycles == 1:
            m.d.comb += advance.eq(~valid | result.ready)
        else:  # registers right behind the memories
            behind = [Signal.like(value, name="behind") for value in (valid, tail, token, id_, weight)]
            moves = ~behind[0] | result.ready
            with m.If(moves):
                m.d.sync += [a.eq(b) for a, b in zip(behind, (valid, tail, token, id_, weight), strict=True)]
            m.d.comb += advance.eq(~valid | moves)
            valid, tail, token, id_, weight = behind
        m.d.comb += [
            result.valid.eq(valid),
            result.tail.eq(tail),
            result.token.eq(Mux(tail, token, id_)),
            result.weight.eq(weight),
        ]
        return m
