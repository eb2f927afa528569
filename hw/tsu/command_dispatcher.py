# SPDX-License-Identifier: Apache-2.0
"""One stream of commands to several groups, and their statuses back into one stream."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.commands import COMMAND_VERSION, COMMON_FIELDS, Opcode
from hw.spec.config import GROUPS_LIMIT
from hw.spec.errors import check_int

from .layouts import command_layout, status_layout


class CommandDispatcher(wiring.Component):
    """Give each command to the group, or to all groups, that hw.spec.commands names; return statuses in command order.

    A group gets a word only in a cycle in which it takes it, so `o_command` is never valid without ready. A command for
    all groups is taken word by word in the same cycles by all of them: they execute it in lock step, and the answer of
    group 0 stands for all. A group answers each command once, and takes the next one only when its answer was taken.

    Parameters
    ----------
    groups : int
        In [2, 16].

    Members
    -------
    i_command : In(stream(word, last))
    o_command : groups x Out(stream(word, last))      `ready` must not depend on `valid`
    i_status : groups x In(stream(status))
    o_status : Out(stream(status))
    busy : Out(1)        a word waits here, a command has begun, or one has not been answered
    Latency      1 cycle from i_command to o_command; none from i_status to o_status
    Throughput   one word per cycle
    Reset        no command under way; the next LOAD goes to group 0
    Golden       hw.spec.commands.GroupChoice
    Raises       SpecError: groups
    """

    def __init__(self, *, groups: int) -> None:
        self._groups = check_int("groups", groups, 2, GROUPS_LIMIT)
        super().__init__(
            {
                "i_command": In(stream.Signature(command_layout())),
                "o_command": Out(stream.Signature(command_layout())).array(groups),
                "i_status": In(stream.Signature(status_layout())).array(groups),
                "o_status": Out(stream.Signature(status_layout())),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A word waits here for its groups, which were chosen when word 0 of its command came; a bit for each group.
        word, full, opens = Signal(command_layout()), Signal(), Signal()
        target, begins = Signal(self._groups), Signal(init=1)  # the next word is a word 0
        taken, sent, room = Signal(), Signal(), Signal()
        m.d.comb += [
            self.i_command.ready.eq(~full | sent),
            taken.eq(self.i_command.valid & self.i_command.ready),
            sent.eq(full & self._all(target, (port.ready for port in self.o_command)) & (room | ~opens)),
        ]
        with m.If(taken):
            m.d.sync += [
                full.eq(1),
                word.eq(self.i_command.payload),
                opens.eq(begins),
                begins.eq(self.i_command.payload.last),
            ]
        with m.Elif(sent):
            m.d.sync += full.eq(0)
        with m.If(taken & begins):
            m.d.sync += target.eq(self._choice(m, taken & begins))
        for port, chosen in zip(self.o_command, target, strict=True):
            m.d.comb += [port.payload.eq(word), port.valid.eq(sent & chosen)]

        first = self._order(m, target, push=sent & opens, room=room)
        m.d.comb += self.busy.eq(full | ~begins | first.any())
        return m

    @staticmethod
    def _all(needed: Value, there: Iterable[Value]) -> Value:
        """Whether all groups that are needed are there."""
        return ~(needed & ~Cat(there)).any()

    def _choice(self, m: Module, begin: Value) -> Signal:
        """Groups of the command whose word 0 is offered; `begin` says that it is taken."""
        turn, last = Signal(self._groups, init=1), Signal(self._groups, init=1)  # of the next LOAD, of the last one
        choice = Signal(self._groups)
        offered = self.i_command.payload.data
        version, opcode = (
            offered[COMMON_FIELDS[name].low :][: COMMON_FIELDS[name].width] for name in ("version", "opcode")
        )
        ours = version == COMMAND_VERSION
        m.d.comb += choice.eq(last)
        with m.If(ours & ((opcode == Opcode.SEED) | (opcode == Opcode.TABLE))):
            m.d.comb += choice.eq(~0)
            with m.If(begin & (opcode == Opcode.SEED)):
                m.d.sync += turn.eq(1)
        with m.Elif(ours & (opcode == Opcode.LOAD)):
            m.d.comb += choice.eq(turn)
            with m.If(begin):
                m.d.sync += [last.eq(turn), turn.eq(turn.rotate_left(1))]
        return choice

    def _order(self, m: Module, target: Signal, *, push: Value, room: Signal) -> Signal:
        """Hand over the status of the first command that was not answered; its groups."""
        # The first one is at place 0. A place that is not used has no group.
        places = [Signal(self._groups, name=f"place_{index}") for index in range(self._groups)]
        first, status, pop = places[0], self.o_status, Signal()
        m.d.comb += [
            room.eq(~places[-1].any()),
            status.valid.eq(first.any() & self._all(first, (port.valid for port in self.i_status))),
            pop.eq(status.valid & status.ready),
        ]
        for index, place in enumerate(places):
            behind = places[index + 1] if index + 1 < len(places) else Value.cast(0)
            before_used = places[index - 1].any() if index else Value.cast(1)
            with m.If(pop):
                m.d.sync += place.eq(behind)
                with m.If(push & place.any() & ~behind.any()):
                    m.d.sync += place.eq(target)
            with m.Elif(push & before_used & ~place.any()):
                m.d.sync += place.eq(target)
        # Of several groups, which answer alike, group 0 is heard.
        heard = Cat(first[0], first[1:] & ~first[0].replicate(self._groups - 1))
        answers = [port.payload.as_value() for port in self.i_status]
        masked = (answer & chosen.replicate(len(answer)) for chosen, answer in zip(heard, answers, strict=True))
        m.d.comb += status.payload.eq(reduce(or_, masked))
        for port, asked in zip(self.i_status, first, strict=True):
            m.d.comb += port.ready.eq(pop & asked)
        return first
