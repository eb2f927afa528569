# SPDX-License-Identifier: Apache-2.0
"""PBitTree: every candidate ends in its bucket, and is in bounds at every level on the way."""

from functools import partial
from itertools import pairwise

from amaranth.hdl import Array, Cat, Cover, Signal

from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.pbit_tree import PBitTree

TINY = PRESETS["tiny"]


def fill(b: Bench, *, config: TsuConfig) -> None:
    """One tree of one bank, chosen by the solver, holds any ascending thresholds; all others change at will."""
    m = b.m
    tree = PBitTree(config=config)
    b.latency_cycles = tree.latency_cycles
    design = b.under_test(tree)
    bank, rank = b.constant(1, "bank"), b.constant(1, "rank")
    # Boundary 0 lies below everything and boundary k_max above: thresholds are the largest values that stay below.
    inner = [b.constant(config.uniform_bits, f"threshold_{j}") for j in range(1, config.k_max)]
    for lower, upper in pairwise(inner):
        b.assume(lower <= upper)
    thresholds = Array([0, *inner])  # by boundary

    # Its thresholds are written, each at least once and in any order, before candidates ask for them.
    write, written = tree.i_write, Signal(config.k_max, init=1)
    ours = write.stb & (write.bank == bank) & (write.rank == rank)
    with m.If(ours):
        m.d.sync += written.bit_select(write.boundary, 1).eq(1)
    b.assume((write.threshold == thresholds[write.boundary]) & (write.boundary != 0), when=ours)
    b.assume(~written.all(), when=ours)
    route = tree.i.route
    b.assume(written.all(), when=route.valid & (route.bank == bank) & (route.tail == rank))

    # What makes this inductive: what the memories hold.
    for level in range(config.depth):
        memory = Opened(getattr(design.submodules, f"level_{level}")).submodules.memory
        for node in range(1 << level):
            boundary = ((2 * node + 1) << (config.depth - level)) >> 1
            probe = memory.read_port(domain="comb")
            m.d.comb += probe.addr.eq(Cat(*[(node >> i) & 1 for i in range(level)], rank, bank)[: level + 2])
            b.claim(probe.data == thresholds[boundary], when=written[boundary])

    for level in range(config.depth):
        o = getattr(design.submodules, f"level_{level}").o
        held = o.route.valid & (o.route.bank == bank) & (o.route.tail == rank)
        for path in range(2 << level):
            low, high = (edge << (config.depth - level - 1) for edge in (path, path + 1))
            here = held & (o.route.path == path)
            if low > 0:
                b.claim(o.value > thresholds[low], when=here)
            if high < config.k_max:
                b.claim(o.value <= thresholds[high], when=here)
            m.d.comb += Cover(here)

    # What goes in comes out: value and flags, `latency_cycles` later.
    expected, known = Cat(tree.i.value, route.valid, route.tail, route.bank, route.past_last), 1
    for stage in range(tree.latency_cycles):
        expected, known = b.past(expected, name=f"expected_{stage}"), b.past(known, name=f"known_{stage}")
    found = tree.o.route
    b.claim(Cat(tree.o.value, found.valid, found.tail, found.bank, found.past_last) == expected, when=known)


BUGS = (
    Bug(
        name="fires-on-equal",
        where="pbit",
        old="self.fires.eq(self.threshold < self.value)",
        new="self.fires.eq(self.threshold <= self.value)",
        depth=16,
    ),
    Bug(
        name="banks-share-memory",
        where="pbit_level",
        old="Cat(self.i_write.boundary[height:], self.i_write.rank, self.i_write.bank)",
        new="Cat(self.i_write.boundary[height:], self.i_write.rank, 0)",
        depth=16,
    ),
    Bug(
        name="path-upside-down",
        where="pbit_level",
        old="self.i_write.boundary[height:], self.i_write.rank",
        new="self.i_write.boundary[height:][::-1], self.i_write.rank",
        depth=16,
    ),
)
SPLIT_BUGS = (
    Bug(
        name="low-half-decides",
        where="pbit",
        old="Mux(low_not_above, ~not_above, ~below)",
        new="Mux(low_not_above, ~not_above, 1)",
        depth=16,
    ),
)


def _proof(variant: str, bugs: tuple[Bug, ...], **changes: object) -> Proof:
    config = TINY.with_fields(**changes)
    return Proof(
        name=f"pbit_tree/{variant}",
        claims="the leaf k has C_k <= u < C_(k+1), and the path to it is in bounds at every level",
        configuration=f"K = {config.k_max}, {config.uniform_bits}-bit thresholds, level_stages {config.level_stages}"
        + ", block_ram" * config.block_ram,
        fill=partial(fill, config=config),
        depth=2,
        beside_latency=True,
        cover_depth=config.k_max + 3,
        bugs=bugs,
    )


PROOFS = (
    _proof("tiny", BUGS[:2]),
    _proof("block-ram", BUGS[:2], block_ram=True),
    _proof("stages-2", BUGS[:2], level_stages=2),
    _proof("stages-3", SPLIT_BUGS, level_stages=3),
    _proof("k-8", BUGS, k_max=8, headroom_bits=2),
)
