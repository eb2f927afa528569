# SPDX-License-Identifier: Apache-2.0
"""One sampling lane: noise words in, draws out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect

from hw.spec.config import TsuConfig, ceil_log2
from hw.spec.noise import WORD_BITS

from .candidate_filter import CandidateFilter
from .layouts import (
    COUNT_BITS,
    leaf_write_signature,
    members,
    params_signature,
    registered,
    result_signature,
    ticket_layout,
    tree_write_signature,
)
from .leaf_lookup import LeafLookup
from .pbit_tree import PBitTree


class Lane(wiring.Component):
    """Draws exactly the number of tokens it was asked for, one per cycle, and consumes no noise beyond them.

    The pipeline runs freely; credits keep it exact. A noise word is taken only while a draw is still owed
    (`owed`) and the ticket FIFO has room (`room`); a rejected candidate gives both back. Hence no candidate is ever
    thrown away, and the stream does not depend on how draws are batched or stalled. Behind the tree, a tail draw
    becomes its token r + #{i : id_i - i <= r}; a head draw waits in the FIFO as its leaf and is looked up last.

    Parameters
    ----------
    config : TsuConfig
    load_domain : str
        Clock domain of the loader's writes; see `TsuCore`.

    Members
    -------
    i_words : In(stream)            noise words of one candidate, stream 0 in the low bits
    start : In(stb, bank, count)    taken only while `idle`
    params : 2 banks x In(params)
    i_tree_write, i_leaf_write      from the loader
    o_result : Out(result)          draws in noise order
    idle : Out(1)                   every draw owed has been accepted: the noise position is final
    Latency      `latency_cycles` from noise word to result
    Throughput   one candidate per cycle
    """

    def __init__(self, *, config: TsuConfig, load_domain: str = "sync") -> None:
        self._config = config
        self._load_domain = load_domain
        self._filter = CandidateFilter(config=config)
        self._tree = PBitTree(config=config, load_domain=load_domain)
        self._leaves = LeafLookup(config=config, load_domain=load_domain)
        to_fifo = 1 + self._filter.latency_cycles + self._tree.latency_cycles + 1
        # One entry sits in the FIFO's output register, so that its memory is a power of two deep.
        self.fifo_depth = 1 + (1 << ceil_log2(to_fifo + 5))
        self.latency_cycles = to_fifo + 2 + self._leaves.latency_cycles
        super().__init__(
            {
                "i_words": In(stream.Signature(config.noise_words * WORD_BITS)),
                "start": In(data.StructLayout({"stb": 1, "bank": 1, "count": COUNT_BITS})),
                "params": In(params_signature(config)).array(2),
                "i_tree_write": In(tree_write_signature(config)),
                "i_leaf_write": In(leaf_write_signature(config)),
                "o_result": Out(result_signature(config)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.filter = self._filter
        m.submodules.tree = self._tree
        m.submodules.leaves = self._leaves
        m.submodules.tickets = tickets = fifo.SyncFIFOBuffered(
            width=ticket_layout(self._config).size, depth=self.fifo_depth
        )
        # The loader's writes are broadcast to all lanes; registered here, each lane decodes its own copy.
        domain = self._load_domain
        connect(m, registered(m, self.i_tree_write, name="tree_write", domain=domain), self._tree.i_write)
        connect(m, registered(m, self.i_leaf_write, name="leaf_write", domain=domain), self._leaves.i_write)
        connect(m, self._filter.o, self._tree.i)
        self._issue(m, pop=tickets.r_rdy & tickets.r_en)
        self._write_ticket(m, tickets)
        m.d.comb += [
            self._leaves.i_ticket.payload.eq(tickets.r_data),
            self._leaves.i_ticket.valid.eq(tickets.r_rdy),
            tickets.r_en.eq(self._leaves.i_ticket.ready),
        ]
        connect(m, self._leaves.o_result, wiring.flipped(self.o_result))
        return m

    def _issue(self, m: Module, *, pop: Signal) -> None:
        """Take noise words against credits; settle the credits when the filter has decided."""
        config, candidates = self._config, self._filter
        owed = Signal(COUNT_BITS)
        room = Signal(range(self.fifo_depth + 1), init=self.fifo_depth)
        issue = Signal()
        m.d.comb += [
            self.i_words.ready.eq((owed != 0) & (room != 0)),
            issue.eq(self.i_words.ready & self.i_words.valid),
            self.idle.eq((owed == 0) & ~candidates.busy),
        ]
        words, uniform_bits = self.i_words.payload, config.uniform_bits
        m.d.sync += [
            candidates.valid.eq(issue),
            candidates.uniform.eq(words[:uniform_bits]),
            candidates.tail_word.eq(words[uniform_bits : uniform_bits + config.tail_noise_bits]),
        ]
        with m.If(self.start.stb):
            m.d.sync += [owed.eq(self.start.count), candidates.bank.eq(self.start.bank)]
            for (_, own), (_, low), (_, high) in zip(
                members(candidates.params), members(self.params[0]), members(self.params[1]), strict=True
            ):
                m.d.sync += own.eq(Mux(self.start.bank, high, low))
        with m.Elif(issue & ~candidates.reject_stb):
            m.d.sync += owed.eq(owed - 1)
        with m.Elif(~issue & candidates.reject_stb):
            m.d.sync += owed.eq(owed + 1)
        returned = Signal(2)
        m.d.comb += returned.eq(pop + candidates.reject_stb)
        with m.If(issue):
            m.d.sync += room.eq(room + returned - 1)
        with m.Else():
            m.d.sync += room.eq(room + returned)

    def _write_ticket(self, m: Module, tickets: fifo.SyncFIFOBuffered) -> None:
        """Leaf of a head draw, or token of a tail draw: value - 1 + path, plus one where r is past the last id."""
        found = self._tree.o
        value = found.value[: self._config.id_bits + 1]
        rank_last = Mux(found.bank, self.params[1].rank_last, self.params[0].rank_last)
        ticket = Signal(ticket_layout(self._config))
        valid = Signal()
        m.d.sync += [
            valid.eq(found.valid),
            ticket.bank.eq(found.bank),
            ticket.tail.eq(found.tail),
            ticket.index.eq(Mux(found.tail, value + found.path - (value <= rank_last), found.path)),
        ]
        m.d.comb += [tickets.w_data.eq(ticket), tickets.w_en.eq(valid)]
