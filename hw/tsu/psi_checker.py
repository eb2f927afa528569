# SPDX-License-Identifier: Apache-2.0
"""Judges the psi of a LOAD command while it arrives."""

from amaranth.hdl import Module, Mux, Signal
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
    rank : Out(id_bits)                                id - index of the last entry
    total : Out(total_bits)                            Z, valid when all weights are in and `code` is OK
    code : Out(Status)                                 first rule broken, or OK; one cycle after the last weight
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
                "rank": Out(config.id_bits),
                "total": Out(config.total_bits),
                "code": Out(Status),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, header, entry = self._config, self.header, self.entry
        m.d.sync += self.spread.eq(header.vocab_size - header.k)

        id_floor, last_id = Signal(), Signal(len(entry.id))
        bad_id, bad_score, best_seen = Signal(), Signal(), Signal()
        total = Signal(config.total_bits + config.depth + 1)
        below = entry.score_q.as_signed() <= header.score_max_q.as_signed()
        m.d.sync += self.o_distance.valid.eq(entry.stb)
        with m.If(self.start_stb):
            m.d.sync += [id_floor.eq(0), bad_id.eq(0), bad_score.eq(0), best_seen.eq(0)]
            m.d.sync += total.eq(header.tail_weight)
        with m.If(entry.stb):
            m.d.sync += [
                id_floor.eq(1),
                last_id.eq(entry.id),
                bad_id.eq(bad_id | (entry.id >= header.vocab_size) | (id_floor & (entry.id <= last_id))),
                bad_score.eq(bad_score | ~below),
                best_seen.eq(best_seen | (entry.score_q == header.score_max_q)),
                self.rank.eq(entry.id - entry.index),
                self.o_distance.distance.eq(header.score_max_q - entry.score_q),
            ]
        with m.If(self.i_weight.valid):
            m.d.sync += total.eq(total + self.i_weight.weight)
        m.d.comb += self.total.eq(total)

        supported = Mux(header.mode == WeightMode.EXP2, int(config.has_exp2), int(config.has_table))
        verdicts = (
            ((header.k == 0) | (header.k > config.k_max), Status.BAD_K),
            ((header.vocab_size < header.k) | (header.vocab_size > config.vocab_max), Status.BAD_VOCAB),
            (~supported, Status.BAD_MODE),
            ((header.mode == WeightMode.TABLE) & ~self.table_loaded, Status.NO_TABLE),
            (bad_id, Status.BAD_ID),
            (bad_score | ~best_seen, Status.BAD_SCORE),
            (
                (header.tail_weight.any() & (header.vocab_size == header.k)) | header.tail_excess,
                Status.BAD_TAIL,
            ),
            ((total < config.total_min) | (total > config.total_max), Status.BAD_TOTAL),
        )
        for broken, verdict in reversed(verdicts):
            flag = Signal(name=f"is_{verdict.name.lower()}")
            m.d.sync += flag.eq(broken)
            with m.If(flag):
                m.d.comb += self.code.eq(verdict)
        return m
