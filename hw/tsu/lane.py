# SPDX-License-Identifier: Apache-2.0
"""One sampling lane: noise words in, draws out."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from hw.spec.config import TsuConfig, ceil_log2
from hw.spec.noise import WORD_BITS

from .candidate_filter import CandidateFilter
from .credit_fifo import CreditFifo
from .layouts import (
    data_register,
    leaf_write_signature,
    members,
    params_signature,
    result_fields,
    result_signature,
    start_layout,
    ticket_layout,
    tree_write_signature,
)
from .leaf_lookup import LeafLookup
from .owed_counter import OwedCounter
from .pbit_tree import PBitTree
from .replica import replicated
from .skid_buffer import SkidBuffer


class Lane(wiring.Component):
    """Draws exactly the number of tokens it was asked for, one per cycle, and consumes no noise beyond them.

    The pipeline runs freely; credits keep it exact. A noise word is taken only while a draw is still owed
    (`owed`) and the result FIFO has room (`room`); a rejected candidate gives both back. Hence no candidate is ever
    thrown away, and the stream does not depend on how draws are batched or stalled. Behind the tree, a tail draw
    becomes its token r + #{i : id_i - i <= r}, and a head draw's leaf is looked up.

    Parameters
    ----------
    config : TsuConfig
    load_domain : str
        Clock domain of the loader's writes; see `TsuCore`.

    Members
    -------
    i_words : In(stream)            noise words of one candidate, stream 0 in the low bits
    start : In(start_layout)        taken only while `idle`
    params : In(params)             of the psi loaded last; copied with a `fresh` start
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
        to_fifo = 1 + self._filter.latency_cycles + self._tree.latency_cycles + 1 + self._leaves.latency_cycles
        # A credit is away for the pipeline, the FIFO and its way back; the last place may stay empty. Where a beat
        # waits for other lanes, some more places keep this one busy meanwhile.
        waiting = 8 if config.lanes > 1 else 0
        in_fifo = 3 if config.pipelined else 2
        self.fifo_depth = 1 << ceil_log2(to_fifo + in_fifo + 4 + waiting)
        self._results = CreditFifo(
            fields=result_fields(config),
            depth=self.fifo_depth,
            block_ram=config.block_ram,
            pipelined=config.pipelined,
        )
        self.latency_cycles = to_fifo + self._results.latency_cycles
        super().__init__(
            {
                "i_words": In(stream.Signature(config.noise_words * WORD_BITS)),
                "start": In(start_layout()),
                "params": In(params_signature(config)),
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
        m.submodules.results = results = self._results
        for name, given, used in (
            ("tree_write", self.i_tree_write, self._tree.i_write),
            ("leaf_write", self.i_leaf_write, self._leaves.i_write),
        ):
            if self._config.lanes == 1 and not self._config.pipelined:
                connect(m, wiring.flipped(given), used)
            else:  # broadcast to all lanes: each of them decodes its own copy
                connect(m, replicated(m, given, name=name, domain=self._load_domain), used)
        connect(m, self._filter.o, self._tree.i)
        self._issue(m)
        m.d.comb += [self._leaves.i_ticket.eq(self._ticket(m)), results.write_stb.eq(self._leaves.o_stb)]
        connect(m, self._leaves.o, results.i)
        if self._config.pipelined:  # the collector is far away
            m.submodules.skid = skid = SkidBuffer(fields=result_fields(self._config))
            connect(m, results.o, skid.i)
            connect(m, skid.o, wiring.flipped(self.o_result))
        else:
            connect(m, results.o, wiring.flipped(self.o_result))
        return m

    def _issue(self, m: Module) -> None:
        """Take noise words against credits; settle the credits when the filter has decided."""
        config, candidates = self._config, self._filter
        # Whether a word may be taken is known from a register when a cycle begins.
        m.submodules.owed = owed = OwedCounter()
        start, rejected = self.start, candidates.reject_stb
        room = Signal(range(self.fifo_depth + 1), init=self.fifo_depth)
        issue = Signal()
        m.d.comb += [
            issue.eq(self.i_words.ready & self.i_words.valid),
            self.idle.eq(~owed.owes & ~candidates.busy),
            owed.start_stb.eq(start.stb),
            owed.count.eq(start.count),
            owed.some.eq(start.some),
            owed.issue.eq(issue),
            owed.returned.eq(rejected),
        ]
        words, uniform_bits = self.i_words.payload, config.uniform_bits
        m.d.sync += [
            candidates.valid.eq(issue),
            candidates.bank.eq(Mux(start.stb, start.bank, candidates.bank)),
        ]
        tail_word = words[uniform_bits : uniform_bits + config.tail_noise_bits]
        m.d.comb += [
            candidates.uniform.eq(data_register(m, words[:uniform_bits], name="uniform")),
            candidates.tail_word.eq(data_register(m, tail_word, name="tail_word")),
        ]
        for (name, used), (_, given) in zip(members(candidates.params), members(self.params), strict=True):
            own = Signal.like(given, name=f"own_{name}", reset_less=True)
            with m.If(start.fresh):
                m.d.sync += own.eq(given)
            m.d.comb += used.eq(own)

        # late: keeps the stall out of the credits
        pop = Signal()
        m.d.sync += [
            pop.eq(self.o_result.valid & self.o_result.ready),
            room.eq(room + pop + rejected - issue),
            # With more than one place left, whatever this cycle does, one is left in the next.
            self.i_words.ready.eq(owed.owes_next & (room > 1)),
        ]

    def _ticket(self, m: Module) -> Signal:
        """Leaf of a head draw; of a tail draw value + path, from which `LeafLookup` makes its token."""
        route, value = self._tree.o.route, self._tree.o.value[: self._config.id_bits]
        ticket = Signal(ticket_layout(self._config))
        above = (value + route.path)[: self._config.id_bits]
        m.d.sync += ticket.valid.eq(route.valid)
        m.d.comb += [
            ticket.bank.eq(data_register(m, route.bank, name="ticket_bank")),
            ticket.tail.eq(data_register(m, route.tail, name="ticket_tail")),
            ticket.leaf.eq(data_register(m, route.path, name="ticket_leaf")),
            ticket.past_last.eq(data_register(m, route.past_last, name="ticket_past_last")),
            ticket.above.eq(data_register(m, above, name="ticket_above")),
        ]
        return ticket
