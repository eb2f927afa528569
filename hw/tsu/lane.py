# SPDX-License-Identifier: Apache-2.0
"""One sampling lane: noise words in, draws out."""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig, ceil_log2
from hw.spec.noise import WORD_BITS

from .candidate_filter import CandidateFilter
from .layouts import COUNT_BITS, leaf_write_layout, params_layout, result_layout, tree_write_layout
from .pbit_tree import PBitTree


class Lane(wiring.Component):
    """Draws exactly the number of tokens it was asked for, one per cycle, and consumes no noise beyond them.

    The pipeline runs freely; credits keep it exact. A noise word is taken only while a draw is still owed
    (`owed`) and the result FIFO has room (`room`); a rejected candidate gives both back. Hence no candidate is ever
    thrown away, and the stream does not depend on how draws are batched or stalled. After the tree, leaf k gives
    its id and weight, or a tail draw its token r + #{i : id_i - i <= r}.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i_words : In(stream)          noise words of one candidate, stream 0 in the low bits
    start : In(stb, bank, count)  taken only while `idle`
    params : In(2 banks of params_layout)
    i_tree_write, i_leaf_write    from the loader
    o_result : Out(stream)        draws in noise order
    idle : Out(1)                 every draw owed has been accepted: the noise position is final
    Latency      `latency_cycles` from noise word to result
    Throughput   one candidate per cycle
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self._filter = CandidateFilter(config=config)
        self._tree = PBitTree(config=config)
        self._leaf_stages = 1 if config.level_stages == 1 else 2
        self.latency_cycles = 1 + self._filter.latency_cycles + self._tree.latency_cycles + self._leaf_stages + 2
        self.fifo_depth = 1 << ceil_log2(self.latency_cycles + 6)
        super().__init__(
            {
                "i_words": In(stream.Signature(config.noise_words * WORD_BITS)),
                "start": In(data.StructLayout({"stb": 1, "bank": 1, "count": COUNT_BITS})),
                "params": In(data.ArrayLayout(params_layout(config), 2)),
                "i_tree_write": In(tree_write_layout(config)),
                "i_leaf_write": In(leaf_write_layout(config)),
                "o_result": Out(stream.Signature(result_layout(config))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.filter = self._filter
        m.submodules.tree = self._tree
        m.submodules.fifo = results = fifo.SyncFIFOBuffered(
            width=result_layout(config).size, depth=self.fifo_depth
        )

        tree_write = Signal(tree_write_layout(config))
        leaf_write = Signal(leaf_write_layout(config))
        m.d.sync += [tree_write.eq(self.i_tree_write), leaf_write.eq(self.i_leaf_write)]
        m.d.comb += self._tree.i_write.eq(tree_write)

        self._issue(m, results)
        m.d.comb += self._tree.i.eq(self._filter.o)
        self._leaf(m, leaf_write, results)
        result = data.View(result_layout(config), results.r_data)
        m.d.comb += [
            self.o_result.payload.eq(result),
            self.o_result.valid.eq(results.r_rdy),
            results.r_en.eq(self.o_result.ready),
        ]
        return m

    def _issue(self, m: Module, results: fifo.SyncFIFOBuffered) -> None:
        """Take noise words against credits; settle the credits when the filter has decided."""
        config, candidates = self._config, self._filter
        params, bank = Signal(params_layout(config)), Signal()
        owed = Signal(COUNT_BITS)
        room = Signal(range(self.fifo_depth + 1), init=self.fifo_depth)
        undecided = Signal(range(candidates.latency_cycles + 2))
        issue, taken = Signal(), Signal(candidates.i.shape())

        m.d.comb += [
            self.i_words.ready.eq((owed != 0) & (room != 0)),
            issue.eq(self.i_words.ready & self.i_words.valid),
            self.idle.eq((owed == 0) & (undecided == 0)),
            candidates.i.eq(taken),
            candidates.params.eq(params),
            candidates.bank.eq(bank),
        ]
        words = self.i_words.payload
        uniform_bits = config.uniform_bits
        m.d.sync += [
            taken.valid.eq(issue),
            taken.uniform.eq(words[:uniform_bits]),
            taken.tail_word.eq(words[uniform_bits : uniform_bits + config.tail_noise_bits]),
        ]
        pop = results.r_rdy & results.r_en
        with m.If(self.start.stb):
            m.d.sync += [owed.eq(self.start.count), bank.eq(self.start.bank), params.eq(self.params[self.start.bank])]
        with m.Elif(issue & ~candidates.reject_stb):
            m.d.sync += owed.eq(owed - 1)
        with m.Elif(~issue & candidates.reject_stb):
            m.d.sync += owed.eq(owed + 1)
        m.d.sync += room.eq(room + candidates.reject_stb + pop - issue)
        m.d.sync += undecided.eq(undecided + issue - candidates.accept_stb - candidates.reject_stb)

    def _leaf(self, m: Module, write: data.View, results: fifo.SyncFIFOBuffered) -> None:
        """Look the leaf up, resolve a tail token, and store the result."""
        config = self._config
        m.submodules.ids = ids = Memory(shape=unsigned(config.id_bits), depth=2 * config.k_max, init=[])
        m.submodules.weights = weights = Memory(shape=unsigned(config.weight_bits), depth=2 * config.k_max, init=[])
        write_id, write_weight = ids.write_port(), weights.write_port()
        read_id, read_weight = ids.read_port(), weights.read_port()
        leaf = self._tree.o
        address = Cat(leaf.path, leaf.candidate.bank)
        m.d.comb += [
            write_id.en.eq(write.id_stb),
            write_id.addr.eq(Cat(write.id_index, write.bank)),
            write_id.data.eq(write.id),
            write_weight.en.eq(write.weight_stb),
            write_weight.addr.eq(Cat(write.weight_index, write.bank)),
            write_weight.data.eq(write.weight),
            read_id.addr.eq(address),
            read_weight.addr.eq(address),
        ]

        # value = r + 1; the rank is path, plus one when r is also past the last id.
        value = leaf.candidate.value[: config.id_bits + 1]
        rank_last = Mux(leaf.candidate.bank, self.params[1].rank_last, self.params[0].rank_last)
        found = Signal(
            data.StructLayout({"valid": 1, "tail": 1, "past_last": 1, "tail_token": config.id_bits})
        )
        m.d.sync += [
            found.valid.eq(leaf.candidate.valid),
            found.tail.eq(leaf.candidate.tail),
            found.past_last.eq(value > rank_last),
            found.tail_token.eq(value + leaf.path - 1),
        ]
        read_leaf = Signal(data.StructLayout({"id": config.id_bits, "weight": config.weight_bits}))
        m.d.comb += [read_leaf.id.eq(read_id.data), read_leaf.weight.eq(read_weight.data)]
        for _ in range(self._leaf_stages - 1):
            following, following_leaf = Signal.like(found), Signal.like(read_leaf)
            m.d.sync += [following.eq(found), following_leaf.eq(read_leaf)]
            found, read_leaf = following, following_leaf

        result = Signal(result_layout(config))
        m.d.comb += [
            result.token.eq(Mux(found.tail, found.tail_token + found.past_last, read_leaf.id)),
            result.weight.eq(read_leaf.weight),
            result.tail.eq(found.tail),
            results.w_data.eq(result),
            results.w_en.eq(found.valid),
        ]
