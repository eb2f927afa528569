# SPDX-License-Identifier: Apache-2.0
"""Tokens per cycle and lane of blocks, by the number of streams; the figures are in the log of the run."""

from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.spec.commands import Opcode
from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore
from sim.bench_file import load_module

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")
random_psi = load_module(_HERE.parent / "reference" / "stream.py").random_psi

BANK = TsuConfig(contexts=256, streams=64, weight_source="exp2")
CONFIGS = {
    "k64": BANK,
    "k64-lanes-2": BANK.with_fields(lanes=2, streams=128),
    "k64-deep": BANK.with_fields(level_stages=3),
}
TOPLEVELS = {name: partial(TsuCore, config=config) for name, config in CONFIGS.items()}

LEAST_PER_CYCLE = 0.9
"""Bar of tokens per cycle and lane."""

FEWEST_STREAMS = {1: 16, 3: 64}
"""Streams of a lane with which the bar holds, by `level_stages`."""

LONG = 200
"""Tokens of a stream over which the rate is measured."""


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(streams=[16, 32, 64])
async def tokens_per_cycle(dut, streams):
    """All rows of a bigram over 256 tokens: one long block, and short ones behind one another."""
    tsu, lanes = _DRIVER.TsuDriver(dut, config()), config().lanes
    await tsu.start()
    bank = {slot: random_psi(slot, k=64, vocab=256, tail=0.5) for slot in range(256)}
    await tsu.load_bank(bank, "exp2")
    contexts = [(37 * number) % 256 for number in range(streams * lanes)]
    rates = {}
    for length, blocks in ((LONG, 1), (8, 20), (4, 20)):
        tags = [tsu.put_block(contexts, length) for _ in range(blocks)]
        before = tsu.draws.transfers
        while tsu.draws.transfers == before:
            await RisingEdge(dut.clk)
        first = tsu.draws.cycle
        for tag in tags:
            await tsu.good_status(tag, Opcode.BLOCK)
            rows = await tsu.take_block(len(contexts), tag=tag)
            assert all(len(row) == length for row in rows)
        rates[length] = blocks * len(contexts) * length / (tsu.draws.cycle - first + 1) / lanes
        dut._log.info(
            f"blocks: {lanes} lanes, {streams} streams each, {blocks} x {length} tokens: "
            f"{rates[length]:.4f} tokens per cycle and lane"
        )
    if streams >= FEWEST_STREAMS[config().level_stages]:
        assert min(rates.values()) >= LEAST_PER_CYCLE, f"{rates} tokens per cycle and lane, by length"
