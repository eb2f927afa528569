# SPDX-License-Identifier: Apache-2.0
"""What place and route has to know of a device, and the FPGAs on which the core alone is measured."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class Target:
    """One device on one board.

    Parameters
    ----------
    title : str
        Board and device, for people.
    family : str
        "ecp5" or "ice40": which tools build it.
    device_options : tuple of str
        Options of nextpnr that name the device, its package and speed grade.
    preset : str
        Key of `hw.spec.config.PRESETS`.
    clk_mhz : float
        Clock that a build must reach, MHz; a design that misses it fails.
    aim_mhz : float
        Clock that placement and routing aim at, MHz.
    pins : dict of str to str
        Package pin of each port of the top level.
    rst_inverted : bool
        The reset pin is low while reset is asked for.
    io_type : str
        Electrical standard of the pins (ECP5 only).
    time_limit_s : int
        Longest time any one tool may take.
    pulls : dict of str to str
        "UP" or "DOWN" for each port whose pin has a pull resistor inside the FPGA.
    oscillator_mhz : float or None
        Frequency at the port `clk` where that is not the clock that is reported.
    clk_net : str
        Net whose clock is reported.
    part : str
        What is built: "core", or "lane": one lane with its noise, without loader and collector.
    """

    title: str
    family: str
    device_options: tuple[str, ...]
    preset: str
    clk_mhz: float
    aim_mhz: float
    pins: dict[str, str]
    rst_inverted: bool = False
    io_type: str = ""
    time_limit_s: int = 3600
    pulls: Mapping[str, str] = field(default_factory=dict)
    oscillator_mhz: float | None = None
    clk_net: str = "clk"
    part: str = "core"


ULX3S_PINS = {
    "clk": "G2",  # 25 MHz oscillator
    "rst": "V1",  # button down
    "data_bit": "R1",  # button fire 0
    "shift_stb": "T1",  # button fire 1
    "word_stb": "R18",  # button up
    "hold": "U1",  # button left
    "signature_bit": "B2",  # LED 0
}
"""Clock, buttons and a LED of the ULX3S, every version of which has the same pins."""

ICEBREAKER_PINS = {
    "clk": "35",  # 12 MHz oscillator
    "rst": "10",  # user button
    "data_bit": "4",  # PMOD1A
    "shift_stb": "2",
    "word_stb": "47",
    "hold": "45",
    "signature_bit": "11",  # red LED
}
"""Clock, button, LED and the upper row of PMOD1A of the iCEBreaker."""

_ECP5_85F = Target(
    title="LFE5U-85F-6, core",
    family="ecp5",
    device_options=("--85k", "--package", "CABGA381", "--speed", "6"),
    preset="ecp5-85f",
    clk_mhz=150.0,
    aim_mhz=180.0,
    pins=ULX3S_PINS,
    io_type="LVCMOS33",
)
_ECP5_25F = replace(
    _ECP5_85F,
    title="LFE5U-25F-6, core",
    device_options=("--25k", "--package", "CABGA381", "--speed", "6"),
    preset="ecp5-25f",
)

TARGETS: dict[str, Target] = {
    "ecp5-85f": _ECP5_85F,
    "ecp5-85f-array": replace(
        _ECP5_85F, title="LFE5U-85F-6, array", preset="ecp5-85f-array", clk_mhz=126.0, aim_mhz=130.0
    ),
    "ecp5-25f": _ECP5_25F,
    "ecp5-lane": replace(
        _ECP5_25F, title="LFE5U-25F-6, one lane with its noise", clk_mhz=190.0, aim_mhz=220.0, part="lane"
    ),
    "up5k": Target(
        title="iCE40UP5K, core",
        family="ice40",
        device_options=("--up5k", "--package", "sg48"),
        preset="up5k",
        clk_mhz=12.0,
        aim_mhz=30.0,
        pins=ICEBREAKER_PINS,
        rst_inverted=True,
    ),
}
"""Cores, and one lane alone, on the pins of a board that has the device, by the name that `--board` takes."""
