# SPDX-License-Identifier: Apache-2.0
"""Boards: pins, clocks, and what their top level does with reset, line and lamps."""

from fractions import Fraction

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.boards.board_top import BoardTop
from hw.boards.boards import BOARDS
from hw.boards.pll import Ecp5Pll, Ice40Pll
from hw.boards.resources import find_pin
from hw.build import design
from hw.link.baud import BitTime
from hw.spec.config import PRESETS
from hw.spec.errors import SpecError

# Schematics: ULX3S v2.0 (github.com/emard/ulx3s, ulx3s_v20.lpf), iCEBreaker v1.0e (icebreaker.pcf).
PINS = {
    "ulx3s": {"clk": "G2", "rst": "V1", "rx": "M1", "tx": "L4", "activity": "B2", "alarm": "C2"},
    "icebreaker": {"clk": "35", "rst": "10", "rx": "6", "tx": "9", "activity": "37", "alarm": "11"},
}


@pytest.mark.parametrize("name", PINS)
def test_pins_are_those_of_the_schematic(name):
    target = BOARDS[name].target(clk_hz=BOARDS[name].clk_hz)
    assert target.pins == PINS[name]
    assert BOARDS["ulx3s-25f"].target(clk_hz=1).pins == PINS["ulx3s"]


def test_lamps_and_buttons_of_the_icebreaker_are_low_when_on():
    inverted = {board: {port: pin.inverted for port, pin in BOARDS[board].pins.items()} for board in PINS}
    assert inverted["icebreaker"] == {
        "clk": False,
        "rst": True,
        "rx": False,
        "tx": False,
        "activity": True,
        "alarm": True,
    }
    assert not any(inverted["ulx3s"].values())


def test_pulls():
    assert BOARDS["ulx3s"].target(clk_hz=1).pulls == {"rst": "DOWN"}
    assert BOARDS["icebreaker"].target(clk_hz=1).pulls == {"rx": "UP", "tx": "UP"}


@pytest.mark.parametrize("path", ["none", "uart", "uart.none", "led:99", "esp32.gpio0.x"])
def test_unknown_pins_are_refused(path):
    with pytest.raises(SpecError):
        find_pin(BOARDS["ulx3s"].platform, path)


@pytest.mark.parametrize("name", BOARDS)
def test_every_board_has_its_clock_and_line(name):
    board = BOARDS[name]
    board.pll(input_hz=board.oscillator_hz, output_hz=board.clk_hz)
    BitTime(clk_hz=board.clk_hz, baud=3_000_000)
    BitTime(clk_hz=board.clk_hz, baud=115_200)
    assert board.preset in PRESETS


def test_dividers_by_hand():
    # 12 MHz x 81 = 972 MHz, / 32; 25 MHz x 4 = 100 MHz with the VCO at 600 MHz.
    assert Ice40Pll(input_hz=12_000_000, output_hz=30_375_000).dividers == (1, 81, 32)
    assert Ecp5Pll(input_hz=25_000_000, output_hz=100_000_000).dividers == (1, 4, 6)


@pytest.mark.parametrize("output_mhz", range(10, 400, 5))
def test_ecp5_dividers_are_legal(output_mhz):
    """PFD 3.125..400 MHz, VCO 400..800 MHz, dividers 1..128; exact."""
    by_input, multiplier, by_output = Ecp5Pll(input_hz=25_000_000, output_hz=output_mhz * 1_000_000).dividers
    assert Fraction(25 * multiplier, by_input) == output_mhz
    assert 3.125 <= 25 / by_input <= 400
    assert 400 <= output_mhz * by_output <= 800
    assert max(by_input, multiplier, by_output) <= 128


@pytest.mark.parametrize(
    ("pll", "input_hz", "output_hz"), [(Ice40Pll, 12_000_000, 30_200_000), (Ecp5Pll, 25_000_000, 7)]
)
def test_frequencies_without_dividers_are_refused(pll, input_hz, output_hz):
    with pytest.raises(SpecError, match="clk_hz"):
        pll(input_hz=input_hz, output_hz=output_hz)


@pytest.mark.parametrize(("name", "block"), [("ulx3s-25f", "EHXPLLL"), ("icebreaker", "SB_PLL40_PAD")])
def test_verilog_has_the_pins_and_the_pll(name, block):
    changes = [f"{field}={value}" for field, value in PRESETS["tiny"].as_dict().items()]
    target, _, make_top = design(name, [*changes, "weight_source=table"], clk_mhz=None, baud=1_000_000)
    text = make_top().to_verilog(target)
    assert f"  {block} " in text
    assert set(target.pins) == set(BoardTop.PIN_NAMES)
    header = text[text.rindex("module top(") :]
    assert set(header[len("module top(") : header.index(")")].split(", ")) == set(BoardTop.PIN_NAMES)
    assert f"{target.clk_net}" in text


class Loop(wiring.Component):
    """A line that goes back, and an alarm that counts nothing."""

    rx: In(1)
    tx: Out(1, init=1)
    alarm: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.tx.eq(self.rx), self.alarm.eq(1)]
        return m


class Wire:
    """A PLL that has locked, its clock the pin."""

    def instance(self, *, clk_in, clk_out, locked):
        m = Module()
        m.d.comb += [clk_out.eq(clk_in), locked.eq(1)]
        return m


@pytest.mark.parametrize("inverted", [False, True])
def test_lamps_and_reset(inverted):
    """Nothing runs in reset; then bytes light one lamp and the alarm the other."""
    from amaranth.sim import Simulator

    top = BoardTop(Loop(), pll=Wire(), button_inverted=inverted, lamps_inverted=inverted)
    pins, seen = top.pins, []

    async def bench(ctx):
        async def step(cycles):
            for _ in range(cycles):
                ctx.set(pins["clk"], 1)
                await ctx.delay(1e-8)
                ctx.set(pins["clk"], 0)
                await ctx.delay(1e-8)
            seen.append([ctx.get(pins[name]) ^ inverted for name in ("activity", "alarm")] + [ctx.get(pins["tx"])])

        ctx.set(pins["rx"], 1)
        ctx.set(pins["rst"], 1 ^ inverted)  # pressed
        await step(4)
        ctx.set(pins["rst"], 0 ^ inverted)
        await step(4)
        ctx.set(pins["rx"], 0)
        await step(1)
        ctx.set(pins["rx"], 1)
        await step(2)
        ctx.set(pins["rst"], 1 ^ inverted)
        await step(3)

    simulator = Simulator(top)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [[0, 0, 1], [0, 1, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1]]
