# SPDX-License-Identifier: Apache-2.0
"""TsuCore: stream rules of its outputs and of every stream inside, with any words for noise."""

from functools import partial

from amaranth.hdl import Cat, Cover

from hw.formal.bench import Bench, Opened
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
    m.submodules.core = core = TsuCore(config=config, external_noise=True)
    design = Opened(core)
    b.drive(core)
    command = core.i_command
    b.stream_rule("i_command", command.valid, command.ready, command.payload.as_value(), promised=True)
    for index, words in enumerate(core.i_noise):
        b.stream_rule(f"i_noise_{index}", words.valid, words.ready, words.payload, promised=True)
    packed = {
        "o_draw": core.o_draw,
        "o_status": core.o_status,
        "loader_o_job": design.loader.o_job,
        "scheduler_o_job": design.scheduler.o_job,
    }
    for name, stream in packed.items():
        b.stream_rule(name, stream.valid, stream.ready, stream.payload.as_value(), promised=False)
    results = [getattr(design.submodules, f"lane_{index}").o_result for index in range(config.lanes)]
    for name, interface in {"beat": core.beat, **{f"result_{i}": result for i, result in enumerate(results)}}.items():
        payload = Cat(value for field, value in members(interface) if field not in ("valid", "ready"))
        b.stream_rule(name, interface.valid, interface.ready, payload, promised=False)
    m.d.comb += Cover(core.o_status.valid & ~core.o_status.ready)


PROOFS = (
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
