# SPDX-License-Identifier: Apache-2.0
"""The boards that a TSU goes on: device, pins, clock, line, and how they are loaded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.ulx3s import ULX3S_25F_Platform, ULX3S_85F_Platform

from hw.link.baud import BitTime
from hw.link.serial_tsu import SerialTsu
from hw.spec.config import TsuConfig

from .board_top import BoardTop
from .pll import Ecp5Pll, Ice40Pll, PllSettings
from .resources import BoardPin, find_pin
from .targets import Target

DEFAULT_BAUD = 3_000_000
"""Rate of the line: the fastest of the USB bridge of the ULX3S; that of the iCEBreaker goes to 12 Mbaud."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """One board.

    Parameters
    ----------
    title, family, device_options, preset : str
        As in `Target`.
    platform : object
        Board description of amaranth-boards.
    resources : dict of str to str
        What each port of `BoardTop` is on it, as `find_pin` takes it.
    clk_hz : int
        Clock of the TSU, made by a PLL; a build that misses it fails.
    pll : type of PllSettings
    loader : tuple of str
        Options with which openFPGALoader writes its bitstream.
    bitstream : str
        File name of it.
    time_limit_s : int
        Longest time any one tool may take.
    """

    title: str
    family: str
    device_options: tuple[str, ...]
    preset: str
    platform: Any
    resources: Mapping[str, str]
    clk_hz: int
    pll: type[PllSettings]
    loader: tuple[str, ...]
    bitstream: str
    time_limit_s: int = 3600

    @property
    def pins(self) -> dict[str, BoardPin]:
        """Pin of each port of `BoardTop`."""
        return {port: find_pin(self.platform, path) for port, path in self.resources.items()}

    @property
    def oscillator_hz(self) -> int:
        """Frequency at the port `clk`."""
        return int(self.platform.default_clk_frequency)

    def check(self, *, clk_hz: int, baud: int) -> None:
        """Raise SpecError where PLL or line cannot have these frequencies."""
        self.pll(input_hz=self.oscillator_hz, output_hz=clk_hz)
        BitTime(clk_hz=clk_hz, baud=baud)

    def top(self, config: TsuConfig, *, clk_hz: int, baud: int) -> BoardTop:
        """The top level for a TSU. Raises SpecError as `check` does."""
        self.check(clk_hz=clk_hz, baud=baud)
        pins = self.pins
        return BoardTop(
            SerialTsu(config=config, clk_hz=clk_hz, baud=baud),
            pll=self.pll(input_hz=self.oscillator_hz, output_hz=clk_hz),
            button_inverted=pins["rst"].inverted,
            lamps_inverted=pins["alarm"].inverted,
        )

    def target(self, *, clk_hz: int) -> Target:
        """What place and route has to know of this board at a clock of the TSU."""
        pins = self.pins
        return Target(
            title=self.title,
            family=self.family,
            device_options=self.device_options,
            preset=self.preset,
            clk_mhz=clk_hz / 1e6,
            aim_mhz=clk_hz / 1e6,
            pins={port: found.pin for port, found in pins.items()},
            io_type=pins["clk"].attributes.get("IO_TYPE", ""),
            pulls={port: pull for port, found in pins.items() if (pull := _pull(found)) is not None},
            oscillator_mhz=self.oscillator_hz / 1e6,
            clk_net=BoardTop.CLK_NAME,
            time_limit_s=self.time_limit_s,
        )


def _pull(pin: BoardPin) -> str | None:
    """ "UP" or "DOWN" where the board asks for a pull-up or pull-down inside the FPGA."""
    if pin.attributes.get("PULLUP") == "1":
        return "UP"
    return pin.attributes.get("PULLMODE")


_ULX3S = Board(
    title="ULX3S, LFE5U-85F-6, with UART",
    family="ecp5",
    device_options=("--85k", "--package", "CABGA381", "--speed", "6"),
    preset="ecp5-85f",
    platform=ULX3S_85F_Platform(),
    resources={
        "clk": "clk25",
        "rst": "button_down",
        "rx": "uart.rx",
        "tx": "uart.tx",
        "activity": "led:0",
        "alarm": "led:1",
    },
    clk_hz=75_000_000,
    pll=Ecp5Pll,
    loader=("-b", "ulx3s"),
    bitstream="top.bit",
)

BOARDS: dict[str, Board] = {
    "ulx3s": _ULX3S,
    "ulx3s-25f": replace(
        _ULX3S,
        title="ULX3S, LFE5U-25F-6, with UART",
        device_options=("--25k", "--package", "CABGA381", "--speed", "6"),
        preset="ecp5-25f",
        platform=ULX3S_25F_Platform(),
    ),
    "icebreaker": Board(
        title="iCEBreaker, iCE40UP5K, with UART",
        family="ice40",
        device_options=("--up5k", "--package", "sg48"),
        preset="up5k",
        platform=ICEBreakerPlatform(),
        resources={
            "clk": "clk12",
            "rst": "button",
            "rx": "uart.rx",
            "tx": "uart.tx",
            "activity": "led_g",
            "alarm": "led_r",
        },
        clk_hz=30_375_000,
        pll=Ice40Pll,
        loader=("-b", "ice40_generic"),
        bitstream="top.bin",
    ),
}
"""Boards by the name that `--board` takes."""
