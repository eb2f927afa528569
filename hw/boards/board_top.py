# SPDX-License-Identifier: Apache-2.0
"""Top level of a board: the TSU on its UART, a PLL, two lamps."""

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal

from hw.link.serial_tsu import SerialTsu

from .pll import PllSettings


class BoardTop(Elaboratable):
    """`SerialTsu` between the pins of a board.

    The TSU runs on the PLL's clock. It is in reset until the PLL has locked, and while the button is pressed. One lamp
    is on while a line is low, so that it glows while bytes pass, the other when a health test of the noise has failed.

    Parameters
    ----------
    tsu : SerialTsu
    pll : PllSettings
        From the oscillator to the clock that `tsu` was made for.
    button_inverted, lamps_inverted : bool
        The pin is low while the button is pressed, or while the lamp is on.
    """

    NAME = "top"
    CLK_NAME = "tsu_clk"
    """Net of the PLL's clock, which reports name."""

    PIN_NAMES = ("clk", "rst", "rx", "tx", "activity", "alarm")

    def __init__(self, tsu: SerialTsu, *, pll: PllSettings, button_inverted: bool, lamps_inverted: bool) -> None:
        self._tsu = tsu
        self._pll = pll
        self._button_inverted = button_inverted
        self._lamps_inverted = lamps_inverted
        self.pins = {name: Signal(name=name) for name in self.PIN_NAMES}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = sync = ClockDomain(local=True)
        m.domains.tsu = always = ClockDomain(reset_less=True, local=True)  # the same clock
        clk, locked = Signal(name=self.CLK_NAME, attrs={"keep": 1}), Signal()
        m.submodules.pll = self._pll.instance(clk_in=self.pins["clk"], clk_out=clk, locked=locked)
        held = Signal(2, init=0b11)
        m.d.comb += [always.clk.eq(clk), sync.clk.eq(clk), sync.rst.eq(held[1])]
        m.d.tsu += held.eq(held << 1 | (self.pins["rst"] ^ self._button_inverted) | ~locked)
        m.submodules.tsu = tsu = self._tsu
        m.d.comb += [
            tsu.rx.eq(self.pins["rx"]),
            self.pins["tx"].eq(tsu.tx),
            self.pins["activity"].eq(~(self.pins["rx"] & tsu.tx) ^ self._lamps_inverted),
            self.pins["alarm"].eq(tsu.alarm ^ self._lamps_inverted),
        ]
        return m

    def to_verilog(self, target: object = None) -> str:
        """The whole design as Verilog, without names of source files; `target.family` chooses its hard blocks."""
        ports = list(self.pins.values())
        text: str = verilog.convert(self, name=self.NAME, ports=ports, emit_src=False, platform=target)
        return text
