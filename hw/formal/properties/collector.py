# SPDX-License-Identifier: Apache-2.0
"""Collector: every result goes into exactly one beat, in stream order, with the parameters of its job."""

from functools import partial

from amaranth.hdl import Cat, Cover, Mux, Signal
from amaranth.lib import data

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.collector import Collector
from hw.tsu.layouts import COUNT_BITS, job_layout

TINY = PRESETS["tiny"]


def fill(b: Bench, *, config: TsuConfig) -> None:
    """Any jobs, any results, any stalls."""
    m, lanes = b.m, config.lanes
    collector = Collector(config=config)
    design = b.under_test(collector)
    job, beat = collector.i_job, collector.o_beat
    b.stream("i_job", job, promised=True)
    b.assume(job.payload.count != 0, when=job.valid)
    for index, result in enumerate(collector.i_result):
        b.stream(f"i_result_{index}", result, promised=True)
    b.stream("o_beat", beat, promised=False)

    # The plain story: a queue of two jobs, the draws left of the older one, and the lane that is next.
    queue = [Signal(job_layout(), name=f"queue_{i}") for i in range(2)]
    queued = Signal(range(3))
    left = Signal(COUNT_BITS)
    lane = Signal(range(lanes))
    taken = [Signal(name=f"taken_{i}") for i in range(lanes)]
    m.d.comb += [flag.eq(result.valid & result.ready) for flag, result in zip(taken, collector.i_result, strict=True)]
    some, total = Cat(taken).any(), Signal(range(lanes + 1))
    m.d.comb += total.eq(sum(taken))
    arrives, ends = job.valid & job.ready, some & (left == total)
    b.claim(queued != 2, when=arrives)
    b.claim(ends == collector.done_stb)
    b.claim(collector.done_bank == queue[0].bank, when=ends)
    m.d.sync += queued.eq(queued + arrives - ends)
    following = Mux(queued == 2, queue[1], job.payload)
    with m.If(ends):
        m.d.sync += [queue[0].eq(following), left.eq(data.View(job_layout(), following).count)]
    with m.Elif(some):
        m.d.sync += left.eq(left - total)
    with m.Elif(arrives & (queued == 0)):
        m.d.sync += [queue[0].eq(job.payload), left.eq(job.payload.count)]
    with m.If(arrives):
        m.d.sync += queue[1].eq(job.payload)
    m.d.sync += lane.eq(lane + total)
    b.assume(queued == 0, when=collector.restart_stb)
    with m.If(collector.restart_stb):
        m.d.sync += lane.eq(0)

    # A beat takes the results of the next lanes, up to the last one or to the end of the job: in stream order.
    expected = [(index >= lane) & (left > index - lane) for index in range(lanes)]
    with m.If(some):
        b.claim(queued != 0)
        b.claim(Cat(taken) == Cat(expected))
    # What was taken is in the beat of the next cycle, and nothing else is ever in a new beat.
    was_free = b.past(~beat.valid | beat.ready, name="was_free", init=1)
    some_before = b.past(some, name="some_before")
    b.claim(beat.valid == some_before, when=was_free)
    b.claim(was_free, when=some_before)
    params = {"spread": collector.params.spread, "tail_weight": collector.params.tail_weight}
    copies = {name: Signal.like(value, name=f"copy_{name}") for name, value in params.items()}
    with m.If(collector.copied_stb):
        m.d.sync += [copies[name].eq(value) for name, value in params.items()]
    b.claim(design.begin & queue[0].fresh, when=collector.copied_stb)
    for index, result in enumerate(collector.i_result):
        weight = Mux(result.tail, copies["tail_weight"], result.weight)
        kept = b.past(taken[index], name=f"kept_{index}")
        moved = Cat(result.token, weight, result.tail)
        before = b.past(moved, name=f"moved_{index}")
        draw = beat.draws[index]
        with m.If(some_before):
            b.claim(beat.keep[index] == kept)
            b.claim(Cat(draw.token, draw.weight, draw.tail) == before, when=kept)
    told = b.past(Cat(queue[0].tag, copies["spread"], ends), name="told")
    b.claim(Cat(beat.tag, beat.spread, beat.last) == told, when=some_before)

    # What makes this inductive: the registers tell the same story.
    active, waiting = design.active, design.waiting
    b.claim(queued == active + waiting)
    b.claim(design.job.as_value() == Mux(active, queue[1], queue[0]), when=waiting)
    b.claim(design.job.count != 0, when=waiting)
    b.claim((left == queue[0].count) & (left != 0), when=waiting & ~active)
    b.claim(design.fills == (design.job.count >= lanes), when=waiting)
    b.claim(design.fills_just == (design.job.count == lanes), when=waiting)
    with m.If(active):
        b.claim(left != 0)
        b.claim(design.behind == (left + lane - (lanes + 1))[:COUNT_BITS], when=~design.ends)
        b.claim(design.following == (left + lane)[: len(lane)])
        b.claim(Cat(design.keep) == Cat(expected))
        b.claim(design.ends == (left <= lanes - lane))
        b.claim((design.tag == queue[0].tag) & (design.bank == queue[0].bank))
    b.claim(design.first == lane)
    b.claim((design.spread == copies["spread"]) & (design.tail_weight == copies["tail_weight"]))

    m.d.comb += [
        Cover(ends & (total == lanes)),
        Cover(ends & some_before),
        Cover(ends & (lane != 0 if lanes > 1 else 1)),
        Cover(collector.restart_stb & (lane != 0 if lanes > 1 else 1)),
        Cover(beat.valid & beat.last & beat.draws[0].tail & collector.copied_stb),
    ]


BUGS = (
    Bug(
        name="does-not-wait-for-the-beat",
        where="collector",
        old="~missing.any() & (~beat.valid | beat.ready)",
        new="~missing.any()",
        depth=10,
    ),
    Bug(
        name="tail-weight-of-a-leaf",
        where="collector",
        old="Mux(result.tail, tail_weight, result.weight)",
        new="result.weight",
        depth=10,
    ),
)
LANE_BUGS = (
    Bug(
        name="sends-before-all-are-there",
        where="collector",
        old="active & ~missing.any()",
        new="active & ~missing.all()",
        depth=10,
    ),
    Bug(name="starts-at-lane-0", where="collector", old="Mux(ends, following, 0)", new="0", depth=12),
)

PROOFS = tuple(
    Proof(
        name=f"collector/lanes-{lanes}",
        claims="each result is in exactly one beat, in stream order, with tag and parameters of its job; stream rule",
        configuration=f"tiny, {lanes} lane" + "s" * (lanes > 1),
        fill=partial(fill, config=TINY.with_fields(lanes=lanes)),
        depth=2,
        cover_depth=12,
        bugs=BUGS + (LANE_BUGS if lanes > 1 else ()),
    )
    for lanes in (1, 2, 4)
)
