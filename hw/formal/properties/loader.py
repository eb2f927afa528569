# SPDX-License-Identifier: Apache-2.0
"""Loader and Scheduler: nothing is written to a bank that a job uses; parameters stay while a job has to copy them."""

from functools import partial

from amaranth.hdl import Array, Cat, Cover, Mux, Signal
from amaranth.lib.wiring import connect

from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec import commands
from hw.spec.commands import Status
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.layouts import members
from hw.tsu.loader import Loader
from hw.tsu.scheduler import JOBS_PER_BANK, Scheduler

NARROW = PRESETS["tiny"].with_fields(
    k_max=2, vocab_max=8, weight_bits=4, headroom_bits=1, guard_bits=1, tail_noise_bits=3, weight_source="exp2"
)
COLLECTOR_JOBS = 2
"""Most jobs inside the collector: one waiting, one active."""


def load_words() -> list[int]:
    """A legal LOAD of one id in exp2 mode, with one draw."""
    words = [0] * (commands.LOAD_HEADER_WORDS + 1)
    header = {"opcode": commands.Opcode.LOAD, "version": commands.COMMAND_VERSION, "count": 1}
    psi = {"vocab_size": 4, "k": 1, "mode": commands.WeightMode.EXP2}
    for layout, values in ((commands.COMMON_FIELDS, header), (commands.LOAD_FIELDS, psi)):
        for name, value in values.items():
            commands.put_field(words, layout, name, value)
    return words  # id 0 with the largest score, 0


def fill(b: Bench, *, config: TsuConfig) -> None:
    """Any commands; lanes and collector as slow as the solver likes."""
    m = b.m
    loader = Loader(config=config)
    m.submodules.scheduler = scheduler = Scheduler(config=config)
    design = b.under_test(loader, but=(loader.o_job, loader.bank_in_use, loader.params_in_use))
    b.drive(scheduler, but=(scheduler.i_job, scheduler.restart_stb))
    connect(m, loader.o_job, scheduler.i_job)
    m.d.comb += [
        loader.bank_in_use.eq(scheduler.bank_in_use),
        loader.params_in_use.eq(scheduler.params_in_use),
        scheduler.restart_stb.eq(loader.restart_stb),
    ]
    command = loader.i_command
    b.stream("i_command", command, promised=True)

    if b.narrowed:
        words = load_words()
        position = Signal(range(len(words)))
        b.assume(command.valid)
        b.assume(command.payload.data == Array(words)[position])
        b.assume(command.payload.last == (position == len(words) - 1))
        with m.If(command.ready):
            m.d.sync += position.eq((position + 1) % len(words))

    # Jobs of each bank: behind the loader, and inside the collector.
    queued, started = loader.o_job, scheduler.o_job
    bank, other = design.bank, ~design.bank
    queues, starts = queued.valid & queued.ready, started.valid & started.ready
    in_use, inside = [], []
    for index in range(2):
        leaves = scheduler.done_stb & (scheduler.done_bank == index)
        enters = queues & (queued.payload.bank == index)
        begins = starts & (started.payload.bank == index)
        in_use.append(b.counter(range(JOBS_PER_BANK + 2), f"in_use_{index}", up=enters, down=leaves))
        inside.append(b.counter(range(COLLECTOR_JOBS + 2), f"inside_{index}", up=begins, down=leaves))
        b.assume(inside[index] != 0, when=leaves)
    b.assume(inside[0] + inside[1] < COLLECTOR_JOBS, when=starts)

    def used(which: object) -> object:
        return Cat(count != 0 for count in in_use).bit_select(which, 1)

    status = loader.o_status
    b.stream("o_status", status, promised=False)
    b.stream("o_job", queued, promised=False)
    tree, leaf = loader.o_tree_write, loader.o_leaf_write
    b.claim(~used(tree.bank) & ~(queued.valid & (queued.payload.bank == tree.bank)), when=tree.stb)
    b.claim(~used(leaf.bank) & ~(queued.valid & (queued.payload.bank == leaf.bank)), when=leaf.id_stb | leaf.weight_stb)

    # Parameters: from the offer of a fresh job until the collector has copied them, at the earliest with the lanes.
    copied = scheduler.copied_stb
    to_copy = Signal()
    begun_fresh = Signal()
    with m.If(queues & queued.payload.fresh):
        m.d.sync += to_copy.eq(1)
    with m.Elif(copied):
        m.d.sync += to_copy.eq(0)
    m.d.sync += begun_fresh.eq((starts & started.payload.fresh) | (begun_fresh & ~copied))
    b.assume(begun_fresh, when=copied)
    needed = Signal()
    m.d.comb += needed.eq(to_copy | (queued.valid & queued.payload.fresh))
    params = Cat(value for _, value in members(loader.params))
    b.claim(params == b.past(params, name="params_before"), when=needed & b.past(needed, name="needed_before"))
    b.claim(to_copy, when=scheduler.start[0].fresh)
    b.claim(~to_copy, when=queues & queued.payload.fresh)

    # What makes this inductive. A LOAD whose word 1 has passed the gate has the other bank to itself until the banks
    # change places; so has a fill of a LOAD that is too short.
    fsm, builder, decoder = design.fsm, design.builder, design.decoder
    state = {name: fsm.ongoing(name) for name in fsm.encoding}
    passed = Signal()
    ending = state["RESPOND"] & loader.o_status.ready
    accepts = command.valid & command.ready
    begun = Signal()
    with m.If(accepts):
        m.d.sync += begun.eq(~command.payload.last)
    with m.If(accepts & begun):
        m.d.sync += passed.eq(1)
    with m.Elif(ending):
        m.d.sync += passed.eq(0)
    owner = Signal()  # the other bank belongs to the load
    m.d.comb += owner.eq(passed & decoder.is_load)
    after = state["QUEUE"] | state["RESPOND"]
    b.claim(~used(other) & ~(queued.valid & (queued.payload.bank == other)), when=(owner & ~after) | builder.busy)
    b.claim(owner, when=state["DIVIDE"] | state["BUILD"])
    writes = decoder.entry.stb | decoder.header_stb | design.of("_entries", "pending").any()
    b.claim(owner, when=writes)
    b.claim(~writes, when=~state["RECEIVE"] & ~state["DRAIN"])
    under_way = Signal(design.of("_entries", "weights").latency_cycles + 1)  # entries by age
    m.d.sync += under_way.eq(Cat(decoder.entry.stb, under_way))
    b.claim(design.of("_entries", "pending") == sum(under_way))
    b.claim(leaf.weight_stb == under_way[-1])
    inner = Opened(decoder)
    # Parameters change only on behalf of a LOAD that has passed the gate.
    build = Opened(builder)
    b.claim(state["BUILD"], when=build.building)
    b.claim((owner & ~after) | ~design.psi_loaded, when=design.tail_divider.busy)
    b.claim(design.psi_loaded, when=state["QUEUE"])
    acting = state["DIVIDE"] | state["BUILD"] | state["QUEUE"]
    b.claim((design.verdict == Status.OK) & design.good, when=acting)
    b.claim(design.draws & design.reports_total, when=state["QUEUE"])
    b.claim(state["RESPOND"] & design.reports_total & design.draws, when=to_copy & design.fresh)
    b.claim(~(owner & ~after), when=needed)
    for flags in ((decoder.is_load, decoder.is_draw, decoder.is_table, decoder.is_seed), inner.word_is.values()):
        b.claim(sum(flags) <= 1)
    # The decoder: which word of the command it is at.
    taken, index_of_word = inner.taken, decoder.index
    b.claim(inner.started == begun)
    b.claim(Mux(taken, inner.last != begun, (index_of_word != 0) == begun))
    b.claim((inner.first == (index_of_word == 0)) & (inner.underway == (index_of_word > 1)))
    b.claim(decoder._in_header == (index_of_word < commands.LOAD_HEADER_WORDS))
    b.claim(passed, when=(index_of_word > 1) | (taken & (index_of_word != 0)))
    b.claim(~taken & ~begun & ~decoder.end_stb, when=~state["RECEIVE"])
    b.claim(~passed, when=state["RECEIVE"] & ~begun & ~taken & ~decoder.end_stb)
    # The scheduler's books: one job waits there, the others are inside the collector; its counts are one cycle late.
    books = Opened(scheduler)
    for index in range(2):
        waits = books.waiting & (books.job.bank == index)
        b.claim(in_use[index] == inside[index] + waits)
        b.claim(books.signal(f"jobs_{index}") == b.past(in_use[index], name=f"late_{index}"))
    b.claim(inside[0] + inside[1] <= COLLECTOR_JOBS)
    b.claim(to_copy == (begun_fresh | (books.waiting & books.job.fresh)))
    b.claim(~(begun_fresh & books.waiting & books.job.fresh))
    b.claim(scheduler.params_in_use == (to_copy & b.past(to_copy, name="to_copy_before")))
    m.d.comb += Cover(leaf.id_stb & used(bank))


PROOFS = (
    Proof(
        name="loader/narrow",
        claims="no write to a bank in use; parameters stay until they are copied; stream rule of o_status, o_job",
        configuration=f"with Scheduler, K = {NARROW.k_max}, {NARROW.uniform_bits}-bit thresholds, exp2",
        fill=partial(fill, config=NARROW),
        depth=20,
        cover_depth=64,
        cover_narrowed=True,
        bugs=(
            Bug(
                name="load-does-not-wait",
                where="loader",
                old="load_blocked.eq(self.bank_in_use.bit_select(~bank, 1) | self.params_in_use)",
                new="load_blocked.eq(0)",
                depth=56,
                narrowed=True,
            ),
            Bug(
                name="load-changes-parameters-in-use",
                where="loader",
                old="load_blocked.eq(self.bank_in_use.bit_select(~bank, 1) | self.params_in_use)",
                new="load_blocked.eq(self.bank_in_use.bit_select(~bank, 1))",
                depth=64,
                narrowed=True,
            ),
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
