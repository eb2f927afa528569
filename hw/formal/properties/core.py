# SPDX-License-Identifier: Apache-2.0
"""TsuCore: stream rules of its outputs and of every stream inside, with any words for noise."""

from functools import partial

from amaranth.hdl import Cat, Cover

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.core import TsuCore
from hw.tsu.layouts import members

NARROW = PRESETS["tiny"].with_fields(
    k_max=2, vocab_max=8, weight_bits=4, headroom_bits=1, guard_bits=1, tail_noise_bits=3, weight_source="exp2"
)


def fill(b: Bench, *, config: TsuConfig) -> None:
    """Any commands, any noise, any stalls."""
    m = b.m
    core = TsuCore(config=config, external_noise=True)
    b.under_test(core)
    command = core.i_command
    b.stream_rule("i_command", command.valid, command.ready, command.payload.as_value(), promised=True)
    for index, words in enumerate(core.i_noise):
        b.stream_rule(f"i_noise_{index}", words.valid, words.ready, words.payload, promised=True)
    packed = {
        "o_draw": core.o_draw,
        "o_status": core.o_status,
    }
    for number, group in enumerate(core._groups):
        packed[f"loader_o_job_{number}"] = group.loader.o_job
        packed[f"scheduler_o_job_{number}"] = group.scheduler.o_job
    for name, stream in packed.items():
        b.stream_rule(name, stream.valid, stream.ready, stream.payload.as_value(), promised=False)
    loose = {"beat": core.beat, **{f"result_{index}": lane.o_result for index, lane in enumerate(core._lanes)}}
    for name, interface in loose.items():
        payload = Cat(value for field, value in members(interface) if field not in ("valid", "ready"))
        b.stream_rule(name, interface.valid, interface.ready, payload, promised=False)
    m.d.comb += Cover(core.o_status.valid & ~core.o_status.ready)


PROOFS = (
    Proof(
        name="core/groups-2",
        claims="the same of two groups of lanes, with the dispatcher and the merger between them",
        configuration="as narrow, 2 groups of 1 lane",
        fill=partial(fill, config=NARROW.with_fields(groups=2)),
        depth=20,
        cover_depth=18,
        bounded=True,
        bugs=(
            Bug(
                name="status-does-not-wait",
                where="command_dispatcher",
                old="pop.eq(status.valid & status.ready)",
                new="pop.eq(status.valid)",
                depth=18,
            ),
        ),
        map_memories=False,
    ),
    Proof(
        name="core/narrow",
        claims="stream rule of o_status, o_draw, both job streams and every lane's results, all components together",
        configuration=f"K = {NARROW.k_max}, {NARROW.uniform_bits}-bit thresholds, exp2, 1 lane, external noise",
        fill=partial(fill, config=NARROW),
        depth=24,
        cover_depth=16,
        bounded=True,
        bugs=(
            Bug(
                name="status-does-not-wait",
                where="loader",
                old="with m.If(self.o_status.ready):",
                new="with m.If(1):",
                depth=16,
            ),
        ),
        map_memories=False,
    ),
)
