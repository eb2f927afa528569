# SPDX-License-Identifier: Apache-2.0
"""The TSU with plain port names and open clocks, as the simulators in process want it."""

from amaranth.back import rtlil, verilog
from amaranth.hdl import ClockDomain, DomainRenamer, Elaboratable, Module, Signal
from amaranth.lib import fifo

from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore
from hw.tsu.layouts import command_layout

TOP_NAME = "tsu"
"""Name of the module."""

COMMAND_FIFO_DEPTH = 4
"""Command words between the port and the loader."""


class FlatTsu(Elaboratable):
    """`TsuCore` behind single signals of at most 64 bits; streams lose their double underscores.

    Made so that little logic hangs on the ports or is evaluated without need:

    * The clock domains have no reset: registers start from their initial values.
    * The loader has a clock of its own, `load_clk`, which the caller lets rise together with `clk` from the first word
      of a command until its status has come; an idle loader costs nothing. Its inputs go through a small FIFO.
    * The health monitors have a clock of their own, `monitor_clk`, which the caller lets rise with `load_clk`, and in
      some of the other cycles: what they miss is not examined.
    * `draw_enable` is registered: a beat is taken at each rising edge before which `draw_valid` is high, and an enable
      that falls before an edge stops the beats after it.
    * A status is taken as soon as `status_valid` is high.
    * `alarm` follows with `load_clk`.

    Parameters
    ----------
    config : TsuConfig
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self.core = TsuCore(config=config, load_domain="load", monitor_domain="monitor")
        self.clocks = [ClockDomain(name, reset_less=True) for name in ("sync", "load", "monitor")]
        self.clocks[0].clk.name = "clk"
        self.command = Signal(command_layout())
        self.command_valid, self.command_ready = Signal(), Signal()
        self.draw_enable, self.draw_valid = Signal(), Signal()
        beat = self.core.beat
        self.inputs = {
            "command_data": self.command.data,
            "command_last": self.command.last,
            "command_valid": self.command_valid,
            "draw_enable": self.draw_enable,
            "register_address": self.core.register_address,
        }
        self.outputs = {
            "command_ready": self.command_ready,
            "status_valid": self.core.o_status.valid,
            "status_code": self.core.o_status.payload.code,
            "status_total": self.core.o_status.payload.total,
            "draw_valid": self.draw_valid,
            "draw_keep": beat.keep,
            "draw_spread": beat.spread,
            "register_data": self.core.register_data,
            "alarm": self.core.alarm,
        }
        if config.groups > 1:
            self.outputs["draw_tag"] = beat.tag
        for lane in range(config.lanes):
            self.outputs[f"token_{lane}"] = beat.draws[lane].token
            self.outputs[f"weight_{lane}"] = beat.draws[lane].weight
            self.outputs[f"tail_{lane}"] = beat.draws[lane].tail
            if config.contexts:
                for name in ("spread", "stream", "ends"):
                    self.outputs[f"{name}_{lane}"] = getattr(beat.draws[lane], name)
        self.pins = {name: Signal(len(value), name=name) for name, value in (self.inputs | self.outputs).items()}

    def elaborate(self, platform: object) -> Module:
        """Connect pins to the core."""
        m = Module()
        m.domains += self.clocks
        m.submodules.core = core = self.core
        commands = fifo.SyncFIFOBuffered(width=len(self.command.as_value()), depth=COMMAND_FIFO_DEPTH)
        m.submodules.commands = DomainRenamer("load")(commands)
        enabled = Signal()
        m.d.sync += enabled.eq(self.draw_enable)
        m.d.comb += [
            commands.w_data.eq(self.command),
            commands.w_en.eq(self.command_valid),
            self.command_ready.eq(commands.w_rdy),
            core.i_command.payload.eq(commands.r_data),
            core.i_command.valid.eq(commands.r_rdy),
            commands.r_en.eq(core.i_command.ready),
            core.o_status.ready.eq(1),
            core.o_draw.ready.eq(enabled),
            self.draw_valid.eq(core.o_draw.valid & enabled),
        ]
        m.d.comb += [value.eq(self.pins[name]) for name, value in self.inputs.items()]
        m.d.comb += [self.pins[name].eq(value) for name, value in self.outputs.items()]
        return m

    def to_verilog(self) -> str:
        """Verilog text of the module `TOP_NAME`."""
        return str(verilog.convert(self, name=TOP_NAME, ports=self._ports(), strip_internal_attrs=True))

    def to_rtlil(self) -> str:
        """RTLIL text with the module `TOP_NAME` on top."""
        return str(rtlil.convert(self, name=TOP_NAME, ports=self._ports(), emit_src=False))

    def _ports(self) -> list[Signal]:
        return [*(domain.clk for domain in self.clocks), *self.pins.values()]
