# SPDX-License-Identifier: Apache-2.0
"""The lane that is measured alone is a lane with its noise, and nothing of either is left out."""

from amaranth.hdl import Module, Value
from amaranth.sim import Simulator

from hw.boards.single_lane import SingleLane
from hw.spec.config import PRESETS
from hw.tsu.lane import Lane
from hw.tsu.layouts import start_layout
from hw.tsu.noise.bank import NoiseBank

CONFIG = PRESETS["tiny"]
WINDOW = 8192  # of the known-answer test


def test_lane_and_noise_are_whole() -> None:
    """Every port of the two but the words between them is a port; draws come, as many as were asked for."""
    lane = SingleLane(config=CONFIG)
    inside = {"lane": Lane(config=CONFIG), "bank": NoiseBank(CONFIG, monitored=True)}
    ports = {
        "_".join((part, *map(str, path))): (member.flow, len(Value.cast(value)))
        for part, component in inside.items()
        for path, member, value in component.signature.flatten(component)
        if path[0] not in ("i_words", "o_words")
    }
    assert {name: (port.flow, port.shape) for name, port in lane.signature.members.items()} == ports
    draws = 0

    async def ask(ctx) -> None:
        nonlocal draws
        ctx.set(lane.lane_params_reject_threshold, (1 << CONFIG.uniform_bits) - 1)
        ctx.set(lane.lane_params_tail_threshold, (1 << CONFIG.uniform_bits) - 1)
        ctx.set(lane.lane_o_result_ready, 1)
        start = {"stb": 1, "bank": 0, "fresh": 1, "some": 1, "count": 5}
        ctx.set(lane.lane_start, start_layout().const(start).as_value().value)
        await ctx.tick()
        ctx.set(lane.lane_start, 0)
        for _ in range(WINDOW + 100):
            _, _, valid = await ctx.tick().sample(lane.lane_o_result_valid)
            draws += valid

    m = Module()
    m.submodules.lane = lane
    m.submodules += inside.values()  # not simulated for anything, but Amaranth warns of a component that is not used
    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(ask)
    simulator.run()
    assert draws == 5
