# SPDX-License-Identifier: Apache-2.0
"""The board's TSU with plain port names, as the in-process simulator wants it."""

from amaranth.back import verilog
from amaranth.hdl import ClockDomain, Elaboratable, Module, Signal

from hw.link.serial_tsu import SerialTsu

TOP_NAME = "board"
"""Name of the Verilog module."""


class FlatBoard(Elaboratable):
    """`SerialTsu`, the component that goes on the FPGA, behind the ports `clk`, `rx` and `tx`.

    The clock domain has no reset: registers start from their initial values, as they do behind a bitstream.

    Parameters
    ----------
    tsu : SerialTsu
    """

    def __init__(self, tsu: SerialTsu) -> None:
        self._tsu = tsu
        self._clock = ClockDomain("sync", reset_less=True)
        self._clock.clk.name = "clk"
        self._rx, self._tx = Signal(name="rx", init=1), Signal(name="tx", init=1)

    def elaborate(self, platform: object) -> Module:
        """Connect the pins to the component."""
        m = Module()
        m.domains += self._clock
        m.submodules.tsu = self._tsu
        m.d.comb += [self._tsu.rx.eq(self._rx), self._tx.eq(self._tsu.tx)]
        return m

    def to_verilog(self) -> str:
        """Verilog text of the module `TOP_NAME`."""
        ports = [self._clock.clk, self._rx, self._tx]
        return str(verilog.convert(self, name=TOP_NAME, ports=ports, strip_internal_attrs=True))
