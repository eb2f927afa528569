# SPDX-License-Identifier: Apache-2.0
"""One sampling lane: noise words in, draws out."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
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
    of_block,
    params_signature,
    result_fields,
    result_signature,
    slot_write_signature,
    start_layout,
    stream_write_signature,
    ticket_layout,
    tree_write_signature,
)
from .leaf_lookup import LeafLookup
from .owed_counter import OwedCounter
from .pbit_tree import PBitTree
from .replica import replicated
from .skid_buffer import SkidBuffer
from .slot_params import SlotParams
from .stream_ring import StreamRing


class Lane(wiring.Component):
    """Draws exactly the number of tokens it was asked for, one per cycle, and consumes no noise beyond them.

    The pipeline runs freely; credits keep it exact. A noise word is taken only while a draw is still owed
    (`owed`) and the result FIFO has room (`room`); a rejected candidate gives both back. Hence no candidate is ever
    thrown away, and the stream does not depend on how draws are batched or stalled. Behind the tree, a tail draw
    becomes its token r + #{i : id_i - i <= r}, and a head draw's leaf is looked up.

    With contexts, a block goes the same way, but its candidates come from the `StreamRing`, each with the slot and
    the parameters of its stream, and go back there from the leaves on.

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
    number : int                    of the lane in its group: it has the streams number, number + lanes, ... of a block
    i_stream_write, i_slot_write, loaded : In, starts_left : Out      with contexts: see `StreamRing`, `SlotParams`
    Latency      `latency_cycles` from noise word to result
    Throughput   one candidate per cycle
    """

    def __init__(self, *, config: TsuConfig, load_domain: str = "sync", number: int = 0) -> None:
        self._config = config
        self._load_domain = load_domain
        self._number = number
        self._filter = CandidateFilter(config=config)
        self._tree = PBitTree(config=config, load_domain=load_domain)
        self._leaves = LeafLookup(config=config, load_domain=load_domain)
        self._ring = self._slots = None
        to_fifo = 1 + self._filter.latency_cycles + self._tree.latency_cycles + 1 + self._leaves.latency_cycles
        if config.contexts:
            self._ring = StreamRing(config=config, load_domain=load_domain)
            self._slots = SlotParams(config=config, load_domain=load_domain)
            to_fifo += self._slots.latency_cycles - 1 + config.pipelined  # see `_leave`
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
        ports = {
            "i_words": In(stream.Signature(config.noise_words * WORD_BITS)),
            "start": In(start_layout(config)),
            "params": In(params_signature(config)),
            "i_tree_write": In(tree_write_signature(config)),
            "i_leaf_write": In(leaf_write_signature(config)),
            "o_result": Out(result_signature(config)),
            "idle": Out(1),
        }
        if config.contexts:
            ports |= {
                "i_stream_write": In(stream_write_signature(config)),
                "i_slot_write": In(slot_write_signature(config)),
                "loaded": In(config.contexts),
                "starts_left": Out(1),
            }
        super().__init__(ports)

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
        m.d.comb += self._leaves.i_ticket.eq(self._ticket(m))
        if self._ring:
            self._leave(m, self._ring)
        else:
            m.d.comb += results.write_stb.eq(self._leaves.o_stb)
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
        owes_next, deciding, owed_issue, returned = owed.owes_next, candidates.busy, issue, rejected
        if self._ring:
            in_block = self._issue_block(m, self._ring, issue)
            owes_next = owed.owes_next | self._ring.waits_next
            deciding = candidates.busy | self._ring.busy | self._slots.busy
            # The draws of a block are not owed: its streams wait.
            owed_issue, returned = issue & ~in_block, rejected & ~in_block
        m.d.comb += [
            issue.eq(self.i_words.ready & self.i_words.valid),
            self.idle.eq(~owed.owes & ~deciding),
            owed.start_stb.eq(start.stb),
            owed.count.eq(start.count),
            owed.some.eq(start.some),
            owed.issue.eq(owed_issue),
            owed.returned.eq(returned),
        ]
        # With contexts a candidate gets its parameters on the way to the filter.
        entry, own_params = (self._slots.i, self._slots.own) if self._slots else (candidates, candidates.params)
        words, uniform_bits = self.i_words.payload, config.uniform_bits
        m.d.sync += [
            entry.valid.eq(issue),
            *([] if self._slots else [entry.bank.eq(Mux(start.stb, start.bank, entry.bank))]),
        ]
        tail_word = words[uniform_bits : uniform_bits + config.tail_noise_bits]
        m.d.comb += [
            entry.uniform.eq(data_register(m, words[:uniform_bits], name="uniform")),
            entry.tail_word.eq(data_register(m, tail_word, name="tail_word")),
        ]
        for (name, used), (_, given) in zip(members(own_params), members(self.params), strict=True):
            own = Signal.like(given, name=f"own_{name}", reset_less=True)
            with m.If(start.fresh):
                m.d.sync += own.eq(given)
            m.d.comb += used.eq(own)
        if self._slots:
            self._slots_to_filter(m, self._slots, self._ring)

        # late: keeps the stall out of the credits
        pop = Signal()
        m.d.sync += [
            pop.eq(self.o_result.valid & self.o_result.ready),
            room.eq(room + pop + rejected - issue),
            # With more than one place left, whatever this cycle does, one is left in the next.
            self.i_words.ready.eq(owes_next & (room > 1)),
        ]

    def _issue_block(self, m: Module, ring: StreamRing, issue: Signal) -> Signal:
        """Streams take words too. Returns: the candidates inside, or those of the last job, belong to a block."""
        m.submodules.ring = ring
        start, write, bits = self.start, self.i_stream_write, self._config.lanes.bit_length() - 1
        mine = (write.stream[:bits] == self._number) if bits else C(1, 1)
        in_block = Signal()
        with m.If(start.stb):
            m.d.sync += in_block.eq(start.block)
        m.d.comb += [
            ring.start.stb.eq(start.stb & start.block),
            ring.start.streams.eq(start.streams),
            ring.start.length.eq(start.length),
            ring.i_write.stb.eq(write.stb & mine),
            ring.i_write.stream.eq(write.stream[bits:]),
            ring.i_write.context.eq(write.context),
            ring.issue_stb.eq(issue & in_block),
            ring.loaded.eq(self.loaded),
            ring.final_stb.eq(self._filter.final_stb),
            self.starts_left.eq(ring.starts_left),
        ]
        return in_block

    def _slots_to_filter(self, m: Module, slots: SlotParams, ring: StreamRing) -> None:
        """Candidates with the bank and the parameters of their job, or of the slot of their stream."""
        m.submodules.slots = slots
        candidates, config = self._filter, self._config
        connect(m, wiring.flipped(self.i_slot_write), slots.i_write)
        bank, of_stream, slot = Signal(), Signal(), Signal(config.context_bits, reset_less=True)
        with m.If(self.start.stb):
            m.d.sync += bank.eq(self.start.bank)
        m.d.sync += [of_stream.eq(ring.issue_stb), slot.eq(ring.context)]
        double_buffer = Cat(bank, C(0, config.context_bits - 1), C(1, 1))
        m.d.comb += [
            slots.slot.eq(ring.context),
            slots.i.last.eq(data_register(m, ring.last, name="last")),
            slots.i.bank.eq(Mux(of_stream, slot, double_buffer)),
        ]
        connect(m, slots.o_params, candidates.params)
        m.d.comb += [getattr(candidates, name).eq(getattr(slots.o, name)) for name in slots.o.signature.members]

    def _leave(self, m: Module, ring: StreamRing) -> None:
        """From the leaves to the FIFO and, in blocks, back to the ring."""
        leaves, results = self._leaves, self._results
        connect(m, wiring.flipped(self.i_slot_write), leaves.i_slot_write)
        drawn, again, bank = leaves.o_stb, leaves.o_retry, leaves.o_bank
        found = dict(members(leaves.o))
        if self._config.pipelined:  # looking up whether the token is a context takes a cycle of its own
            late = Signal(2)
            m.d.sync += late.eq(Cat(drawn, again))
            drawn, again = late
            bank = data_register(m, bank, name="late_bank")
            found = {name: data_register(m, value, name=f"late_{name}") for name, value in found.items()}
        m.d.comb += [
            ring.i_return.stb.eq(again | (drawn & of_block(self._config, bank))),
            ring.i_return.retry.eq(again),
            ring.i_return.token.eq(found["token"]),
            ring.i_return.context.eq(bank),
            results.write_stb.eq(drawn),
            results.i.stream.eq(ring.stream),
            results.i.ends.eq(ring.ends),
        ]
        m.d.comb += [getattr(results.i, name).eq(value) for name, value in found.items()]

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
        if self._ring:
            m.d.sync += ticket.retry.eq(route.retry)
        return ticket
