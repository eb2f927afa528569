# SPDX-License-Identifier: Apache-2.0
"""Between a generator and the lane that takes its words."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.noise import WORD_BITS


class WordStage(wiring.Component):
    """Keeps the word that is not taken, so that `advance` comes from a register of the generator's own.

    The lane's stall would otherwise reach the enables of all generators in the cycle in which it begins.

    Members
    -------
    idle : In(1)         nothing is offered in the next cycle, and what was kept is discarded
    runs_next : In(1)    the generator may advance in the next cycle
    offered : In(1)      the word is offered to the lane
    ready : In(1)        the lane takes a word
    i : In(32)           of the generator
    advance : Out(1)     to the generator
    o : Out(32)          the word offered
    Latency      combinational from i to o
    Throughput   one word per cycle
    """

    idle: In(1)
    runs_next: In(1)
    offered: In(1)
    ready: In(1)
    i: In(WORD_BITS)
    advance: Out(1)
    o: Out(WORD_BITS)

    def elaborate(self, platform):
        m = Module()
        kept, kept_next, word = Signal(), Signal(), Signal(WORD_BITS, reset_less=True)
        m.d.comb += kept_next.eq(~self.idle & self.offered & ~self.ready)
        m.d.sync += [kept.eq(kept_next), self.advance.eq(self.runs_next & ~kept_next)]
        with m.If(~kept):
            m.d.sync += word.eq(self.i)
        m.d.comb += self.o.eq(Mux(kept, word, self.i))
        return m
