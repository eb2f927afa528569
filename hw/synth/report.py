# SPDX-License-Identifier: Apache-2.0
"""What a synthesis run gave: resources, clock and draws per second, from the files that the tools wrote."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hw.spec.config import TsuConfig

from .tools import SynthError

REPORT_FOLDER = Path("docs/reference/fpga")
"""Where `make synth` keeps the reports that the FPGA table shows, one file for each board, in the checkout."""

CLK_PORT = "clk"
"""Top-level clock port; nextpnr derives the names of clock nets from it."""

RESOURCES: Mapping[str, Mapping[str, str]] = {
    "ecp5": {"LUT": "TRELLIS_COMB", "FF": "TRELLIS_FF", "BRAM": "DP16KD", "DSP": "MULT18X18D"},
    "ice40": {"LUT": "ICESTORM_LC", "FF": "ICESTORM_LC", "BRAM": "ICESTORM_RAM", "DSP": "ICESTORM_DSP"},
}
"""Kind of cell in nextpnr's report behind each column. An iCE40 logic cell holds one LUT and one flip-flop."""

FF_PREFIX = {"ice40": "SB_DFF"}
"""Where nextpnr does not count flip-flops by themselves: what their names in the netlist begin with."""


@dataclass(frozen=True)
class Usage:
    """How many of one resource are used, and how many the device has."""

    used: int
    available: int

    @property
    def share(self) -> float:
        """Used part of the device, 0..1."""
        return self.used / self.available


@dataclass(frozen=True, kw_only=True)
class SynthReport:
    """One synthesis run.

    Parameters
    ----------
    board, title : str
        Key in `hw.boards.boards.BOARDS` or `hw.boards.targets.TARGETS`, and board and device for people.
    config : dict
        Fields of the `TsuConfig`.
    resources : dict of str to Usage
        LUT, FF, BRAM, DSP; the harness of `hw.boards.harness` is counted in.
    fmax_mhz, clk_mhz : float
        Highest clock after routing, and the constraint, MHz.
    draws_per_cycle : float
        Lower bound for a saturated TSU, whatever the psi: lanes times `accepted_share`.
    bitstream_bytes : int
        Size of the bitstream.
    untimed_cells : tuple of str
        Kinds of cells in use whose delay the router does not know; their paths are not in `fmax_mhz`.
    seed : int
        Placement seed.
    tools : dict of str to str
        Versions of the tools.
    """

    board: str
    title: str
    config: dict[str, int | str]
    resources: dict[str, Usage]
    fmax_mhz: float
    clk_mhz: float
    draws_per_cycle: float
    bitstream_bytes: int
    untimed_cells: tuple[str, ...]
    seed: int
    tools: dict[str, str]

    @property
    def meets_clock(self) -> bool:
        """Whether the clock constraint is met."""
        return self.fmax_mhz >= self.clk_mhz

    @property
    def draws_per_s(self) -> float:
        """Draws per second at `fmax_mhz`."""
        return self.draws_per_cycle * self.fmax_mhz * 1e6

    def to_json(self) -> str:
        """The report as JSON; `from_json` reads it back."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "SynthReport":
        """A report that `to_json` wrote."""
        fields = json.loads(text)
        fields["resources"] = {name: Usage(**usage) for name, usage in fields["resources"].items()}
        fields["untimed_cells"] = tuple(fields["untimed_cells"])
        return cls(**fields)


def accepted_share(config: TsuConfig) -> float:
    """Least share of candidates that become draws, over every psi: (1 - 2^-G) (1 - vocab_max 2^-tail_noise_bits).

    docs/DESIGN_TSD.md, section 5: c Z > 2^U - Z >= 2^U (1 - 2^-G), and 2^tb mod n < n <= vocab_max; the two noise
    words are independent.
    """
    return (1 - 2.0**-config.guard_bits) * (1 - config.vocab_max * 2.0**-config.tail_noise_bits)


def read_usage(nextpnr_json: str, cells: Mapping[str, int], family: str) -> dict[str, Usage]:
    """LUT, FF, BRAM and DSP from nextpnr's JSON report, and the netlist's cell counts where it does not tell."""
    utilization = json.loads(nextpnr_json)["utilization"]
    usage = {name: Usage(**utilization[kind]) for name, kind in RESOURCES[family].items()}
    if family in FF_PREFIX:
        used = sum(count for name, count in cells.items() if name.startswith(FF_PREFIX[family]))
        usage["FF"] = Usage(used, usage["FF"].available)
    return usage


def read_fmax_mhz(nextpnr_json: str, net: str = CLK_PORT) -> float:
    """Highest clock of the domain of the clock port, MHz; or of `net`, which may have the name of a port below it.

    Raises SynthError when the report has no such clock.
    """
    clocks = json.loads(nextpnr_json)["fmax"]
    names = {net, CLK_PORT}
    ours = [clock["achieved"] for name, clock in clocks.items() if names & set(re.split(r"[$.]", name))]
    if not ours:
        raise SynthError(f"nextpnr reports no clock of port {net}: it has {', '.join(clocks) or 'none'}")
    return round(float(min(ours)), 2)


def read_untimed_cells(nextpnr_json: str) -> tuple[str, ...]:
    """Kinds of used cells without timing data: nextpnr treats each iCE40 multiplier as a register without delay."""
    utilization = json.loads(nextpnr_json)["utilization"]
    return tuple(kind for kind in ("ICESTORM_DSP",) if utilization.get(kind, {"used": 0})["used"])


def _usage_cell(usage: Usage) -> str:
    return f"{usage.used} ({100 * usage.share:.1f} %)"


def markdown_table(reports: Iterable[SynthReport]) -> str:
    """A row for each run: device, lanes, resources with device share, clock, draws per second."""
    rows = [
        "| Device | K, weight bits, lanes | LUT | FF | BRAM | DSP | Fmax, MHz | constraint, MHz | draws/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for report in reports:
        config = report.config
        cells = [
            report.title,
            f"{config['k_max']}, {config['weight_bits']}, {config['lanes']}",
            *(_usage_cell(report.resources[name]) for name in ("LUT", "FF", "BRAM", "DSP")),
            f"{report.fmax_mhz:.1f}" + (" (multipliers untimed)" if report.untimed_cells else ""),
            f"{report.clk_mhz:g}",
            f"{report.draws_per_s / 1e6:.1f} M",
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"
