# SPDX-License-Identifier: Apache-2.0
"""Draws per cycle and load latency of the whole TSU; the measured figures are in the log of the run."""

from functools import partial
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from host.tsu.lowering import load_command, lower
from hw.spec.commands import Opcode, Status, WeightMode
from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore
from sim.bench_file import load_module

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")
random_psi = load_module(_HERE.parent / "reference" / "stream.py").random_psi

CONFIGS = {
    "k64": TsuConfig(),
    "k64-lanes-4": TsuConfig(lanes=4),
    "k64-deep": TsuConfig(level_stages=3),
    "k512": TsuConfig(k_max=512),
    "k512-deep": TsuConfig(k_max=512, level_stages=3),
}
TOPLEVELS = {name: partial(TsuCore, config=config) for name, config in CONFIGS.items()}

SUSTAINED_BEATS = 20_000
"""Beats over which throughput is measured; G = 8 rejects at most 1 candidate in 256."""

LEAST_PER_CYCLE = 0.99
"""Bar of draws per cycle and lane."""


def config():
    return CONFIGS[_SUPPORT.base_variant()]


async def started(dut):
    tsu = _DRIVER.TsuDriver(dut, config())
    await tsu.start()
    return tsu


def exact_total(total: int, *, head_share: float, k: int = 32, vocab: int = 152_000) -> list[int]:
    """A LOAD in exp2 mode with K equal weights whose total is exactly `total`."""
    psi = random_psi(5, k=k, vocab=vocab, tail=1.0, scale=0.0)
    words = load_command(lower(psi, config(), WeightMode.EXP2), count=0, tag=3).tolist()
    top = config().weight_bits - 1
    shift = next(h for h in range(top + 1) if k << (top - h) <= total * head_share)
    tail = total - (k << (top - shift))
    words[3] = words[3] & ~(0x3F << 24) | shift << 24
    words[4], words[5] = tail & 0xFFFF_FFFF, tail >> 32
    return words


B = TsuConfig().total_bits
TOTALS = {
    "z_worst": ((1 << (B + 8)) // 257 + 1, 0.5),
    "z_above": ((1 << (B - 1)) + 1, 0.9),
    "z_below": ((1 << B) - 1, 0.5),
    "z_small": (0, 0.9),
    "tail_heavy": ((1 << (B - 1)) + 12345, 0.001),
    "tail_only": ((1 << B) - 12345, 1e-9),
}
"""Total Z and the head's largest share of it; 0 stands for total_min.

Of 2^U = 2^(B + 8) words c Z are accepted. The worst Z is the least with c = 256: 1 word in 257 is rejected.
"""


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(case=list(TOTALS))
async def draws_per_cycle(dut, case):
    """20000 beats without a stall: at least 0.99 draws per cycle and lane, whatever Z and the tail are."""
    if config().k_max > 64 and case not in ("z_worst", "tail_heavy"):
        return  # these variants are here for their latency
    tsu = await started(dut)
    total, share = TOTALS[case]
    total = total or config().total_min
    assert await tsu.execute(exact_total(total, head_share=share)) == (Status.OK, total)
    lanes = config().lanes
    tag = tsu.put_draw(SUSTAINED_BEATS * lanes)
    await tsu.good_status(tag, Opcode.DRAW)
    while tsu.draws.transfers < 1:
        await RisingEdge(dut.clk)
    first, before = tsu.draws.cycle, tsu.draws.transfers
    while tsu.draws.transfers < SUSTAINED_BEATS:
        await RisingEdge(dut.clk)
    rate = (tsu.draws.transfers - before) / (tsu.draws.cycle - first)
    rows = await tsu.take(SUSTAINED_BEATS * lanes, tag=tag)
    tails = sum(spread > 1 for _, _, spread in rows) / len(rows)
    dut._log.info(f"throughput {case}: {rate:.5f} draws per cycle and lane, {lanes} lanes, tail share {tails:.3f}")
    assert rate >= LEAST_PER_CYCLE, f"{rate:.4f} draws per cycle and lane"


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(mode=["table", "exp2"])
async def first_draw_after_the_last_payload_word(dut, mode):
    """At most 2K + 128 cycles, for K from 1 to k_max."""
    tsu = await started(dut)
    for k in sorted({1, 2, 32, 64, config().k_max}):
        psi = random_psi(k, k=k, vocab=50_000, tail=0.5)
        if mode == "table":
            await tsu.table(psi)
        count, before, sent = config().lanes, tsu.draws.transfers, tsu.source.transfers
        tag = tsu.put_load(psi, count, mode)
        while tsu.source.transfers < sent + 8 + k:
            await RisingEdge(dut.clk)
        last_word = tsu.source.cycle
        while tsu.draws.transfers == before:
            await RisingEdge(dut.clk)
            assert tsu.draws.cycle < last_word + 10_000
        latency = tsu.draws.cycle - last_word
        await tsu.good_status(tag, Opcode.LOAD)
        await tsu.take(count, tag=tag)
        dut._log.info(f"latency {mode} K = {k}: {latency} cycles, bar {2 * k + 128}")
        assert latency <= 2 * k + 128, f"K = {k}: {latency} cycles from the last payload word to the first draw"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def loading_is_hidden_while_another_psi_is_sampled(dut):
    """Ten psi in a row, each loaded during the draws of the one before: a switch costs the pipeline's length."""
    tsu = await started(dut)
    lanes, k = config().lanes, config().k_max
    # A LOAD takes 8 + K words, then at most 2K + 128 cycles.
    beats = 4 * k + 200
    psis = [random_psi(seed, k=k, vocab=50_000, tail=0.5) for seed in range(10)]
    tags = [tsu.put_load(psi, beats * lanes, "exp2") for psi in psis]
    arrivals = []
    while len(arrivals) < 10 * beats:
        before = tsu.draws.transfers
        await RisingEdge(dut.clk)
        arrivals += [tsu.draws.cycle] * (tsu.draws.transfers - before)
        assert tsu.draws.cycle < 100_000
    gaps = np.diff(arrivals)[beats - 1 :: beats]
    pipeline = TsuCore(config=config()).latency_cycles
    dut._log.info(f"switch K = {k}: gaps {gaps.tolist()} cycles, pipeline {pipeline}")
    assert gaps.max() <= pipeline + 8, f"a switch of psi costs {gaps.max()} cycles, the pipeline has {pipeline}"
    for tag in tags:
        await tsu.good_status(tag, Opcode.LOAD)
        await tsu.take(beats * lanes, tag=tag)


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def small_batches(dut):
    """DRAWs of one beat, offered without a pause: cycles per batch are logged and bounded by the pipeline."""
    tsu = await started(dut)
    await tsu.load(random_psi(1, k=32, vocab=50_000, tail=0.5), 0, mode="exp2")
    lanes, batches = config().lanes, 100
    tags = [tsu.put_draw(lanes) for _ in range(batches)]
    first = tsu.draws.cycle
    for tag in tags:
        await tsu.good_status(tag, Opcode.DRAW)
        await tsu.take(lanes, tag=tag)
    each = (tsu.draws.cycle - first) / batches
    dut._log.info(f"batches of one beat: {each:.1f} cycles each")
    assert each <= TsuCore(config=config()).latency_cycles + 20, f"{each:.1f} cycles for a batch of one beat"
