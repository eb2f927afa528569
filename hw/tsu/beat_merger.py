# SPDX-License-Identifier: Apache-2.0
"""Beats of several groups into one stream."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from amaranth.hdl import C, Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import beat_signature, members, merged_beat_signature


class BeatMerger(wiring.Component):
    """Take beats of the groups in turn, each beat whole and with the number of its group.

    One group has the grant, a register; it keeps it while no other group offers a beat. The grant goes to the next
    group that offers one, in ascending order and then from group 0 on again: before a beat that is offered, each other
    group delivers one beat at most. Beats of one group keep their order.

    Parameters
    ----------
    config : TsuConfig
        Of at least 2 groups.

    Members
    -------
    i_beat : groups x In(beat)
    o_beat : Out(merged beat)
    Latency      1 cycle where the group has the grant; else one more, and what the groups before it take
    Throughput   one beat per cycle; a cycle is lost when the group with the grant has no beat and another one gets it
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._groups = config.groups
        super().__init__(
            {
                "i_beat": In(beat_signature(config)).array(config.groups),
                "o_beat": Out(merged_beat_signature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        grant, free, offered = Signal(self._groups, init=1), Signal(), Signal(self._groups)
        m.d.comb += [
            offered.eq(Cat(beat.valid for beat in self.i_beat)),
            free.eq(~self.o_beat.valid | self.o_beat.ready),
        ]
        m.d.comb += [beat.ready.eq(free & granted) for beat, granted in zip(self.i_beat, grant, strict=True)]
        others, has_beat = offered & ~grant, (offered & grant).any()
        with m.If(others.any() & (free | ~has_beat)):
            m.d.sync += grant.eq(self._following(grant, others))
        with m.If(free):
            m.d.sync += self.o_beat.valid.eq(has_beat)

        # While nothing waits here, the registers follow the group that has the grant: `valid` alone decides.
        columns = zip(members(self.o_beat), *(members(wiring.flipped(beat)) for beat in self.i_beat), strict=False)
        fields = [row for row in columns if row[0][0] not in ("valid", "ready")]
        numbers = [("group", C(index, len(self.o_beat.group))) for index in range(self._groups)]
        for place, ((_, port), *given) in enumerate([*fields, (("group", self.o_beat.group), *numbers)]):
            register = Signal.like(port, name=f"beat_{place}", reset_less=True)
            with m.If(free):
                m.d.sync += register.eq(self._chosen(grant, [value for _, value in given]))
            m.d.comb += port.eq(register)
        return m

    def take(self, m: Module, group: int, beat: wiring.PureInterface) -> None:
        """Connect a group's beat with its input (`wiring.connect` does not take arrays inside a flipped interface)."""
        for (name, port), (_, given) in zip(members(wiring.flipped(self.i_beat[group])), members(beat), strict=True):
            m.d.comb += given.eq(port) if name == "ready" else port.eq(given)

    @staticmethod
    def _chosen(grant: Value, values: Iterable[Value]) -> Value:
        """The value of the group that has the grant."""
        masked = (value & granted.replicate(len(value)) for granted, value in zip(grant, values, strict=True))
        return reduce(or_, masked)

    def _following(self, grant: Value, others: Value) -> Value:
        """The first of `others` behind the group that has the grant; a bit for each group."""
        nearest = []
        for index in range(self._groups):
            is_next = Value.cast(0)
            for distance in range(1, self._groups):
                holder = (index - distance) % self._groups
                between = [(holder + step) % self._groups for step in range(1, distance)]
                is_next = is_next | (grant[holder] & ~Cat(others[other] for other in between).any())
            nearest.append(others[index] & is_next)
        return Cat(nearest)
