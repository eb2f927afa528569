# SPDX-License-Identifier: Apache-2.0
"""The law of the RTL, without tolerance: every noise word goes through the whole TSU, and draws are counted.

With c = floor(2^U / Z), n = V - K and tb tail bits, the contract leaves A = n floor(2^tb / n) tail words (all 2^tb
where n = 0). Then id k must come exactly c w_k A times, each other token exactly c T floor(2^tb / n) times, and nothing
else.
"""

import random
from collections import Counter
from functools import partial
from pathlib import Path

import cocotb
import numpy as np
from cocotb.triggers import RisingEdge

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu.lowering import load_command, lower, table_command
from hw.spec.commands import Opcode, Status, WeightMode
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.core import TsuCore
from sim.bench_file import load_module
from sim.bfm import StreamSource, cycles

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")

TINY = PRESETS["tiny"]
CONFIGS = {
    "tiny": TINY,
    "tiny-deep": TINY.with_fields(level_stages=3),
    "lanes-2": TINY.with_fields(lanes=2, level_stages=2),
    "two-ids": TsuConfig(k_max=2, vocab_max=16, weight_bits=6, headroom_bits=0, guard_bits=3, tail_noise_bits=4),
    "eight-ids": TsuConfig(k_max=8, vocab_max=32, weight_bits=6, headroom_bits=1, guard_bits=1, tail_noise_bits=6),
}
TOPLEVELS = {name: partial(TsuCore, config=config, external_noise=True) for name, config in CONFIGS.items()}

CASES = {
    "head_tail": ([1, 4], [16, 7], 13, 14),
    "v_is_k": ([0, 1], [31, 17], 0, 2),
    "tail_tiny": ([0, 9], [30, 29], 1, 16),
    "tail_heavy": ([3, 15], [1, 2], 45, 16),
    "one_id": ([9], [11], 20, 16),
    "one_token": ([0], [31], 0, 1),
    "tail_zero": ([9], [19], 0, 16),
    "one_tail": ([0, 2], [9, 9], 5, 3),
    "z_above": ([5, 6], [16, 8], 9, 12),
    "z_power": ([5, 6], [16, 8], 8, 12),
    "z_below": ([5, 6], [16, 8], 7, 12),
}
"""Ids, weights, tail weight, V: legal in every configuration. Z lies above, on and below a power of two in three."""

WIDE_CASES = {
    "eight-ids": {
        "full_tree": ([0, 3, 4, 5, 9, 20, 21, 31], [30, 1, 1, 7, 20, 2, 3, 9], 40, 32),
        "seven_ids": ([2, 3, 4, 5, 9, 20, 30], [1, 2, 3, 4, 5, 6, 7], 99, 31),
        "five_ids": ([27, 28, 29, 30, 31], [1, 1, 1, 1, 30], 1, 32),
    },
    "tiny": {
        "full_tree": ([0, 5, 6, 15], [16, 7, 3, 1], 13, 16),
        "three_ids": ([1, 2, 3], [31, 1, 1], 30, 14),
        "z_least": ([7], [1], 2, 9),
    },
}
WIDE_CASES["tiny-deep"] = WIDE_CASES["lanes-2"] = WIDE_CASES["tiny"]
WIDE_NAMES = sorted({name for cases in WIDE_CASES.values() for name in cases})


def config():
    return CONFIGS[_SUPPORT.base_variant()]


class Bench:
    """One TSU whose noise comes from here."""

    def __init__(self, dut, *, kind: str = "none") -> None:
        self.dut = dut
        self.tsu = _DRIVER.TsuDriver(dut, config(), stalled=() if kind == "none" else _DRIVER.STREAMS)
        self.noise = [
            StreamSource(dut, f"i_noise__{lane}", stalls=_SUPPORT.stalls(kind, 20 + lane))
            for lane in range(config().lanes)
        ]

    async def load(self, ids, weights, tail, vocab) -> None:
        """A psi of arbitrary integer weights: table entry d is the weight of id d, whose code is -d."""
        entries = np.ones(256, dtype=np.uint64)
        entries[: len(weights)] = weights
        assert await self.tsu.execute(table_command(entries)) == (Status.OK, 0)
        psi = Psi(
            ids=ids,
            scores_q=[-d for d in range(len(ids))],
            scale=1.0,
            zero_point=0,
            tau=1.0,
            tail=0.0,
            vocab_size=vocab,
        )
        words = load_command(lower(psi, config(), WeightMode.TABLE), count=0).tolist()
        words[3] &= ~(0x3F << 24)  # shift 0
        words[4] = tail
        total = sum(weights) + tail
        assert await self.tsu.execute(words) == (Status.OK, total), "the psi was refused"

    async def count_draws(self, ids, weights, tail, vocab, *, seed: int) -> None:
        """Send every noise word once to every lane, ask for one draw more than there must be, and count."""
        uniform_bits, tail_bits, lanes = config().uniform_bits, config().tail_noise_bits, config().lanes
        total, n = sum(weights) + tail, vocab - len(ids)
        c = (1 << uniform_bits) // total
        each = (1 << tail_bits) // n if n else 0
        kept = n * each if n else 1 << tail_bits
        expected = Counter({(token, w, 1): c * w * kept for token, w in zip(ids, weights, strict=True)})
        if tail:
            expected.update({(token, tail, n): c * tail * each for token in range(vocab) if token not in ids})
        draws = c * total * kept
        assert sum(expected.values()) == draws

        bits, rng = uniform_bits + tail_bits, random.Random(seed)
        for source in self.noise:
            words = list(range(1 << bits))
            rng.shuffle(words)
            unused = 32 * config().noise_words - bits
            source.put(word | rng.getrandbits(unused) << bits for word in words)
        tag = self.tsu.put_draw(lanes * (draws + 1))
        await self.tsu.good_status(tag, Opcode.DRAW)
        found = await self.tsu.take(lanes * draws, tag=tag, whole=False, bound=8 << bits)
        for lane in range(lanes):
            assert Counter(found[lane::lanes]) == expected, f"lane {lane}: counts differ from the integer weights"
        for _ in range(4 << bits):
            if all(source.transfers == 1 << bits for source in self.noise):
                break
            await RisingEdge(self.dut.clk)
        await cycles(self.dut, 100)
        assert [source.transfers for source in self.noise] == [1 << bits] * lanes, "some words were not taken"
        assert not self.tsu.draws.taken, "a word more than expected was accepted"


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(case=list(CASES))
async def every_noise_word(dut, case):
    """Counts equal the integer weights."""
    bench = Bench(dut)
    await bench.tsu.start()
    await bench.load(*CASES[case])
    await bench.count_draws(*CASES[case], seed=len(case))


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(case=WIDE_NAMES)
async def every_noise_word_with_more_ids(dut, case):
    """The same for psi that need a larger tree."""
    cases = WIDE_CASES.get(_SUPPORT.base_variant(), {})
    if case not in cases:
        return
    bench = Bench(dut)
    await bench.tsu.start()
    await bench.load(*cases[case])
    await bench.count_draws(*cases[case], seed=len(case))


@cocotb.test(timeout_time=8, timeout_unit="ms")
async def every_noise_word_under_stalls(dut):
    """Stalls on noise, commands, statuses and draws change no count."""
    bench = Bench(dut, kind="random")
    await bench.tsu.start()
    await bench.load(*CASES["head_tail"])
    await bench.count_draws(*CASES["head_tail"], seed=1)


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(mode=["table", "exp2"])
async def every_noise_word_of_a_crafted_psi(dut, mode):
    """A psi with scores, temperature and tail mass: counts equal the weights of host.golden.exact.draft_law."""
    bench = Bench(dut)
    await bench.tsu.start()
    psi = Psi(ids=[2, 11], scores_q=[5, -20], scale=0.06, zero_point=3, tau=0.9, tail=0.4, vocab_size=16)
    law = draft_law(psi, config(), mode)
    _, total = await bench.tsu.load(psi, 0, mode=mode)
    assert total == law.total
    await bench.count_draws(psi.ids.tolist(), law.weights.tolist(), law.tail_weight, psi.vocab_size, seed=3)
