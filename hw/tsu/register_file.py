# SPDX-License-Identifier: Apache-2.0
"""Read-only registers: identity, configuration, health."""

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig
from hw.spec.registers import ADDRESS_BITS, REGISTERS, constant_values

__all__ = ["ADDRESS_BITS", "RegisterFile"]


class RegisterFile(wiring.Component):
    """The registers of hw.spec.registers.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    address : In, data : Out(32)     data follows address by one cycle; unused addresses read 0
    refused_stb : In(1)              a command was refused
    locked_up : In(lanes)            a noise generator of the lane met the all-zero state
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        super().__init__(
            {"address": In(ADDRESS_BITS), "data": Out(32), "refused_stb": In(1), "locked_up": In(config.lanes)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        refused, counts = Signal(32), Signal()
        m.d.sync += counts.eq(self.refused_stb)
        with m.If(counts & ~refused.all()):
            m.d.sync += refused.eq(refused + 1)
        live = {"REFUSED_COUNT": refused, "NOISE_LOCKUP": self.locked_up[:32]}
        values = constant_values(self._config) | live
        with m.Switch(self.address):
            for name, register in REGISTERS.items():
                with m.Case(register.address):
                    m.d.sync += self.data.eq(values[name])
            with m.Default():
                m.d.sync += self.data.eq(0)
        return m
