# SPDX-License-Identifier: Apache-2.0
"""Beats of several draws to single draws."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig, check_no_contexts
from hw.tsu.layouts import TAG_BITS, beat_layout, draw_layout


def single_draw_layout(config: TsuConfig) -> data.StructLayout:
    """One draw with everything that belongs to it; `last` marks the last draw of a command."""
    fields = {"token": config.id_bits, "weight": config.total_bits, "spread": config.id_bits}
    return data.StructLayout(fields | {"tag": TAG_BITS, "last": 1})


class DrawUnpacker(wiring.Component):
    """Hold a beat and hand over its draws in ascending lane order.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i_beat : In(stream(beat))
    o_draw : Out(stream(single_draw_layout))
    Latency      1 cycle, and one more for each lane without a draw before it
    Throughput   one draw per cycle, and one more cycle for each beat
    Reset        empty
    Raises       SpecError: contexts
    """

    def __init__(self, *, config: TsuConfig) -> None:
        check_no_contexts(config, who="the AXI wrapper")
        self._config = config
        super().__init__(
            {
                "i_beat": In(stream.Signature(beat_layout(config))),
                "o_draw": Out(stream.Signature(single_draw_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        held, full = Signal(beat_layout(self._config)), Signal()
        draws, draw = held.draws.as_value(), self.o_draw.payload
        first, others = held.draws[0], Signal()
        m.d.comb += [
            self.i_beat.ready.eq(~full),
            others.eq(held.keep[1:].any()),
            self.o_draw.valid.eq(full & held.keep[0]),
            draw.token.eq(first.token),
            draw.weight.eq(first.weight),
            draw.spread.eq(Mux(first.tail, held.spread, 1)),
            draw.tag.eq(held.tag),
            draw.last.eq(held.last & ~others),
        ]
        with m.If(~full):
            m.d.sync += [held.eq(self.i_beat.payload), full.eq(self.i_beat.valid)]
        with m.Elif(~held.keep[0] | self.o_draw.ready):
            # The next lane moves to the place of lane 0.
            m.d.sync += [
                held.keep.eq(held.keep >> 1),
                held.draws.as_value().eq(draws >> draw_layout(self._config).size),
                full.eq(others),
            ]
        return m
