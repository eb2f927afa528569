# SPDX-License-Identifier: Apache-2.0
"""The whole TSU on every class of psi, bit for bit against tests/reference/stream.py; long stalls, resets, refusals.

The classes are those of sim/coverage/groups.py: `make coverage` tells whether each was met.
"""

import math
import random
from functools import partial
from itertools import product
from pathlib import Path

import cocotb

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu.lowering import draw_command, load_command, lower, seed_command, weight_table
from hw.spec.commands import (
    COMMON_FIELDS,
    ENTRY_FIELDS,
    LOAD_FIELDS,
    LOAD_HEADER_WORDS,
    Field,
    Opcode,
    Status,
    WeightMode,
)
from hw.spec.config import TsuConfig
from hw.spec.registers import REGISTERS, constant_values
from hw.tsu.core import TsuCore
from sim.bench_file import load_module
from sim.bfm import cycles

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")
ReferenceTsu = load_module(_HERE.parent / "reference" / "stream.py").ReferenceTsu

SMALL = TsuConfig(k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {
    "small-2": SMALL.with_fields(lanes=2, level_stages=2, noise="lfsr"),
    "table": SMALL.with_fields(weight_source="table", block_ram=True),
    "exp2": SMALL.with_fields(weight_source="exp2", level_stages=3),
    "default-1": TsuConfig(),
}
TOPLEVELS = {name: partial(TsuCore, config=config) for name, config in CONFIGS.items()}

SHARES = {"none": 0.0, "small": 0.004, "middle": 0.3, "large": 0.8}
"""T / Z."""


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def modes() -> list[str]:
    built = {"table": config().has_table, "exp2": config().has_exp2}
    return [name for name, present in built.items() if present]


def psi_of(rng: random.Random, ids: list[int], vocab: int, *, nats: float, span: int, share: float) -> Psi:
    """A psi of these ids whose codes lie `span` apart and whose tail has about this share."""
    top = rng.randint(-128 + span, 127)
    codes = [top - rng.randint(0, span) for _ in ids]
    codes[0], codes[-1] = top - span, top
    head = sum(math.exp(-nats * (top - code)) for code in codes)
    tail = 0.0 if vocab == len(ids) else head * share / (1 - share)
    return Psi(ids=ids, scores_q=codes, scale=nats, zero_point=top, tau=1.0, tail=tail, vocab_size=vocab)


def some_ids(rng: random.Random, k: int, vocab: int) -> list[int]:
    return sorted(rng.sample(range(vocab), k))


def unnamed_bits(layout: dict[str, Field], words: int) -> list[int]:
    """For each word the bits that no field of the layout covers."""
    free = (1 << 32 * words) - 1
    for field in layout.values():
        free &= ~(((1 << field.width) - 1) << 32 * field.word + field.low)
    return [free >> 32 * index & 0xFFFF_FFFF for index in range(words)]


class Checked:
    """A TSU and the reference stream beside it."""

    def __init__(self, dut, *, stalled=()) -> None:
        self.tsu = _DRIVER.TsuDriver(dut, config(), stalled=stalled)
        self.reference = ReferenceTsu(config(), 0)

    async def check(self, psi: Psi, count: int, mode: str, what: str) -> None:
        """Load a psi and compare its total and draws."""
        tag, total = await self.tsu.load(psi, count, mode=mode)
        assert total == draft_law(psi, config(), mode).total, f"{what}: total {total}"
        found = await self.tsu.take(count, tag=tag)
        _SUPPORT.check(found, self.reference.rows(psi, count, mode), what)


async def started(dut, *, stalled=()) -> Checked:
    bench = Checked(dut, stalled=stalled)
    await bench.tsu.start()
    return bench


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(k=["1", "2", "few", "many", "k_max"])
async def psi_of_every_size_and_tail(dut, k):
    """K of 1, 2, k_max / 2, more and k_max with V = K, no tail and tails of 0.4, 30 and 80 %, in every mode."""
    bench, rng, most = await started(dut), random.Random(k), config().k_max
    number = {"1": 1, "2": 2, "few": most // 2 - 1, "many": most - 1, "k_max": most}[k]
    for mode, (name, share), all_ids in product(modes(), SHARES.items(), (False, True)):
        if all_ids and name != "none":
            continue
        vocab = number if all_ids else rng.randint(number + 2, config().vocab_max)
        span = 0 if number == 1 else 60
        psi = psi_of(rng, some_ids(rng, number, vocab), vocab, nats=0.02, span=span, share=share)
        await bench.check(psi, 40, mode, f"K {number}, V {vocab}, tail {name}, {mode}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def scores_of_every_step(dut):
    """0 to 30 nats between codes that lie 0 to 255 apart: flat, steep, and weights of zero."""
    bench, rng = await started(dut), random.Random(61)
    for mode, nats, span in product(modes(), (0.0, 0.005, 0.05, 0.5, 21.7, 30.0), (0, 100, 200, 255)):
        ids = some_ids(rng, 4, 30)
        psi = psi_of(rng, ids if span else ids[:1], 30, nats=nats, span=span, share=0.3)
        await bench.check(psi, 9, mode, f"{nats} nats, codes {span} apart, {mode}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def tails_of_every_size(dut):
    """Tails from 2^-30 of the best weight to one so heavy that the weights are shifted by 8 bits and more."""
    bench, rng = await started(dut), random.Random(62)
    for mode in modes():
        ids = some_ids(rng, 3, 40)
        for power in (*range(-30, 4, 3), config().headroom_bits + 8):
            tail = rng.uniform(1, 2) * 2.0**power
            psi = Psi(ids=ids, scores_q=[3, 9, 9], scale=0.1, zero_point=9, tau=1.0, tail=tail, vocab_size=40)
            await bench.check(psi, 20, mode, f"tail {tail} of the best weight, {mode}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def ids_at_both_ends_of_every_vocabulary(dut):
    """V = K, K + 1, between and vocab_max, with and without the first and the last token among the ids."""
    bench, rng, most = await started(dut), random.Random(63), config().vocab_max
    sets = [([0, 1, 2], 3), ([0, 1, 3], 4), ([0, 1, 2], 4), ([1, 2, 3], 4)]
    for vocab in (20, most):
        for first, last in product((0, 5), (vocab - 1, vocab - 4)):
            sets.append(([first, vocab // 2, last], vocab))
    for number, (ids, vocab) in enumerate(sets):
        psi = psi_of(rng, ids, vocab, nats=0.02, span=40, share=0.5)
        await bench.check(psi, 60, modes()[number % len(modes())], f"ids {ids} of {vocab}")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def long_stalls(dut):
    """Gaps inside a LOAD, statuses and draws not taken, each for 5, 50 and 500 cycles: nothing is lost."""
    bench, rng, mode = await started(dut), random.Random(64), modes()[0]
    tsu = bench.tsu
    psi = psi_of(rng, some_ids(rng, 5, 50), 50, nats=0.02, span=40, share=0.3)
    await bench.check(psi, 1, mode, "first")
    for wait in (5, 50, 500):
        words = [int(word) for word in draw_command(count=30, tag=wait)]
        tsu.draws.refuse()
        tsu.source.put(words[:1])
        await cycles(dut, wait)
        tsu.statuses.refuse()
        tsu.source.put([words[1] | 1 << 32])
        await cycles(dut, wait + 20)
        assert not tsu.statuses.taken
        tsu.statuses.want(_DRIVER.ENDLESS)
        await tsu.good_status(wait, Opcode.DRAW)
        assert not tsu.draws.taken
        tsu.draws.want(_DRIVER.ENDLESS)
        _SUPPORT.check(await tsu.take(30, tag=wait), bench.reference.rows(psi, 30, mode), f"after {wait} cycles")


@cocotb.test(timeout_time=5, timeout_unit="ms")
@cocotb.parametrize(situation=["idle", "inside_a_command", "before_a_status", "draws_owed"])
async def reset_in_every_situation(dut, situation):
    """After a reset there is no psi, and the streams are those of seed 0."""
    bench, rng, mode = await started(dut), random.Random(65), modes()[0]
    tsu = bench.tsu
    psi = psi_of(rng, some_ids(rng, 5, 50), 50, nats=0.02, span=40, share=0.3)
    await tsu.seed(4)
    tag, _ = await tsu.load(psi, 7, mode=mode)
    await tsu.take(7, tag=tag)
    match situation:
        case "inside_a_command":
            tsu.source.put([int(draw_command(count=3)[0])])
        case "before_a_status":
            tsu.statuses.refuse()
            tsu.put_draw(0)
        case "draws_owed":
            tsu.draws.refuse()
            tsu.put_draw(0xFFFF_FFFF)
    await cycles(dut, 40)
    await tsu.reset()
    tsu.statuses.want(_DRIVER.ENDLESS)
    tsu.draws.want(_DRIVER.ENDLESS)
    assert (await tsu.execute(draw_command(count=1)))[0] == Status.NO_PSI
    await bench.check(psi, 50, mode, f"after a reset, {situation}")
    assert not tsu.draws.taken


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def refusals_while_draws_are_owed(dut):
    """Refused commands of every opcode, and one that does not exist, behind a DRAW: its draws come as they should."""
    bench, rng, mode = await started(dut), random.Random(66), modes()[0]
    tsu = bench.tsu
    psi = psi_of(rng, some_ids(rng, 5, 50), 50, nats=0.02, span=40, share=0.3)
    await bench.check(psi, 5, mode, "first")
    tsu.draws.refuse()
    tag = tsu.put_draw(200)
    await tsu.good_status(tag, Opcode.DRAW)
    table = _DRIVER.table_command(weight_table(psi.scale, psi.tau, config().weight_bits)).tolist()
    for opcode in (0, 9, 0xFA):
        assert (await tsu.execute([0x0100 | opcode | 5 << 16]))[0] == Status.BAD_OPCODE
    assert (await tsu.execute([*draw_command(count=3).tolist(), 0]))[0] == Status.BAD_LENGTH
    for version in (0, 2, 0xFE):
        assert (await tsu.execute([table[0] ^ 0x0100 | version << 8, *table[1:]]))[0] == Status.BAD_VERSION
    tsu.draws.want(_DRIVER.ENDLESS)
    _SUPPORT.check(await tsu.take(200, tag=tag), bench.reference.rows(psi, 200, mode), "owed draws")
    await bench.check(psi, 50, mode, "next psi")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def zero_state_of_every_stream_is_refused(dut):
    """A SEED before any psi with one stream at zero: refused, whichever it is; a good one then starts the streams."""
    bench, rng, mode = await started(dut), random.Random(67), modes()[0]
    for stream in range(config().noise_streams):
        words = seed_command(config(), 8, tag=stream).tolist()
        words[1 + 4 * stream : 5 + 4 * stream] = [0] * 4
        assert await bench.tsu.execute(words) == (Status.BAD_SEED, 0)
    await bench.tsu.seed(8)
    bench.reference = ReferenceTsu(config(), 8)
    psi = psi_of(rng, some_ids(rng, 5, 50), 50, nats=0.02, span=40, share=0.3)
    await bench.check(psi, 50, mode, "after the good SEED")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def unnamed_bits_are_ignored(dut):
    """All bits of a LOAD, a DRAW and its entries that no field names are set: the psi is the same."""
    bench, rng = await started(dut), random.Random(68)
    tsu, header = bench.tsu, unnamed_bits(COMMON_FIELDS | LOAD_FIELDS, LOAD_HEADER_WORDS)
    (entry,) = unnamed_bits(ENTRY_FIELDS, 1)
    for mode in modes():
        psi = psi_of(rng, some_ids(rng, 5, 50), 50, nats=0.02, span=40, share=0.3)
        if mode == "table":
            await tsu.table(psi)
        words = load_command(lower(psi, config(), WeightMode[mode.upper()]), count=30, tag=9).tolist()
        words = [word | extra for word, extra in zip(words, header + [entry] * psi.k, strict=True)]
        assert await tsu.execute(words) == (Status.OK, draft_law(psi, config(), mode).total)
        _SUPPORT.check(await tsu.take(30, tag=9), bench.reference.rows(psi, 30, mode), mode)


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def registers_of_the_whole_tsu(dut):
    """Identity and configuration at their addresses; REFUSED_COUNT counts, and a reset clears it."""
    bench = await started(dut)

    async def read(name: str) -> int:
        dut.register_address.value = REGISTERS[name].address
        await cycles(dut, 3)
        return int(dut.register_data.value)

    for refused in range(4):
        assert await read("REFUSED_COUNT") == refused
        assert (await bench.tsu.execute(draw_command(count=1)))[0] == Status.NO_PSI
    for name, value in constant_values(config()).items():
        assert await read(name) == value, name
    await bench.tsu.reset()
    assert await read("REFUSED_COUNT") == 0
    assert await read("K_MAX") == config().k_max
