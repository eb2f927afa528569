# SPDX-License-Identifier: Apache-2.0
"""Weight engine on the RTL: all 256 distances, both modes, every shift, against the exact law and against mpmath."""

import random
from functools import partial
from pathlib import Path

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from host.golden.exact import integer_weight, weight_table
from host.psi.schema import Psi
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.exp2 import log2_ratio_q
from hw.tsu.weight_engine import WeightEngine
from sim.bench_file import load_module
from sim.bfm import cycles, start

_HERE = Path(__file__).parent
_SUPPORT = load_module(_HERE / "support.py")
reference_weight = load_module(_HERE.parent / "reference" / "stream.py").reference_weight

CONFIGS = {
    "both-1": TsuConfig(),
    "both-3": TsuConfig(level_stages=3),
    "table": PRESETS["up5k"],
    "exp2": TsuConfig(weight_bits=40, weight_source="exp2"),
}
TOPLEVELS = {name: partial(WeightEngine, config=config) for name, config in CONFIGS.items()}

RATIOS = ((0.0588, 1.0), (0.0588, 0.7), (0.0, 1.0), (0.004, 1.3), (3.0, 1.0), (1e30, 1e-30))
"""Scale and temperature; the last one saturates."""


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def modes() -> list[str]:
    return [mode for mode, has in (("table", config().has_table), ("exp2", config().has_exp2)) if has]


class Engine:
    """Drives the ports of one engine."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.table = data.StructLayout({"stb": 1, "index": 8, "entry": config().weight_bits})
        for port in (dut.i, dut.use_exp2, dut.ratio, dut.shift, dut.i_table):
            port.value = 0

    async def load(self, entries) -> None:
        """Write the table in random order."""
        if not config().has_table:
            return
        order = list(enumerate(entries))
        random.Random(4).shuffle(order)
        for index, entry in order:
            word = {"stb": 1, "index": index, "entry": int(entry)}
            self.dut.i_table.value = _SUPPORT.pack(self.table, word)
            await RisingEdge(self.dut.clk)
        # Without a strobe nothing is written.
        self.dut.i_table.value = _SUPPORT.pack(self.table, {"index": 0, "entry": 1})
        await RisingEdge(self.dut.clk)

    async def weights(self, distances, *, mode: str, shift: int, ratio: int = 0, gaps: bool = False) -> list[int]:
        """Weights of the distances, fed one a cycle or with gaps; checks the latency of each."""
        dut, rng, found = self.dut, random.Random(shift), []
        dut.use_exp2.value, dut.shift.value, dut.ratio.value = int(mode == "exp2"), shift, ratio
        await cycles(dut, 20)
        waiting, fed, cycle = list(distances), [], 0
        latency = WeightEngine(config=config()).latency_cycles
        while len(found) < len(distances):
            await RisingEdge(dut.clk)
            out = int(dut.o.value)
            if out & 1:
                assert fed and cycle - fed.pop(0) == latency + 1, "a weight came too early or too late"
                found.append(out >> 1)
            offer = bool(waiting) and not (gaps and rng.random() < 0.5)
            dut.i.value = (waiting.pop(0) << 1 | 1) if offer else rng.getrandbits(8) << 1
            fed += [cycle] if offer else []
            cycle += 1
            assert cycle < 5000, f"{len(found)} of {len(distances)} weights in {cycle} cycles"
        return found


async def started(dut) -> Engine:
    engine = Engine(dut)
    await start(dut)
    return engine


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(gaps=[False, True])
async def all_distances_equal_the_exact_law(dut, gaps):
    """256 distances, six ratios, shifts 0, 1, 7 and 23: the integers of host.golden.exact, halves rounded up."""
    engine = await started(dut)
    for scale, tau in RATIOS:
        psi = Psi(ids=[0], scores_q=[0], scale=scale, zero_point=0, tau=tau, tail=0.0, vocab_size=2)
        await engine.load(weight_table(psi.scale, psi.tau, config().weight_bits))
        ratio = log2_ratio_q(psi.scale, psi.tau)
        for mode in modes():
            for shift in (0, 1, 7, 23):
                found = await engine.weights(list(range(256)), mode=mode, shift=shift, ratio=ratio, gaps=gaps)
                expected = [integer_weight(d, psi, config(), mode, shift) for d in range(256)]
                _SUPPORT.check(found, expected, f"scale {scale}, tau {tau}, {mode}, shift {shift}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def all_distances_equal_mpmath(dut):
    """The same for one ratio and shift 2 with exp and log of mpmath."""
    engine = await started(dut)
    scale, tau = 0.05859375, 0.8125  # exact in binary32
    await engine.load(weight_table(scale, tau, config().weight_bits))
    for mode in modes():
        found = await engine.weights(range(256), mode=mode, shift=2, ratio=log2_ratio_q(scale, tau))
        expected = [reference_weight(d, scale=scale, tau=tau, shift=2, config=config(), mode=mode) for d in range(256)]
        _SUPPORT.check(found, expected, mode)


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def every_shift_rounds_halves_up_and_never_to_zero(dut):
    """A table of arbitrary words (0 and all ones too) at each of the 64 shifts."""
    if not config().has_table:
        return  # without a table every mantissa comes from the exp2 unit
    engine, rng, bits = await started(dut), random.Random(6), config().weight_bits
    entries = [0, 1, 2, 3, (1 << bits) - 1, 1 << (bits - 1)] + [3 << i for i in range(bits - 1)]
    entries += [rng.getrandbits(rng.randint(1, bits)) for _ in range(256 - len(entries))]
    await engine.load(entries)
    for shift in range(64):
        found = await engine.weights(range(256), mode="table", shift=shift)
        expected = [max(1, (2 * entry >> shift) + 1 >> 1) for entry in entries]
        _SUPPORT.check(found, expected, f"shift {shift}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def table_is_replaced_entry_by_entry(dut):
    """Rewriting one entry changes one weight."""
    if not config().has_table:
        return
    engine = await started(dut)
    entries = list(range(1, 257))
    await engine.load(entries)
    for index, entry in ((0, 1000), (255, 7), (128, 99)):
        entries[index] = entry
        word = {"stb": 1, "index": index, "entry": entry}
        dut.i_table.value = _SUPPORT.pack(engine.table, word)
        await RisingEdge(dut.clk)
        dut.i_table.value = 0
        _SUPPORT.check(await engine.weights(range(256), mode="table", shift=0), entries, f"entry {index}")
