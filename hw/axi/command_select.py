# SPDX-License-Identifier: Apache-2.0
"""Two sources of commands to one, switched between commands only."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.tsu.layouts import command_layout


class CommandSelect(wiring.Component):
    """Pass the commands of one of two streams; a command that has begun, or is on offer, is always finished.

    Members
    -------
    i_stream, i_registers : In(stream(word, last))
    o_command : Out(stream(word, last))
    use_registers : In(1)      wanted source
    flush : In(1)              between two commands again, at the wanted source; nothing passes meanwhile
    Latency      0 cycles
    Throughput   one word per cycle
    Reset        `i_stream`, between two commands
    """

    def __init__(self) -> None:
        words = stream.Signature(command_layout())
        super().__init__(
            {
                "i_stream": In(words),
                "i_registers": In(words),
                "o_command": Out(words),
                "use_registers": In(1),
                "flush": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        registers_chosen, inside = Signal(), Signal()
        sources, command = (self.i_stream, self.i_registers), self.o_command
        offered, taken = Signal(), Signal()
        m.d.comb += [
            command.payload.eq(Mux(registers_chosen, self.i_registers.payload, self.i_stream.payload)),
            offered.eq(Mux(registers_chosen, self.i_registers.valid, self.i_stream.valid)),
            command.valid.eq(offered & ~self.flush),
            taken.eq(command.valid & command.ready),
        ]
        for index, source in enumerate(sources):
            m.d.comb += source.ready.eq(command.ready & ~self.flush & (registers_chosen == index))
        with m.If(taken):
            m.d.sync += inside.eq(~command.payload.last)
        with m.If(self.flush):
            m.d.sync += inside.eq(0)
        with m.If(self.flush | Mux(offered, taken & command.payload.last, ~inside)):
            m.d.sync += registers_chosen.eq(self.use_registers)
        return m
