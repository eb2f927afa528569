# SPDX-License-Identifier: Apache-2.0
"""Read-only registers: identity, configuration, health."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig
from hw.spec.registers import (
    ADDRESS_BITS,
    HEALTH_TESTING_BIT,
    LANE_REGISTERS,
    REGISTER_LANES,
    REGISTERS,
    Alarm,
    constant_values,
)

__all__ = ["ADDRESS_BITS", "RegisterFile"]


def alarms_layout(config: TsuConfig) -> data.StructLayout:
    """One bit a lane for each health test."""
    return data.StructLayout({alarm.name.lower(): config.all_lanes for alarm in Alarm})


class RegisterFile(wiring.Component):
    """The registers of hw.spec.registers.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    address : In, data : Out(32)     data follows address by one cycle; unused addresses read 0
    refused_stb : In(1)              a command was refused
    alarms : In(alarms_layout)       what the health tests of each lane's noise say
    testing : In(1)                  the known-answer test runs
    alarm : Out(1)                   some alarm is raised, one cycle after it was
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        super().__init__(
            {
                "address": In(ADDRESS_BITS),
                "data": Out(32),
                "refused_stb": In(1),
                "alarms": In(alarms_layout(config)),
                "testing": In(1),
                "alarm": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        refused, counts = Signal(32), Signal()
        m.d.sync += counts.eq(self.refused_stb)
        with m.If(counts & ~refused.all()):
            m.d.sync += refused.eq(refused + 1)
        lanes = {alarm: getattr(self.alarms, alarm.name.lower()) for alarm in Alarm}
        any_lane = Signal(len(Alarm))
        m.d.sync += any_lane.eq(Cat(lanes[alarm].any() for alarm in Alarm))
        m.d.comb += self.alarm.eq(any_lane.any())
        health = Cat(any_lane, Signal(HEALTH_TESTING_BIT - len(Alarm)), self.testing)
        live = {"REFUSED_COUNT": refused, "HEALTH": health}
        live |= {name: lanes[alarm][:REGISTER_LANES] for alarm, name in LANE_REGISTERS.items()}
        values = constant_values(self._config) | live
        with m.Switch(self.address):
            for name, register in REGISTERS.items():
                with m.Case(register.address):
                    m.d.sync += self.data.eq(values[name])
            with m.Default():
                m.d.sync += self.data.eq(0)
        return m
