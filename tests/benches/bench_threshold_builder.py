# SPDX-License-Identifier: Apache-2.0
"""Threshold builder on the RTL: c C_j - 1 in Python integers, and a descent through what was written."""

import random
from functools import partial
from itertools import accumulate
from pathlib import Path

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from hw.spec.config import TsuConfig
from hw.tsu.threshold_builder import ThresholdBuilder
from sim.bench_file import load_module
from sim.bfm import cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

SMALL = TsuConfig(k_max=8, vocab_max=64, weight_bits=10, headroom_bits=4, guard_bits=3, tail_noise_bits=8)
CONFIGS = {
    "small-1": SMALL,
    "small-3": SMALL.with_fields(level_stages=3),
    "two": SMALL.with_fields(k_max=2),
    "default": TsuConfig(),
}
TOPLEVELS = {name: partial(ThresholdBuilder, config=config) for name, config in CONFIGS.items()}


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


class Builder:
    """Drives one builder and keeps what it writes."""

    def __init__(self, dut) -> None:
        self.dut = dut
        widths = {"valid": 1, "index": config().depth, "weight": config().weight_bits}
        self.weight = data.StructLayout(widths)
        self.writes: list[tuple[int, int, int, int]] = []
        for port in (dut.i_weight, dut.fill_stb, dut.start_stb, dut.k_less_one, dut.bank, dut.scale, dut.tail_weight):
            port.value = 0
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if dut.o_write__stb.value == 1 and dut.rst.value == 0:
                fields = (dut.o_write__bank, dut.o_write__rank, dut.o_write__boundary, dut.o_write__threshold)
                self.writes.append(tuple(int(field.value) for field in fields))

    async def build(self, weights: list[int], tail: int, *, bank: int, gaps: random.Random | None = None) -> dict:
        """Feed weights, start, wait; returns {(rank, boundary): threshold} and checks the bank of every write."""
        dut = self.dut
        total = sum(weights) + tail
        assert config().total_min <= total <= config().total_max, "the bench chose an illegal total"
        for index, weight in enumerate(weights):
            while gaps and gaps.random() < 0.5:
                dut.i_weight.value = _SUPPORT.pack(self.weight, {"index": 0, "weight": 1})
                await RisingEdge(dut.clk)
            word = {"valid": 1, "index": index, "weight": weight}
            dut.i_weight.value = _SUPPORT.pack(self.weight, word)
            await RisingEdge(dut.clk)
        dut.i_weight.value = 0
        self.writes.clear()
        dut.k_less_one.value, dut.bank.value = len(weights) - 1, bank
        dut.scale.value, dut.tail_weight.value = scale_of(total), tail
        for strobe, bound in ((dut.fill_stb, 2 * config().depth), (dut.start_stb, len(weights) + 12)):
            strobe.value = 1
            await RisingEdge(dut.clk)
            strobe.value = 0
            await RisingEdge(dut.clk)
            waited = 0
            while dut.busy.value == 1:
                assert waited < bound, f"busy for more than {bound} cycles"
                await RisingEdge(dut.clk)
                waited += 1
        await cycles(dut, 3)
        assert all(write[0] == bank for write in self.writes), "a write to the other bank"
        return {(rank, boundary): threshold for _, rank, boundary, threshold in self.writes}


def scale_of(total: int) -> int:
    """c = floor(2^U / Z)."""
    return (1 << config().uniform_bits) // total


def reachable_behind(k: int) -> set[int]:
    """Boundaries at or behind leaf K that a descent to a leaf below K passes."""
    found, span = set(), config().k_max
    while span > 1:
        boundary = (k - 1) // span * span + span // 2
        if boundary >= k:
            found.add(boundary)
        span //= 2
    return found


def descend(tree: dict[int, int], value: int) -> int:
    """Leaf that the p-bits reach: value > threshold goes right; a boundary never written fails the lookup."""
    low, span = 0, config().k_max
    while span > 1:
        span //= 2
        if value > tree[low + span]:
            low += span
    return low


def check_thresholds(dut, written: dict, weights: list[int], tail: int, what: str) -> None:
    """Every threshold against Python integers, then a descent at both ends of every leaf's interval."""
    k, total = len(weights), sum(weights) + tail
    c, top = scale_of(total), (1 << config().uniform_bits) - 1
    reached = list(accumulate(weights))
    for j in range(1, k):
        assert written.get((0, j)) == c * reached[j - 1] - 1, f"{what}: boundary {j} of the weight tree"
    for boundary in reachable_behind(k):
        assert written.get((0, boundary)) == top, f"{what}: weight boundary {boundary} is in reach and not saturated"
        assert written.get((1, boundary)) == top, f"{what}: rank boundary {boundary} is in reach and not saturated"
    assert not [j for rank, j in written if rank and j < k], f"{what}: a rank of the psi was overwritten"
    assert int(dut.tail_threshold.value) == (c * reached[-1] - 1) & top, f"{what}: tail threshold"
    assert int(dut.reject_threshold.value) == (c * total - 1) & top, f"{what}: reject threshold"
    tree = {j: threshold for (rank, j), threshold in written.items() if not rank}
    for leaf, end in enumerate(reached):
        begin = end - weights[leaf]
        for u in (c * begin, c * end - 1):
            assert descend(tree, u) == leaf, f"{what}: u = {u} does not reach leaf {leaf}"


def random_weights(rng: random.Random, k: int, tail: int | None = None) -> tuple[list[int], int]:
    """k weights and a tail whose total is legal."""
    bits = config().weight_bits
    while True:
        weights = [rng.randint(1, rng.choice([1, 9, (1 << bits) - 1])) for _ in range(k)]
        t = rng.choice([0, 1, rng.randrange(1 << config().total_bits)]) if tail is None else tail
        if config().total_min <= sum(weights) + t <= config().total_max:
            return weights, t


async def started(dut) -> Builder:
    builder = Builder(dut)
    await start(dut)
    return builder


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(gaps=[False, True])
async def thresholds_for_every_k(dut, gaps):
    """Every K from 1 to k_max, banks alternating, stale thresholds and weights of the psi before left in place."""
    builder, rng = await started(dut), random.Random(8)
    rounds = 1 if config().k_max > 8 else 12
    for number in range(rounds * config().k_max):
        k = 1 + (number * 5 + number // config().k_max) % config().k_max
        weights, tail = random_weights(rng, k)
        written = await builder.build(weights, tail, bank=number % 2, gaps=rng if gaps else None)
        check_thresholds(dut, written, weights, tail, f"psi {number}, K = {k}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def edges_of_the_total(dut):
    """Z at total_min, at total_max, at powers of two and beside them: c and c Z fit their widths."""
    builder = await started(dut)
    low, high = config().total_min, config().total_max
    middle = [1 << bits for bits in range(low.bit_length(), high.bit_length())]
    for total in [low, low + 1, high - 1, high, *middle, *(z + 1 for z in middle), *(z - 1 for z in middle)]:
        for weight in {1, min(total - 1, (1 << config().weight_bits) - 1)}:
            written = await builder.build([weight], total - weight, bank=1)
            check_thresholds(dut, written, [weight], total - weight, f"Z = {total}, w = {weight}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_mid_build(dut):
    """After reset nothing is written; the next psi is built as ever."""
    builder, rng = await started(dut), random.Random(9)
    for wait in range(1, 14):
        dut.k_less_one.value, dut.start_stb.value = config().k_max - 1, 1
        await RisingEdge(dut.clk)
        dut.start_stb.value = 0
        await cycles(dut, wait)
        dut.rst.value = 1
        await cycles(dut, 2)
        dut.rst.value = 0
        builder.writes.clear()
        await cycles(dut, 40)
        assert not builder.writes, f"writes after a reset {wait} cycles after the start"
        weights, tail = random_weights(rng, config().k_max)
        check_thresholds(dut, await builder.build(weights, tail, bank=0), weights, tail, f"reset after {wait}")
