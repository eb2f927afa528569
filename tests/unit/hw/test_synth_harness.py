# SPDX-License-Identifier: Apache-2.0
import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.ulx3s import ULX3S_25F_Platform, ULX3S_85F_Platform

from hw.boards.harness import SynthHarness
from hw.boards.targets import TARGETS
from hw.boards.top import SynthTop
from hw.spec.config import PRESETS
from hw.synth.nextpnr import lpf_lines, pcf_lines

WIDTH = 5


class Echo(wiring.Component):
    """Sends the words it takes; `level_in` goes straight to `level_out`."""

    i_word: In(stream.Signature(WIDTH))
    o_word: Out(stream.Signature(WIDTH))
    level_in: In(3)
    level_out: Out(3)

    def elaborate(self, platform):
        m = Module()
        wiring.connect(m, wiring.flipped(self.i_word), wiring.flipped(self.o_word))
        m.d.comb += self.level_out.eq(self.level_in)
        return m


def simulate(harness, bench):
    simulator = Simulator(harness)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


async def shift_in(ctx, harness, values):
    """Shift in one value for each field, then present them."""
    ctx.set(harness.shift_stb, 1)
    for name, width in harness.input_layout.items():
        for index in range(width):
            ctx.set(harness.data_bit, values.get(name, 0) >> index & 1)
            await ctx.tick()
    ctx.set(harness.shift_stb, 0)
    ctx.set(harness.word_stb, 1)
    await ctx.tick()
    ctx.set(harness.word_stb, 0)


@pytest.mark.parametrize("word", range(1 << WIDTH))
def test_words_reach_the_core_once(word):
    core = Echo()
    harness = SynthHarness(core)
    taken = []

    async def bench(ctx):
        await shift_in(ctx, harness, {"i_word.payload": word, "i_word.valid": 1, "level_in": word & 7})
        for _ in range(6):
            await ctx.tick()
            if ctx.get(core.i_word.valid) and ctx.get(core.i_word.ready):
                taken.append((ctx.get(core.i_word.payload), ctx.get(core.level_in)))

    simulate(harness, bench)
    assert taken == [(word, word & 7)]


def test_hold_stalls_the_output_and_keeps_the_word():
    core = Echo()
    harness = SynthHarness(core)
    seen = []

    async def bench(ctx):
        ctx.set(harness.hold, 1)
        await shift_in(ctx, harness, {"i_word.payload": 19, "i_word.valid": 1})
        ctx.set(harness.shift_stb, 1)  # would spoil a word that is not taken yet
        for cycle in range(12):
            ctx.set(harness.hold, cycle < 8)
            await ctx.tick()
            if ctx.get(core.o_word.valid):
                seen.append((ctx.get(core.o_word.payload), ctx.get(core.o_word.ready)))

    simulate(harness, bench)
    assert {payload for payload, _ in seen} == {19}
    assert [ready for _, ready in seen].count(1) == 1
    assert len(seen) > 4


class Twins(wiring.Component):
    """Two outputs that are the same signal."""

    level_in: In(1)
    left: Out(1)
    right: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.left.eq(self.level_in), self.right.eq(self.level_in)]
        return m


def test_equal_outputs_do_not_cancel():
    """A plain parity of the outputs would stay 0; with a place for each bit the pin shows the step once."""
    harness = SynthHarness(Twins())
    seen = []

    async def bench(ctx):
        await shift_in(ctx, harness, {"level_in": 1})
        for _ in range(8):
            seen.append(ctx.get(harness.signature_bit))
            await ctx.tick()

    simulate(harness, bench)
    assert seen.count(1) == 1


@pytest.mark.parametrize("bit", range(3))
def test_each_output_bit_reaches_the_pin(bit):
    harness = SynthHarness(Echo())
    seen = []

    async def bench(ctx):
        ctx.set(harness.hold, 1)
        await shift_in(ctx, harness, {"level_in": 1 << bit})
        await ctx.tick().repeat(harness.output_bits)
        seen.append(ctx.get(harness.signature_bit))
        await shift_in(ctx, harness, {})
        await ctx.tick().repeat(harness.output_bits)
        seen.append(ctx.get(harness.signature_bit))

    simulate(harness, bench)
    assert seen == [1, 0]


def test_verilog_has_exactly_the_pins_of_the_constraints():
    top = SynthTop(SynthHarness(Echo()), rst_inverted=False)
    names = {signal.name for signal in top.ports}
    assert "module top(" in top.to_verilog()
    for target in TARGETS.values():
        assert set(target.pins) == names
        assert len(set(target.pins.values())) == len(names)
        assert target.preset in PRESETS


def resource_pins(platform):
    """Pins of every single-pin resource that a board file of amaranth-boards declares."""
    return {pin for (name, _), r in platform.resources.items() for pin in getattr(r.ios[0], "names", [])}


@pytest.mark.parametrize("board", ["ecp5-85f", "ecp5-25f"])
def test_ulx3s_pins_are_those_of_amaranth_boards(board):
    platform = {"ecp5-85f": ULX3S_85F_Platform, "ecp5-25f": ULX3S_25F_Platform}[board]()
    pins = TARGETS[board].pins
    assert pins["clk"] == platform.resources["clk25", 0].ios[0].names[0]
    assert set(pins.values()) <= resource_pins(platform)


def test_icebreaker_pins_are_those_of_amaranth_boards():
    platform = ICEBreakerPlatform()
    target = TARGETS["up5k"]
    assert target.pins["clk"] == platform.resources["clk12", 0].ios[0].names[0]
    assert target.pins["rst"] == platform.resources["button", 0].ios[0].names[0]
    assert target.rst_inverted == platform.resources["button", 0].ios[0].invert
    pmod = set(platform.connectors["pmod", 0].mapping.values())
    assert {target.pins[name] for name in ("data_bit", "shift_stb", "word_stb", "hold")} <= pmod


def test_constraint_lines():
    pins = {"clk": "G2", "rst": "V1"}
    assert lpf_lines(pins, "LVCMOS33", 150.0) == [
        'FREQUENCY PORT "clk" 150.0 MHZ;',
        'LOCATE COMP "clk" SITE "G2";',
        'IOBUF PORT "clk" IO_TYPE=LVCMOS33;',
        'LOCATE COMP "rst" SITE "V1";',
        'IOBUF PORT "rst" IO_TYPE=LVCMOS33;',
    ]
    assert pcf_lines({"clk": "35"}, 12.0) == ["set_io clk 35", "set_frequency clk 12.0"]
