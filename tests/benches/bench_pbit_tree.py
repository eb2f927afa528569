# SPDX-License-Identifier: Apache-2.0
"""p-bit tree on the RTL: every value through every tree, banks and trees mixed, writes to the other bank meanwhile."""

import random
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.config import TsuConfig
from hw.tsu.layouts import route_layout
from hw.tsu.pbit_tree import PBitTree
from sim.bench_file import load_module
from sim.bfm import start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

SMALL = TsuConfig(k_max=8, vocab_max=16, weight_bits=5, headroom_bits=1, guard_bits=2, tail_noise_bits=5)
CONFIGS = {f"small-{stages}": SMALL.with_fields(level_stages=stages) for stages in (1, 2, 3)}
CONFIGS["two"] = SMALL.with_fields(k_max=2)
TOPLEVELS = {name: partial(PBitTree, config=config) for name, config in CONFIGS.items()}


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def ref_leaf(thresholds: list[int], value: int) -> int:
    """Leaf reached by comparisons at boundary (low + high) / 2; thresholds[j] belongs to boundary j."""
    low, high = 0, config().k_max
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if value > thresholds[middle] else (low, middle)
    return low


class Tree:
    """Drives one tree; every candidate carries a number in its value's place of the reference."""

    def __init__(self, dut) -> None:
        self.dut = dut
        for port in (dut.i__route, dut.i__value, dut.i_write__stb):
            port.value = 0
        self.thresholds = {}

    def write(self, bank: int, rank: int, boundary: int, threshold: int) -> None:
        """Write one threshold at the next edge."""
        dut = self.dut
        dut.i_write__stb.value, dut.i_write__bank.value, dut.i_write__rank.value = 1, bank, rank
        dut.i_write__boundary.value, dut.i_write__threshold.value = boundary, threshold

    async def load(self, bank: int, rank: int, thresholds: list[int]) -> None:
        """Write all boundaries of one tree, in random order."""
        boundaries = list(range(1, config().k_max))
        random.Random(thresholds[1]).shuffle(boundaries)
        for boundary in boundaries:
            self.write(bank, rank, boundary, thresholds[boundary])
            await RisingEdge(self.dut.clk)
        self.dut.i_write__stb.value = 0
        self.thresholds[bank, rank] = thresholds

    async def run(self, candidates, *, each_cycle=None) -> None:
        """Send (bank, tail, value) or None for a bubble, one a cycle; check every output."""
        dut, entry, leave = self.dut, route_layout(0), route_layout(config().depth)

        def drive(candidate):
            if each_cycle is not None:
                each_cycle()
            bank, tail, value = candidate or (0, 1, 3)
            word = {"valid": candidate is not None, "bank": bank, "tail": tail, "past_last": value & 1}
            dut.i__route.value, dut.i__value.value = _SUPPORT.pack(entry, word), value

        found = await _SUPPORT.through_pipeline(
            dut,
            candidates,
            drive=drive,
            sample=lambda: (_SUPPORT.unpack(leave, int(dut.o__route.value)), int(dut.o__value.value)),
            latency=PBitTree(config=config()).latency_cycles,
        )
        for index, (candidate, (route, value)) in enumerate(zip(candidates, found, strict=True)):
            assert route["valid"] == (candidate is not None), f"candidate {index}: valid is {route['valid']}"
            if candidate is None:
                continue
            bank, tail, sent = candidate
            assert (route["bank"], route["tail"], value) == candidate, f"candidate {index} came out as another one"
            assert route["past_last"] == sent & 1, f"candidate {index}: past_last"
            leaf = ref_leaf(self.thresholds[bank, tail], sent)
            assert route["path"] == leaf, f"{candidate}: leaf {route['path']}, expected {leaf}"


def some_thresholds(rng: random.Random) -> list[int]:
    """Sorted thresholds with repeats, some saturated; entry 0 is not used."""
    top = (1 << config().uniform_bits) - 1
    values = sorted(rng.choice([rng.randint(0, top), rng.randint(0, 9), top]) for _ in range(config().k_max))
    return values


async def started(dut, seed: int) -> Tree:
    tree = Tree(dut)
    await start(dut)
    rng = random.Random(seed)
    for bank in (0, 1):
        for rank in (0, 1):
            await tree.load(bank, rank, some_thresholds(rng))
    return tree


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(order=["sorted", "shuffled", "bubbles"])
async def every_value_reaches_its_leaf(dut, order):
    """All 2^8 values through both trees of both banks, for ten sets of thresholds."""
    rng = random.Random(10)
    tree = await started(dut, 11)
    for _ in range(10):
        values = range(1 << config().uniform_bits)
        candidates = [(bank, tail, value) for bank in (0, 1) for tail in (0, 1) for value in values]
        if order != "sorted":
            rng.shuffle(candidates)
        if order == "bubbles":
            candidates = [item for each in candidates for item in (each, *[None] * rng.choice([0, 0, 1, 2]))]
        await tree.run(candidates)
        await tree.load(rng.randrange(2), rng.randrange(2), some_thresholds(rng))


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def writing_one_bank_leaves_the_other_alone(dut):
    """While one bank is sampled in every cycle, the other one is rewritten; then they change places."""
    rng = random.Random(12)
    tree = await started(dut, 13)
    for number in range(8):
        bank = number % 2
        fresh = {rank: some_thresholds(rng) for rank in (0, 1)}
        writes = [(1 - bank, rank, j, fresh[rank][j]) for rank in (0, 1) for j in range(1, config().k_max)]
        writes = [write for write in writes for _ in range(3)]
        rng.shuffle(writes)

        def next_write(writes=writes):
            if writes:
                tree.write(*writes.pop())
            else:
                dut.i_write__stb.value = 0

        await tree.run([(bank, rng.randrange(2), rng.getrandbits(8)) for _ in range(150)], each_cycle=next_write)
        assert not writes
        tree.thresholds.update({(1 - bank, rank): fresh[rank] for rank in (0, 1)})


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def equal_thresholds_skip_a_leaf(dut):
    """Where two neighbouring thresholds are equal the leaf between them is never reached; all ones is never passed."""
    tree = await started(dut, 14)
    top = (1 << config().uniform_bits) - 1
    for thresholds in ([7] * config().k_max, [top] * config().k_max, [0] * config().k_max):
        await tree.load(0, 0, thresholds)
        await tree.run([(0, 0, value) for value in range(top + 1)])
