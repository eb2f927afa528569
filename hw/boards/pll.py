# SPDX-License-Identifier: Apache-2.0
"""Clock multipliers: dividers that give a frequency exactly, and the hard blocks with them.

Ranges are those of the Lattice documents FPGA-DS-02012 (ECP5), FPGA-DS-02008 and FPGA-TN-02052 (iCE40).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from amaranth.hdl import Instance, Signal

from hw.spec.errors import SpecError

MHZ = 1_000_000


@dataclass(frozen=True, kw_only=True)
class PllSettings(ABC):
    """Dividers between two frequencies.

    Parameters
    ----------
    input_hz, output_hz : int

    Raises
    ------
    SpecError
        No legal dividers give `output_hz` exactly.
    """

    input_hz: int
    output_hz: int

    def __post_init__(self) -> None:
        _ = self.dividers

    @property
    def dividers(self) -> tuple[int, int, int]:
        """Divider of the input, multiplier, divider of the output."""
        found = self._search()
        if found is None:
            raise SpecError("clk_hz", self.output_hz, f"a frequency that the PLL makes of {self.input_hz} Hz")
        return found

    @abstractmethod
    def _search(self) -> tuple[int, int, int] | None:
        """Legal dividers; None where there are none."""

    @abstractmethod
    def instance(self, *, clk_in: Signal, clk_out: Signal, locked: Signal) -> Instance:
        """The hard block."""


class Ecp5Pll(PllSettings):
    """EHXPLLL, its feedback from the output itself: f_out = f_in multiplier / input divider."""

    VCO_HZ: ClassVar[range] = range(400 * MHZ, 800 * MHZ + 1)
    PHASE_HZ: ClassVar[range] = range(3_125_000, 400 * MHZ + 1)

    def _search(self) -> tuple[int, int, int] | None:
        for by_input in range(1, 129):
            multiplier, rest = divmod(self.output_hz * by_input, self.input_hz)
            slow = self.input_hz // by_input not in self.PHASE_HZ
            if rest or slow or not 1 <= multiplier <= 128:
                continue
            legal = [o for o in range(1, 129) if self.output_hz * o in self.VCO_HZ]
            if legal:
                return by_input, multiplier, min(legal, key=lambda o: abs(self.output_hz * o - 600 * MHZ))
        return None

    def instance(self, *, clk_in: Signal, clk_out: Signal, locked: Signal) -> Instance:
        """EHXPLLL with one output."""
        by_input, multiplier, by_output = self.dividers
        unused = ("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP", "PHASELOADREG", "PLLWAKESYNC")
        return Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=str(self.input_hz / MHZ),
            a_FREQUENCY_PIN_CLKOP=str(self.output_hz / MHZ),
            a_ICP_CURRENT="12",
            a_LPF_RESISTOR="8",
            a_MFG_ENABLE_FILTEROPAMP="1",
            a_MFG_GMCREF_SEL="2",
            p_PLLRST_ENA="DISABLED",
            p_INTFB_WAKE="DISABLED",
            p_STDBY_ENABLE="DISABLED",
            p_DPHASE_SOURCE="DISABLED",
            p_OUTDIVIDER_MUXA="DIVA",
            p_CLKOP_ENABLE="ENABLED",
            p_CLKI_DIV=by_input,
            p_CLKFB_DIV=multiplier,
            p_CLKOP_DIV=by_output,
            p_CLKOP_CPHASE=by_output - 1,
            p_CLKOP_FPHASE=0,
            p_FEEDBK_PATH="CLKOP",
            **{f"i_{name}": 0 for name in (*unused, "ENCLKOP")},
            i_CLKI=clk_in,
            i_CLKFB=clk_out,
            o_CLKOP=clk_out,
            o_LOCK=locked,
        )


class Ice40Pll(PllSettings):
    """SB_PLL40_PAD with internal feedback: f_out = f_in (DIVF + 1) / ((DIVR + 1) 2^DIVQ)."""

    VCO_HZ: ClassVar[range] = range(533 * MHZ, 1066 * MHZ + 1)
    PHASE_HZ: ClassVar[range] = range(10 * MHZ, 133 * MHZ + 1)
    FILTER_BELOW_MHZ: ClassVar[tuple[int, ...]] = (17, 26, 44, 66, 101)
    """Upper ends of the ranges 1 to 5 of the loop filter; above the last one it is range 6."""

    def _search(self) -> tuple[int, int, int] | None:
        for by_input in range(1, 17):
            for shift in range(1, 7):
                multiplier, rest = divmod(self.output_hz * by_input << shift, self.input_hz)
                legal = self.input_hz // by_input in self.PHASE_HZ and self.output_hz << shift in self.VCO_HZ
                if not rest and legal and 1 <= multiplier <= 128:
                    return by_input, multiplier, 1 << shift
        return None

    def instance(self, *, clk_in: Signal, clk_out: Signal, locked: Signal) -> Instance:
        """SB_PLL40_PAD: `clk_in` must be on the pin of the PLL."""
        by_input, multiplier, by_output = self.dividers
        phase_hz = self.input_hz // by_input
        return Instance(
            "SB_PLL40_PAD",
            p_FEEDBACK_PATH="SIMPLE",
            p_DIVR=by_input - 1,
            p_DIVF=multiplier - 1,
            p_DIVQ=by_output.bit_length() - 1,
            p_FILTER_RANGE=1 + sum(phase_hz >= limit * MHZ for limit in self.FILTER_BELOW_MHZ),
            i_PACKAGEPIN=clk_in,
            i_RESETB=1,
            i_BYPASS=0,
            o_PLLOUTGLOBAL=clk_out,
            o_LOCK=locked,
        )
