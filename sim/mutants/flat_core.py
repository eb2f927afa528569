# SPDX-License-Identifier: Apache-2.0
"""`TsuCore` as hardware has it, one clock and a reset, with plain port names."""

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal

from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore

TOP_NAME = "tsu"
"""Name of the top module."""

DRAW_FIELDS = ("token", "weight", "tail")
"""Fields of a draw; each is a port of its own for each lane, `<field>_<lane>`."""


class FlatCore(Elaboratable):
    """`TsuCore` behind single signals of at most 64 bits; the three streams keep both of their handshakes.

    Parameters
    ----------
    config : TsuConfig

    Attributes
    ----------
    pipeline_cycles : int
        Cycles from a noise word to its draw.
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._core = core = TsuCore(config=config)
        self.pipeline_cycles = int(core.latency_cycles)
        self._clock = ClockDomain("sync")
        self._clock.clk.name, self._clock.rst.name = "clk", "rst"
        command, status, beat = core.i_command, core.o_status, core.beat
        self.inputs = {
            "command_data": command.payload.data,
            "command_last": command.payload.last,
            "command_valid": command.valid,
            "status_ready": status.ready,
            "draw_ready": core.o_draw.ready,
            "register_address": core.register_address,
        }
        self.outputs = {
            "command_ready": command.ready,
            "status_valid": status.valid,
            "status_tag": status.payload.tag,
            "status_opcode": status.payload.opcode,
            "status_code": status.payload.code,
            "status_total": status.payload.total,
            "draw_valid": core.o_draw.valid,
            "draw_keep": beat.keep,
            "draw_spread": beat.spread,
            "draw_tag": beat.tag,
            "draw_last": beat.last,
            "register_data": core.register_data,
            "busy": core.busy,
        }
        for lane in range(config.lanes):
            for field in DRAW_FIELDS:
                self.outputs[f"{field}_{lane}"] = getattr(beat.draws[lane], field)
        self._pins = {name: Signal(len(value), name=name) for name, value in (self.inputs | self.outputs).items()}

    def elaborate(self, platform: object) -> Module:
        """Connect pins to the core."""
        m = Module()
        m.domains += self._clock
        m.submodules.core = self._core
        m.d.comb += [value.eq(self._pins[name]) for name, value in self.inputs.items()]
        m.d.comb += [self._pins[name].eq(value) for name, value in self.outputs.items()]
        return m

    def to_rtlil(self) -> str:
        """RTLIL text with the module `TOP_NAME` on top."""
        ports = [self._clock.clk, self._clock.rst, *self._pins.values()]
        return str(rtlil.convert(self, name=TOP_NAME, ports=ports))
