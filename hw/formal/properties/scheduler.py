# SPDX-License-Identifier: Apache-2.0
"""Scheduler: one start for each job, each lane its share, and the banks in use are known."""

from functools import partial

from amaranth.hdl import Cover, Signal

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.layouts import COUNT_BITS
from hw.tsu.scheduler import JOBS_PER_BANK, Scheduler

TINY = PRESETS["tiny"]


def fill(b: Bench, *, config: TsuConfig) -> None:
    """Any jobs; lanes and collector as slow as the solver likes."""
    m, lanes = b.m, config.lanes
    scheduler = Scheduler(config=config)
    design = b.under_test(scheduler)
    job, out = scheduler.i_job, scheduler.o_job
    b.stream("i_job", job, promised=True)
    b.assume(job.payload.count != 0, when=job.valid)
    b.stream("o_job", out, promised=False)
    arrives, starts = job.valid & job.ready, out.valid & out.ready

    # One job waits; it is handed over as it came.
    waiting, waits = Signal(job.payload.shape().size), Signal()
    m.d.sync += waits.eq(arrives | (waits & ~starts))
    with m.If(arrives):
        m.d.sync += waiting.eq(job.payload.as_value())
    b.claim(~waits, when=arrives)
    b.claim(waits & (out.payload.as_value() == waiting), when=out.valid)

    # The lanes: each takes its share one cycle after the hand-over, and is idle again whenever it likes.
    started = b.past(starts, name="started_job")
    count = b.past(out.payload.count, name="count_before")
    position = Signal(range(lanes))
    before = b.past(position, name="position_before")
    with m.If(starts):
        m.d.sync += position.eq(position + out.payload.count)
    with m.If(scheduler.restart_stb):
        m.d.sync += position.eq(0)
    b.assume(~waits & ~arrives, when=scheduler.restart_stb)
    for index, start in enumerate(scheduler.start):
        b.claim(start.stb == started)
        # How many i in [position, position + count) have i mod lanes == index.
        reach = Signal(COUNT_BITS + 1, name=f"reach_{index}")
        skipped = Signal(range(lanes), name=f"skipped_{index}")
        m.d.comb += [skipped.eq(index - before), reach.eq(count + lanes - 1 - skipped)]
        share = reach // lanes
        b.claim((start.count == share) & (start.some == (share != 0)), when=started)
        # A lane is not idle in the cycle after its start, and stays idle without one.
        given = b.past(start.stb & start.some, name=f"given_{index}")
        b.assume(~scheduler.idle[index], when=given)
        idle_before = b.past(scheduler.idle[index] & ~start.stb, name=f"idle_before_{index}")
        b.assume(scheduler.idle[index], when=idle_before)
        b.claim(scheduler.idle[index], when=start.stb)

    # Banks: never free while a job is between the loader and its last beat, but for one cycle after its arrival.
    for bank in range(2):
        enters = arrives & (job.payload.bank == bank)
        leaves = scheduler.done_stb & (scheduler.done_bank == bank)
        jobs = b.counter(range(JOBS_PER_BANK + 1), f"jobs_of_{bank}", up=enters, down=leaves)
        b.assume(jobs != 0, when=leaves)
        b.assume((jobs != JOBS_PER_BANK) | leaves, when=enters)
        late = b.past(jobs, name=f"jobs_late_{bank}")
        b.claim(scheduler.bank_in_use[bank] == (late != 0))
        m.d.comb += Cover(late == JOBS_PER_BANK)
        counted = design.signal(f"jobs_{bank}")
        b.claim(counted == late)
        b.claim(jobs <= JOBS_PER_BANK)
    m.d.comb += [Cover(starts & (position != 0) if lanes > 1 else starts), Cover(b.past(starts, name="s1") & arrives)]

    b.claim(design.waiting == waits)
    b.claim(design.first == position)


BUGS = (
    Bug(
        name="starts-on-a-stale-idle",
        where="scheduler",
        old="blocked.eq((blocked >> 1) | (starting << 1))",
        new="blocked.eq(starting)",
        depth=16,
    ),
    Bug(
        name="forgets-a-job",
        where="scheduler",
        old="with m.If(arrives & ~leaves):",
        new="with m.If(arrives & ~leaves & (jobs == 0)):",
        depth=10,
    ),
)
LANE_BUGS = (
    Bug(name="always-from-lane-0", where="scheduler", old="first.eq(first + single)", new="first.eq(0)", depth=12),
)

PROOFS = tuple(
    Proof(
        name=f"scheduler/lanes-{lanes}",
        claims="a start for each job, all lanes idle, each lane its share; bank_in_use one cycle late; stream rule",
        configuration=f"tiny, {lanes} lane" + "s" * (lanes > 1),
        fill=partial(fill, config=TINY.with_fields(lanes=lanes)),
        depth=5,
        cover_depth=24,
        bugs=BUGS + (LANE_BUGS if lanes > 1 else ()),
    )
    for lanes in (1, 4)
)
