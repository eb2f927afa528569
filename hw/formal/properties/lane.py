# SPDX-License-Identifier: Apache-2.0
"""Lane: credits. never more draws than asked for, never more results than places, one result for each accepted word."""

from functools import partial

from amaranth.hdl import Cat, Cover, Signal

from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.lane import Lane
from hw.tsu.layouts import COUNT_BITS

from .credit_fifo import claim_entries
from .owed_counter import owed_invariant

NARROW = PRESETS["tiny"].with_fields(
    k_max=2, vocab_max=8, weight_bits=4, headroom_bits=1, guard_bits=1, tail_noise_bits=3
)


def fill(b: Bench, *, config: TsuConfig) -> None:
    """Any words, any parameters, any starts that the scheduler may give, any stalls."""
    m = b.m
    lane = Lane(config=config)
    b.latency_cycles = lane.latency_cycles
    design = b.under_test(lane)
    room, owed_counter = design.of("_issue", "room"), design.of("_issue", "owed")
    results, candidates = design.results, design.of("_issue", "candidates")
    issue = lane.i_words.valid & lane.i_words.ready
    write, pop = results.write_stb, lane.o_result.valid & lane.o_result.ready

    b.stream("o_result", lane.o_result, promised=False)

    # Starts as the scheduler gives them.
    start = lane.start
    b.assume(lane.idle & (start.some == (start.count != 0)), when=start.stb)
    b.assume(start.stb, when=start.fresh)

    # Every word that was taken and not rejected since, by its age; each becomes one result at one age.
    to_fifo, decided = lane.latency_cycles - results.latency_cycles, candidates.latency_cycles + 1
    alive = Signal(to_fifo)
    rejects = Signal(to_fifo)
    m.d.comb += rejects[decided - 1].eq(candidates.reject_stb)
    m.d.sync += alive.eq(Cat(issue, alive & ~rejects))
    b.claim(alive[decided - 1], when=candidates.reject_stb)
    b.claim(write == alive[-1])
    undecided = alive[: decided - 1].any() | candidates.reject_stb
    b.claim(candidates.busy == undecided)

    # Draws owed, by a plain counter.
    owed = Signal(COUNT_BITS)
    with m.If(start.stb):
        m.d.sync += owed.eq(start.count)
    with m.Else():
        m.d.sync += owed.eq(owed - issue + candidates.reject_stb)
    b.claim(owed != 0, when=issue)
    b.claim((owed == 0) & ~undecided, when=lane.idle)
    # What is owed and what may come back to it is no more than was asked for.
    asked = Signal(COUNT_BITS)
    with m.If(start.stb):
        m.d.sync += asked.eq(start.count)
    back = sum(alive[: decided - 1]) + candidates.reject_stb
    b.claim((owed <= asked) & (back <= asked - owed))
    owed_invariant(b, Opened(owed_counter), owed_counter, owed)

    # Places of the FIFO, and that of a skid buffer behind it: never more entries than places, and the credits add up.
    entries = b.counter(range(lane.fifo_depth + 1), "entries", up=write, down=pop)
    b.claim(entries != lane.fifo_depth, when=write)
    b.claim(entries != 0, when=pop)
    kept = Opened(design.skid).kept if config.pipelined else 0
    claim_entries(b, Opened(results), results, entries - kept, block_ram=config.block_ram)
    popped = b.past(pop, name="popped")
    b.claim(room + sum(alive) + entries + popped == lane.fifo_depth)
    b.claim(room != 0, when=issue)
    b.claim((owed != 0) & (room != 0), when=lane.i_words.ready)
    m.d.comb += [
        Cover(candidates.reject_stb & (owed == 0)),
        Cover((room == 1) & (owed != 0)),
        Cover(start.stb & write),
    ]


BUGS = (
    Bug(
        name="reject-keeps-its-place",
        where="lane",
        old="room.eq(room + pop + rejected - issue)",
        new="room.eq(room + pop - issue)",
        depth=12,
    ),
    Bug(
        name="one-place-too-many",
        where="lane",
        old="owes_next & (room > 1)",
        new="owes_next & (room > 0)",
        depth=40,
    ),
    Bug(
        name="reject-is-not-owed-again",
        where="lane",
        old="owed.returned.eq(returned)",
        new="owed.returned.eq(0)",
        depth=16,
    ),
    Bug(
        name="idle-with-undecided-words",
        where="lane",
        old="self.idle.eq(~owed.owes & ~deciding)",
        new="self.idle.eq(~owed.owes)",
        depth=12,
    ),
)


def _proof(variant: str, **changes: object) -> Proof:
    config = NARROW.with_fields(**changes)
    return Proof(
        name=f"lane/{variant}",
        claims="a word only for a draw owed and a place free; one result for each accepted word; at most "
        "fifo_depth entries; stream rule",
        configuration=f"K = {config.k_max}, lanes {config.lanes}, level_stages {config.level_stages}"
        + ", block_ram" * config.block_ram,
        fill=partial(fill, config=config),
        depth=1,
        beside_latency=True,
        cover_depth=26,
        bugs=BUGS,
    )


PROOFS = (
    _proof("narrow"),
    _proof("lanes-2", lanes=2),
    _proof("block-ram", block_ram=True),
    _proof("stages-3", level_stages=3),
)
