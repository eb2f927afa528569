# SPDX-License-Identifier: Apache-2.0
"""Judges the psi of a LOAD command while it arrives."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.commands import ENTRY_FIELDS, Status, WeightMode
from hw.spec.config import TsuConfig

from .command_decoder import header_layout
from .layouts import DISTANCE_BITS


class PsiChecker(wiring.Component):
    """Check every rule of a psi, turn score codes into distances, and add up the total Z.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    header : In(header_layout), start_stb : In(1)      the header is complete
    entry : In(stb, index, id, score_q)
    table_loaded : In(1)
    o_distance : Out(valid, distance)                  score_max_q - score_q, one cycle after the entry
    i_weight : In(valid, weight)                       from the weight engine
    spread : Out(id_bits)                              n = V - K, one cycle after both are in the header
    has_choice : Out(1)                                n > 1, one cycle later: a tail token has to be drawn
    rank : Out(id_bits)                                id - index of the last entry
    total : Out(total_bits)                            Z, two cycles after the last weight, where `code` is OK
    code : Out(Status)                                 first rule broken, or OK; five cycles after the last weight
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        entry = {name: field.width for name, field in ENTRY_FIELDS.items()}
        super().__init__(
            {
                "header": In(header_layout(config)),
                "start_stb": In(1),
                "entry": In(data.StructLayout({"stb": 1, "index": config.depth, **entry})),
                "table_loaded": In(1),
                "o_distance": Out(data.StructLayout({"valid": 1, "distance": DISTANCE_BITS})),
                "i_weight": In(data.StructLayout({"valid": 1, "weight": config.weight_bits})),
                "spread": Out(config.id_bits),
                "has_choice": Out(1),
                "rank": Out(config.id_bits),
                "total": Out(config.total_bits),
                "code": Out(Status),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, header, entry = self._config, self.header, self.entry
        m.d.sync += [self.spread.eq(header.vocab_size - header.k), self.has_choice.eq(self.spread[1:].any())]

        id_floor, last_id = Signal(), Signal(len(entry.id))
        checked, beyond, unordered, above, best = Signal(), Signal(), Signal(), Signal(), Signal()
        bad_id, bad_score, best_seen = Signal(), Signal(), Signal()
        m.d.sync += [checked.eq(entry.stb), self.o_distance.valid.eq(entry.stb)]
        with m.If(entry.stb):
            m.d.sync += [
                id_floor.eq(1),
                last_id.eq(entry.id),
                beyond.eq(~(entry.id < header.vocab_size)),
                unordered.eq(id_floor & ~(last_id < entry.id)),
                above.eq(header.score_max_q.as_signed() < entry.score_q.as_signed()),
                best.eq(entry.score_q == header.score_max_q),
                self.rank.eq(entry.id - entry.index),
                self.o_distance.distance.eq(header.score_max_q - entry.score_q),
            ]
        with m.If(self.start_stb):
            m.d.sync += [id_floor.eq(0), bad_id.eq(0), bad_score.eq(0), best_seen.eq(0)]
        with m.Elif(checked):
            m.d.sync += [
                bad_id.eq(bad_id | beyond | unordered),
                bad_score.eq(bad_score | above),
                best_seen.eq(best_seen | best),
            ]
        total = self._total(m)
        m.d.comb += self.total.eq(total)

        # Some conditions are registered before they meet: short paths, and no rule is asked for before that.
        too_small, too_large, no_others, has_tail = (
            Signal(name=f"is_{name}") for name in ("small", "large", "full", "tail")
        )
        m.d.sync += [
            too_small.eq(total < config.total_min),
            too_large.eq(~(total < config.total_max + 1)),
            no_others.eq(header.vocab_size == header.k),
            has_tail.eq(header.tail_weight.any()),
        ]
        supported = Mux(header.mode == WeightMode.EXP2, int(config.has_exp2), int(config.has_table))
        verdicts = (
            ((header.k == 0) | (header.k > config.k_max), Status.BAD_K),
            ((header.vocab_size < header.k) | ~(header.vocab_size < config.vocab_max + 1), Status.BAD_VOCAB),
            (~supported, Status.BAD_MODE),
            ((header.mode == WeightMode.TABLE) & ~self.table_loaded, Status.NO_TABLE),
            (bad_id, Status.BAD_ID),
            (bad_score | ~best_seen, Status.BAD_SCORE),
            ((has_tail & no_others) | header.tail_excess, Status.BAD_TAIL),
            (too_small | too_large, Status.BAD_TOTAL),
        )
        code = Signal(Status)
        for broken, verdict in reversed(verdicts):
            flag = Signal(name=f"is_{verdict.name.lower()}")
            m.d.sync += flag.eq(broken)
            with m.If(flag):
                m.d.comb += code.eq(verdict)
        m.d.sync += self.code.eq(code)
        return m

    def _total(self, m: Module) -> Signal:
        """Tail weight plus all weights, the upper half one cycle behind the lower one: two short carry chains."""
        config = self._config
        half = config.total_bits // 2
        low, high = Signal(half), Signal(config.total_bits + config.depth + 1 - half)
        carry, above = Signal(), Signal(config.weight_bits - half if config.weight_bits > half else 1)
        tail_weight, weight = self.header.tail_weight, self.i_weight.weight
        with m.If(self.start_stb):
            m.d.sync += [low.eq(tail_weight), high.eq(tail_weight[half:]), carry.eq(0), above.eq(0)]
        with m.Else():
            m.d.sync += [carry.eq(0), above.eq(0), high.eq(high + above + carry)]
            with m.If(self.i_weight.valid):
                m.d.sync += [Cat(low, carry).eq(low + weight[:half]), above.eq(weight[half:])]
        total = Signal(config.total_bits + config.depth + 1)
        m.d.comb += total.eq(Cat(low, high))
        return total
