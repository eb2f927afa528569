# SPDX-License-Identifier: Apache-2.0
"""Work in which draws flow: counts, jobs that wait for each other, rates, long jobs."""

from hw.spec.commands import LOAD_HEADER_WORDS, Opcode

from .asker import STALLS, Asker
from .commands import head

DRAW_LATENCY_BASE = 128
"""A first draw comes at most 2 K + this many cycles behind the last word of its LOAD (bench_throughput)."""

REJECTED_CYCLES = 24
"""Allowed for candidates that are rejected before the first draw."""

COUNTED_APART = 256
"""Draws of a lane that are counted before the upper bits of its counter move."""


def counts(ask: Asker) -> None:
    """Counts around powers of two; counts too long to wait for, looked at and reset."""
    for count in (*range(1, 20), 31, 32, 33, 63, 64, 65, 255, 256, 257):
        with ask.out.segment(f"count {count}", stalls=list(STALLS.values())[count % len(STALLS)]):
            ask.good_load(count=count)
            ask.draw(count)
    for bit in range(9, 32):
        for count in (1 << bit,) if bit % 3 else (1 << bit, (1 << 32) - (1 << bit)):
            with ask.out.segment(f"first draws of {count:#x}", reset=True):
                ask.sure_load(0)
                ask.draw(count, take=10 * ask.config.lanes)
    lanes = ask.config.lanes
    for bit in range(10 + lanes.bit_length(), 32):  # a lost bit would end the job within the draws that are taken
        for more in (lanes, COUNTED_APART * lanes + 1, 2 * COUNTED_APART * lanes + lanes):
            with ask.out.segment(f"draws of a count of 2^{bit} + {more}", reset=True):
                ask.sure_load(0)
                ask.draw((1 << bit) + more, take=more + COUNTED_APART * lanes)


def blocked(ask: Asker) -> None:
    """No draw is taken: the next LOAD is accepted, the third waits for its bank; a SEED waits, a short one not."""
    for number in range(6):
        with ask.out.segment(f"third LOAD waits {number}", reset=number == 0, hold=(1500, 2)):
            for _ in range(3):
                ask.sure_load(300)
        with ask.out.segment(f"third LOAD behind DRAWs waits {number}", hold=(900, 2)):
            for counts in ((30,), (50, 90), (7,)):
                ask.sure_load(200)
                for count in counts[1:]:
                    ask.draw(count)
            ask.draw(2)
        with ask.out.segment(f"short LOAD while both banks are in use {number}", hold=(700, 3)):
            ask.sure_load(300)
            ask.sure_load(200)
            ask.out.command(head(Opcode.LOAD, ask.out.next_tag()))
        with ask.out.segment(f"small jobs behind a good LOAD wait {number}", hold=(700, None)):
            ask.sure_load(0)
            ask.draw(3)
        with ask.out.segment(f"small jobs wait {number}", hold=(700, None)):
            for count in (4, 1, 3, 2, 5, 1, 1, 8, 7, 1, 2, 2):
                ask.draw(count)
                if ask.make.below(3) == 0:
                    ask.sure_load(ask.make.below(6))
        with ask.out.segment(f"SEED waits {number}", hold=(500, 1)):
            ask.draw(200)
            ask.seed()
            ask.draw(33)
        with ask.out.segment(f"refused LOAD beside draws {number}", hold=(500, 2)):
            ask.draw(300)
            ask.out.command(head(Opcode.LOAD, ask.out.next_tag()))
        with ask.out.segment(f"refused SEED beside draws {number}", hold=(500, 4)):
            ask.sure_load(0)
            ask.draw(201 + number)
            ask.out.command(head(Opcode.SEED, ask.out.next_tag()))
            ask.draw(0)
        with ask.out.segment(f"after the refused SEED {number}"):
            ask.draw(1)
            ask.seed()
            ask.draw(9)


def rates(ask: Asker) -> None:
    """The bars of bench_throughput: cycles of a job, of a first draw, of switches of psi, of small batches."""
    lanes, k_max = ask.config.lanes, ask.config.k_max
    beats = 1500
    with ask.out.segment("no word is rejected: 0.99 draws per cycle and lane", bound_cycles=beats * 100 // 99 + 250):
        ask.even_load(k_max, count=0)
        ask.draw(beats * lanes)
    for k in range(1, k_max + 1):
        bound = LOAD_HEADER_WORDS + k + 2 * k + DRAW_LATENCY_BASE + REJECTED_CYCLES
        with ask.out.segment(f"first draw of K = {k}", bound_cycles=bound):
            ask.sure_load(1, k=k)
    each = 4 * k_max + 200
    bound = 10 * (each + ask.pipeline_cycles + 9) + LOAD_HEADER_WORDS + 3 * k_max + DRAW_LATENCY_BASE
    with ask.out.segment("loads are hidden", bound_cycles=bound):
        for _ in range(10):
            ask.even_load(k_max, count=each * lanes)
    with ask.out.segment("many small jobs"):
        for number in range(500):
            if number % 50 == 0:
                ask.good_load(vocab_size=ask.config.vocab_max - 1, count=1)
            ask.draw(1 + ask.make.below(2 * lanes))
    with ask.out.segment("batches of one beat", bound_cycles=60 * (ask.pipeline_cycles + 20) + 100):
        for _ in range(60):
            ask.draw(lanes)


def uneven(ask: Asker) -> None:
    """Jobs one behind the other, each about as long as its command: lanes come to their ends at different times."""
    lanes = ask.config.lanes
    for number in range(30):
        stalls = list(STALLS.values())[number % 3]  # as long as draws are taken
        with ask.out.segment(f"jobs of uneven lanes {number}", stalls=stalls):
            ask.sure_load(0)
            for _ in range(80):
                ask.draw(lanes * (4 + ask.make.below(14)) + ask.make.below(lanes))
    for number in range(12):
        with ask.out.segment(f"a beat waits for the next psi {number}", reset=True, hold=(700, 2)):
            for _ in range(2):
                ask.tail_load(lanes)


def long_jobs(ask: Asker) -> None:
    """Jobs in which every bit of u and of a threshold decides some draw."""
    lanes = ask.config.lanes
    for _ in range(6):
        with ask.out.segment("a job of 2^13 draws for each lane"):
            ask.table()
            ask.good_load(count=(1 << 13) * lanes, vocab_size=ask.config.vocab_max)
    with ask.out.segment("a job of 2^17 draws for each lane"):
        ask.good_load(count=0)
        ask.draw((1 << 17) * lanes + 3)
        ask.draw(2)
