# SPDX-License-Identifier: Apache-2.0
"""Candidate filter on the RTL: every tail word for every number of tail tokens; a candidate is rejected as a whole."""

import random
from collections import Counter
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import TsuConfig
from hw.tsu.candidate_filter import CandidateFilter
from hw.tsu.layouts import route_layout
from sim.bench_file import load_module
from sim.bfm import cycles, start
from sim.coverage.classes import candidate_classes
from sim.coverage.observe import hit

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

SMALL = TsuConfig(k_max=4, vocab_max=16, weight_bits=5, headroom_bits=1, guard_bits=2, tail_noise_bits=6)
CONFIGS = {"small-1": SMALL, "small-3": SMALL.with_fields(level_stages=3)}
TOPLEVELS = {name: partial(CandidateFilter, config=config) for name, config in CONFIGS.items()}

TAIL_WORDS = 1 << SMALL.tail_noise_bits
UNIFORMS = 1 << SMALL.uniform_bits


def latency() -> int:
    return CandidateFilter(config=CONFIGS[_SUPPORT.base_variant()]).latency_cycles


class Psi:
    """Head total, tail weight and number of tail tokens, and what the contract makes of a candidate."""

    def __init__(self, *, head: int, tail: int, n: int, rank_last: int = 3, bank: int = 0) -> None:
        self.c = UNIFORMS // (head + tail)
        self.head, self.total, self.n, self.rank_last, self.bank = head, head + tail, n, rank_last, bank

    def apply(self, dut) -> None:
        dut.params__reject_threshold.value = self.c * self.total - 1
        dut.params__tail_threshold.value = self.c * self.head - 1
        dut.params__spread.value = self.n
        dut.params__tail_reject.value = TAIL_WORDS % self.n if self.n > 1 else 0
        dut.params__rank_last.value = self.rank_last
        dut.bank.value = self.bank

    def expected(self, u: int, word: int) -> tuple[int, int, int] | None:
        """Tail flag, value and past_last of an accepted candidate, or None."""
        r, low = divmod(word * self.n, TAIL_WORDS)
        if u >= self.c * self.total or (self.n > 0 and low < TAIL_WORDS % self.n):
            return None
        is_tail = u >= self.c * self.head
        return int(is_tail), r + 1 if is_tail else u, int(r >= self.rank_last)

    def classes(self, u: int, word: int) -> tuple[str, str]:
        """Class of a candidate, for coverage."""
        biased = self.n > 0 and word * self.n % TAIL_WORDS < TAIL_WORDS % self.n
        return candidate_classes(over=u >= self.c * self.total, biased=biased, tail=u >= self.c * self.head, n=self.n)


async def run(dut, candidates: list[tuple[int, int] | None]) -> list[tuple[int, int, int, int, int] | None]:
    """Send candidates or bubbles, one a cycle; what became of each: bank, tail, value, past_last, or None."""
    layout, delay = route_layout(0), latency()
    rejects, found = [], []
    for cycle in range(len(candidates) + delay + 1):
        await RisingEdge(dut.clk)
        if cycle > delay:
            rejects.append(int(dut.reject_stb.value))
            route, value = _SUPPORT.unpack(layout, int(dut.o__route.value)), int(dut.o__value.value)
            found.append((route["bank"], route["tail"], value, route["past_last"]) if route["valid"] else None)
        candidate = candidates[cycle] if cycle < len(candidates) else None
        dut.valid.value = int(candidate is not None)
        dut.uniform.value, dut.tail_word.value = candidate or (0, 0)
    for candidate, reject, outcome in zip(candidates, rejects, found, strict=True):
        lost = candidate is not None and outcome is None
        assert reject == lost, f"{candidate}: reject_stb is {reject}, outcome {outcome}"
    return found


async def started(dut) -> None:
    dut.valid.value = 0
    Psi(head=20, tail=20, n=3).apply(dut)
    await start(dut)
    await cycles(dut, 6)


async def check(dut, psi: Psi, candidates: list[tuple[int, int] | None]) -> list:
    """Run, and compare every outcome with the contract; returns the outcomes."""
    psi.apply(dut)
    found = await run(dut, candidates)
    for candidate, outcome in zip(candidates, found, strict=True):
        expected = psi.expected(*candidate) if candidate is not None else None
        expected = (psi.bank, *expected) if expected is not None else None
        assert outcome == expected, f"n = {psi.n}, candidate {candidate}: {outcome}, expected {expected}"
        if candidate is not None:
            hit("candidate", *psi.classes(*candidate))
    return found


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def every_tail_word_for_every_n(dut):
    """n = 1..15: each index comes floor(2^tb / n) times, for a tail draw and for a head draw alike."""
    await started(dut)
    for n in range(1, 16):
        psi = Psi(head=30, tail=20, n=n, rank_last=n // 2, bank=n & 1)
        for u in (0, psi.c * psi.head - 1, psi.c * psi.head, psi.c * psi.total - 1):
            found = await check(dut, psi, [(u, word) for word in range(TAIL_WORDS)])
            accepted = [outcome for outcome in found if outcome is not None]
            assert len(accepted) == n * (TAIL_WORDS // n), f"n = {n}, u = {u}: {len(accepted)} candidates accepted"
            if u >= psi.c * psi.head:
                counts = Counter(outcome[2] for outcome in accepted)
                assert counts == dict.fromkeys(range(1, n + 1), TAIL_WORDS // n), f"n = {n}: the tail is not uniform"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def every_uniform_word(dut):
    """All 2^U words with a few tail words: rejected from c Z on, head below c C_K; Z around powers of two."""
    await started(dut)
    rng = random.Random(21)
    for head, tail in ((20, 0), (17, 16), (16, 16), (31, 32), (1, 62), (62, 1), (5, 12)):
        for n in (0,) if tail == 0 else (1, 4, 5):
            candidates = [(u, word) for u in range(UNIFORMS) for word in (0, 1, TAIL_WORDS - 1)]
            rng.shuffle(candidates)
            await check(dut, Psi(head=head, tail=tail, n=n), candidates)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def bubbles_are_no_candidates(dut):
    """With gaps the outcomes are the same, and a gap is neither a draw nor a rejection."""
    await started(dut)
    rng = random.Random(22)
    candidates = [
        (rng.randrange(UNIFORMS), rng.randrange(TAIL_WORDS)) if rng.random() < 0.5 else None for _ in range(1000)
    ]
    await check(dut, Psi(head=30, tail=20, n=7), candidates)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def busy_until_the_last_candidate_is_decided(dut):
    """One candidate: busy from its cycle until it is decided, and for a rejected one until that was reported."""
    await started(dut)
    for u in (0, UNIFORMS - 1):
        dut.valid.value, dut.uniform.value, dut.tail_word.value = 1, u, 5
        busy, rejected = [], []
        for _ in range(latency() + 4):
            await RisingEdge(dut.clk)
            busy.append(int(dut.busy.value))
            rejected.append(int(dut.reject_stb.value))
            dut.valid.value = 0
        assert rejected == [0] * latency() + [int(u > 0), 0, 0, 0], f"reject_stb {rejected}"
        last = latency() + (u > 0)
        assert busy == [1] * last + [0] * (latency() + 4 - last), f"busy {busy}"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_mid_stream(dut):
    """Nothing that was inside comes out after a reset."""
    await started(dut)
    for wait in range(1, latency() + 1):
        dut.valid.value, dut.uniform.value, dut.tail_word.value = 1, 0, 5
        await cycles(dut, wait)
        dut.valid.value, dut.rst.value = 0, 1
        await cycles(dut, 2)
        dut.rst.value = 0
        assert all(outcome is None for outcome in await run(dut, [None] * 10))
