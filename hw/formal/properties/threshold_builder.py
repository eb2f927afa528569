# SPDX-License-Identifier: Apache-2.0
"""ThresholdBuilder: for a legal psi no running sum leaves its width, and every threshold is exact."""

from functools import partial

from amaranth.hdl import Array, Cover, Signal

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.threshold_builder import ThresholdBuilder

NARROW = PRESETS["tiny"].with_fields(vocab_max=8, weight_bits=4, headroom_bits=1, guard_bits=1, tail_noise_bits=3)


def fill(b: Bench, *, config: TsuConfig) -> None:
    """One build of any legal psi: Z in [total_min, total_max] and c Z <= 2**uniform_bits."""
    m = b.m
    m.submodules.builder = builder = ThresholdBuilder(config=config)
    b.drive(builder, but=(builder.k_less_one, builder.scale, builder.tail_weight, builder.i_weight, builder.start_stb))
    k_less_one = b.constant(config.depth, "k_less_one")
    scale = b.constant(config.scale_bits, "scale")
    tail_weight = b.constant(config.total_bits, "tail_weight")
    weights = [b.constant(config.weight_bits, f"weight_{i}") for i in range(config.k_max)]
    b.m.d.comb += [builder.k_less_one.eq(k_less_one), builder.scale.eq(scale), builder.tail_weight.eq(tail_weight)]

    # Exact sums, in a width that no sum can leave.
    wide = config.total_bits + config.scale_bits + config.depth + 2
    sums = [Signal(wide, name=f"sum_{j}") for j in range(config.k_max + 1)]
    for j, weight in enumerate(weights):
        m.d.comb += sums[j + 1].eq(sums[j] + Array([weight, 0])[j > k_less_one])
    total = sums[-1] + tail_weight
    b.assume((total >= config.total_min) & (total <= config.total_max))
    b.assume((scale * total <= 1 << config.uniform_bits) & (scale != 0))
    for weight in weights:
        b.assume(weight != 0)

    # The weights come first, each in its turn; then the build.
    arrived = Signal(range(config.k_max + 1))
    go = b.free(1, "go")
    started = Signal()
    m.d.comb += [
        builder.i_weight.valid.eq(arrived <= k_less_one),
        builder.i_weight.index.eq(arrived),
        builder.i_weight.weight.eq(Array(weights)[arrived[: config.depth]]),
        builder.start_stb.eq((arrived > k_less_one) & go & ~started),
    ]
    m.d.sync += [arrived.eq(arrived + builder.i_weight.valid), started.eq(started | builder.start_stb)]
    b.assume(~builder.fill_stb)

    # Thresholds are c C_j - 1, unreduced; the parameters are c C_K - 1 and c Z - 1.
    write = builder.o_write
    with m.If(write.stb):
        b.claim(write.threshold + 1 == (scale * Array(sums)[write.boundary])[:wide])
        b.claim((write.boundary != 0) & (write.boundary <= k_less_one) & ~write.rank & (write.bank == builder.bank))
    written = Signal(range(config.k_max + 1))
    with m.If(write.stb):
        m.d.sync += written.eq(written + 1)
        b.claim(write.boundary == written + 1)
    done = b.past(started, name="started_before") & started & ~builder.busy
    with m.If(done):
        b.claim(builder.reject_threshold + 1 == (scale * total)[:wide])
        b.claim(builder.tail_threshold + 1 == (scale * sums[-1])[:wide])
        b.claim(written == k_less_one)
    m.d.comb += [Cover(done & (k_less_one == config.k_max - 1) & (tail_weight != 0)), Cover(done & (k_less_one == 0))]
    m.d.comb += Cover(done & builder.reject_threshold.all())


BUGS = (
    Bug(
        name="threshold-not-less-one",
        where="threshold_builder",
        old="threshold.eq(-1)",
        new="threshold.eq(0)",
        depth=14,
    ),
    Bug(
        name="one-weight-short",
        where="threshold_builder",
        old="at_end = entry == self.k_less_one",
        new="at_end = entry + 1 == self.k_less_one",
        depth=14,
    ),
    Bug(
        name="sum-one-bit-short",
        where="threshold_builder",
        old="summed.eq(threshold + multiplier.product)",
        new="summed.eq((threshold + multiplier.product)[: len(threshold) - 1])",
        depth=14,
    ),
)


def _proof(variant: str, depth: int, **changes: object) -> Proof:
    config = NARROW.with_fields(**changes)
    return Proof(
        name=f"threshold_builder/{variant}",
        claims="no sum of a legal psi leaves its width: thresholds are c C_j - 1, the last ones c C_K - 1 and c Z - 1",
        configuration=f"K = {config.k_max}, weights {config.weight_bits}, Z {config.total_bits}, "
        f"c {config.scale_bits} bits, level_stages {config.level_stages}; one build from reset",
        fill=partial(fill, config=config),
        depth=depth,
        cover_depth=depth,
        bounded=True,
        bugs=BUGS,
    )


PROOFS = (_proof("narrow", 16),)
