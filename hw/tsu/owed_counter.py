# SPDX-License-Identifier: Apache-2.0
"""How many draws a lane still owes."""

from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .layouts import COUNT_BITS

LOW_BITS = 8


class OwedCounter(wiring.Component):
    """Count of draws owed; whether it is zero is known from a register when a cycle begins.

    The upper bits follow one cycle behind the lower ones. That does no harm: while a carry or a borrow is under way,
    the lower bits are 0 or all ones, and neither is the 1 after which nothing may be left.

    Members
    -------
    start_stb : In(1)                    begin anew; only while nothing is owed
    count : In(32), some : In(1)         draws to begin with, and whether there are any
    issue : In(1)                        one draw less
    returned : In(1)                     one draw more
    owes : Out(1)                        count != 0
    owes_next : Out(1)                   `owes` of the next cycle
    Latency      1 cycle from any of the inputs to `owes`
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start_stb": In(1),
                "count": In(COUNT_BITS),
                "some": In(1),
                "issue": In(1),
                "returned": In(1),
                "owes": Out(1),
                "owes_next": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        low = Signal(LOW_BITS + 1)  # with a bit that says that the last change left the range: to 256, or to -1
        high = Signal(COUNT_BITS - LOW_BITS)
        high_any = Signal()
        moves, down = Signal(), Signal()
        m.d.comb += [
            moves.eq(self.issue != self.returned),
            down.eq(moves & self.issue),
            self.owes_next.eq(
                Mux(self.start_stb, self.some, Mux(moves, ~down | high_any | (low[:LOW_BITS] != 1), self.owes))
            ),
        ]
        # Change is 0, 1 or -1 as one operand, or the count that is begun with, for then nothing moves: one adder.
        begun = Mux(self.start_stb, self.count[:LOW_BITS], 0)
        change = Cat(moves, down.replicate(LOW_BITS)) | begun
        m.d.sync += [
            low.eq(low[:LOW_BITS] + change),
            self.owes.eq(self.owes_next),
        ]
        with m.If(self.start_stb):
            m.d.sync += [high.eq(self.count[LOW_BITS:]), high_any.eq(self.count[LOW_BITS:].any())]
        with m.Elif(low[-1]):
            m.d.sync += [
                high.eq(high + Cat(C(1, 1), low[0].replicate(len(high) - 1))),
                high_any.eq(~low[0] | (high != 1)),
            ]
        return m
