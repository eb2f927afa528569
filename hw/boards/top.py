# SPDX-License-Identifier: Apache-2.0
"""Top level of a synthesis run: clock and reset pins around the harness."""

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal

from .harness import SynthHarness


class SynthTop(Elaboratable):
    """Clock pin, synchronised reset pin and the pins of a `SynthHarness`.

    Parameters
    ----------
    harness : SynthHarness
        What is clocked by the pin.
    rst_inverted : bool
        The reset pin is low while reset is asked for.
    """

    NAME = "top"

    def __init__(self, harness: SynthHarness, *, rst_inverted: bool) -> None:
        self.harness = harness
        self.rst_inverted = rst_inverted
        self.clk = Signal()
        self.rst = Signal()

    @property
    def ports(self) -> list[Signal]:
        """Every pin, under the names that the constraint files use."""
        return [self.clk, self.rst, *(getattr(self.harness, name) for name in self.harness.PIN_NAMES)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.pad = pad = ClockDomain(reset_less=True, local=True)
        m.domains.sync = sync = ClockDomain(local=True)
        held = Signal(2, init=0b11)  # power-on reset, then the pin through two registers
        m.d.comb += [pad.clk.eq(self.clk), sync.clk.eq(self.clk), sync.rst.eq(held[1])]
        m.d.pad += held.eq(held << 1 | (self.rst ^ self.rst_inverted))
        m.submodules.harness = self.harness
        return m

    def to_verilog(self, target: object = None) -> str:
        """The whole design as Verilog, without names of source files; `target.family` chooses its hard blocks."""
        text: str = verilog.convert(self, name=self.NAME, ports=self.ports, emit_src=False, platform=target)
        return text
