# SPDX-License-Identifier: Apache-2.0
"""Blocks on the RTL, bit for bit against tests/reference/stream.py; and tokens per cycle of the streams."""

import random
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from host.golden.exact import draft_law
from host.tsu.lowering import block_command, context_command, lower, seed_command
from hw.spec.commands import Opcode, Status, WeightMode
from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore
from sim.bench_file import load_module
from sim.bfm import cycles

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")
_REFERENCE = load_module(_HERE.parent / "reference" / "stream.py")
STREAMS, TsuDriver = _DRIVER.STREAMS, _DRIVER.TsuDriver
ReferenceTsu, random_psi = _REFERENCE.ReferenceTsu, _REFERENCE.random_psi

SMALL = TsuConfig(
    k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8, contexts=16, streams=32
)
CONFIGS = {
    "small-1": SMALL,
    "small-4": SMALL.with_fields(lanes=4, level_stages=2),
    # Half of the heads and a third of the tails are rejected.
    "rejecting-2": SMALL.with_fields(lanes=2, guard_bits=1, tail_noise_bits=6, streams=16),
    "deep-1": SMALL.with_fields(level_stages=3, streams=64),
    "deep-2": SMALL.with_fields(level_stages=3, lanes=2),
    "block-ram-1": SMALL.with_fields(block_ram=True, contexts=2, streams=2),
}
TOPLEVELS = {name: partial(TsuCore, config=config) for name, config in CONFIGS.items()}

STALLED = {"none": (), **{name: (name,) for name in STREAMS}, "all": STREAMS}

SCALE, TAU = 0.03, 1.0


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def some_bank(seed: int, *, missing: int = 1):
    """A psi for all contexts but some, over a vocabulary a little larger than the contexts: some blocks end early."""
    rng, contexts = random.Random(seed), config().contexts
    vocab = contexts + 2
    slots = sorted(rng.sample(range(contexts), contexts - missing))
    return {slot: bank_psi(seed * 1000 + slot, vocab=vocab) for slot in slots}


def bank_psi(seed: int, *, vocab: int):
    """A psi of the bank: all have one scale and temperature, and so one table."""
    rng = random.Random(seed)
    k = rng.randint(1, min(config().k_max, vocab - 1))
    psi = random_psi(seed, k=k, vocab=vocab, tail=rng.choice([0.3, 1.0, 3.0]), scale=SCALE)
    return type(psi)(**{name: getattr(psi, name) for name in ("ids", "scores_q", "scale", "zero_point", "tail",
                                                              "vocab_size")}, tau=TAU)  # fmt: skip


def starts(rng: random.Random, bank, streams: int) -> list[int]:
    return [rng.choice(sorted(bank)) for _ in range(streams)]


async def started(dut, *, stalled=()) -> TsuDriver:
    tsu = TsuDriver(dut, config(), stalled=stalled)
    await tsu.start()
    return tsu


def check_block(found, expected, what: str) -> None:
    for number, (rows, due) in enumerate(zip(found, expected, strict=True)):
        _SUPPORT.check(rows, due, f"{what}, stream {number}")


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(stalled=list(STALLED), mode=["table", "exp2"])
async def blocks_equal_the_reference(dut, stalled, mode):
    """Blocks of 1 to 8 tokens and longer, of odd and even numbers of streams: every row, with any stalls."""
    if mode == "exp2" and stalled not in ("none", "all"):
        return
    tsu, rng = await started(dut, stalled=STALLED[stalled]), random.Random(11)
    bank, reference = some_bank(1), ReferenceTsu(config(), 77)
    await tsu.seed(77)
    await tsu.load_bank(bank, mode)
    most = config().streams
    shapes = [(rng.choice([1, 2, 3, 5, most - 1, most, rng.randint(1, most)]), length) for length in range(1, 9)]
    tokens = 0
    for streams, length in [*shapes, (most, 3), (1, 40), (min(3, most), 25)]:
        contexts = starts(rng, bank, min(streams, most))
        tag = tsu.put_block(contexts, length)
        assert await tsu.good_status(tag, Opcode.BLOCK) == 0
        found = await tsu.take_block(len(contexts), tag=tag)
        check_block(found, reference.blocks(bank, contexts, length, mode), f"{streams} streams of {length}")
        for context, rows in zip(contexts, found, strict=True):
            for token, weight, spread in rows:
                law = draft_law(bank[context], config(), mode)
                assert law.q(token) * law.total * spread == weight, f"token {token} claims another probability"
                context, tokens = token, tokens + 1
    assert tokens > 2 * most


@cocotb.test(timeout_time=4, timeout_unit="ms")
@cocotb.parametrize(stalled=list(STALLED))
async def draws_and_blocks_share_the_noise(dut, stalled):
    """LOAD, DRAW, BLOCK and SEED, all offered at once: every one takes the noise up where the one before left it."""
    tsu, rng = await started(dut, stalled=STALLED[stalled]), random.Random(12)
    bank, reference, jobs = some_bank(2, missing=0), ReferenceTsu(config(), 0), []
    await tsu.load_bank(bank, "table")
    psi = bank_psi(5, vocab=30)
    for number in range(24):
        kind = ("load", "block", "draw", "block", "block", "seed")[number % 6]
        count = rng.choice([1, 2, 3, 9, 31])
        contexts = starts(rng, bank, rng.randint(1, config().streams))
        if kind == "load":
            psi = bank_psi(100 + number, vocab=30)
            jobs.append((kind, tsu.put_load(psi, count, "table"), psi, count, contexts))
        elif kind == "draw":
            jobs.append((kind, tsu.put_draw(count), psi, count, contexts))
        elif kind == "block":
            length = rng.randint(1, 8)
            jobs.append((kind, tsu.put_block(contexts, length), psi, length, contexts))
        else:
            tag = tsu.next_tag()
            tsu.put(seed_command(config(), number, tag=tag))
            jobs.append((kind, tag, psi, number, contexts))
    opcodes = {"load": Opcode.LOAD, "block": Opcode.BLOCK, "draw": Opcode.DRAW, "seed": Opcode.SEED}
    for number, (kind, tag, psi, count, contexts) in enumerate(jobs):
        await tsu.good_status(tag, opcodes[kind])
        what = f"job {number}, {kind}"
        if kind == "seed":
            reference = ReferenceTsu(config(), count)
            tsu.restart()
        elif kind == "block":
            found = await tsu.take_block(len(contexts), tag=tag)
            check_block(found, reference.blocks(bank, contexts, count, "table"), what)
        else:
            _SUPPORT.check(await tsu.take(count, tag=tag), reference.rows(psi, count, "table"), what)


@cocotb.test(timeout_time=3, timeout_unit="ms")
async def a_slot_is_not_written_while_blocks_are_drawn(dut):
    """With o_draw blocked, BLOCK and LOAD are accepted behind a BLOCK, a CONTEXT waits; nothing is lost."""
    tsu, rng = await started(dut), random.Random(13)
    bank, reference = some_bank(3, missing=0), ReferenceTsu(config(), 0)
    await tsu.load_bank(bank, "table")
    tsu.draws.refuse()
    # Streams that have all started when the results of the first block have nowhere to go.
    blocks = [(starts(rng, bank, min(8, config().streams)), 30) for _ in range(2)]
    tags = [tsu.put_block(*block) for block in blocks]
    psi, other = bank_psi(9, vocab=20), bank_psi(10, vocab=config().contexts)
    load = tsu.put_load(psi, 0, "table")
    context = tsu.put_context(0, other, "table")
    for tag in tags:
        await tsu.good_status(tag, Opcode.BLOCK)
    await tsu.good_status(load, Opcode.LOAD)
    await cycles(dut, 1500)
    assert not tsu.statuses.taken, "a slot was written while blocks were drawn from the bank"
    tsu.draws.want(_DRIVER.ENDLESS)
    for tag, (contexts, length) in zip(tags, blocks, strict=True):
        expected = reference.blocks(bank, contexts, length, "table")
        check_block(await tsu.take_block(len(contexts), tag=tag), expected, f"block {tag:#x}")
    await tsu.good_status(context, Opcode.CONTEXT)
    bank[0] = other
    tag = tsu.put_block([0] * config().streams, 4)
    await tsu.good_status(tag, Opcode.BLOCK)
    expected = reference.blocks(bank, [0] * config().streams, 4, "table")
    check_block(await tsu.take_block(config().streams, tag=tag), expected, "the new psi")


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def refused_commands_draw_nothing(dut, stalled):
    """Each rule of CONTEXT and BLOCK: its status, what it leaves of slots and psi, and no word of noise is taken."""
    tsu, rng = await started(dut, stalled=STALLED[stalled]), random.Random(14)
    contexts, most, reference = config().contexts, config().streams, ReferenceTsu(config(), 0)
    bank = some_bank(4)
    await tsu.load_bank(bank, "table")
    (hole,) = set(range(contexts)) - set(bank)
    good = next(iter(bank))

    async def refused(words, status: Status) -> None:
        assert await tsu.execute(words) == (status, 0), f"expected {status.name}"

    async def block_is_right(length: int = 3) -> None:
        begin = starts(rng, bank, rng.randint(1, most))
        tag = tsu.put_block(begin, length)
        await tsu.good_status(tag, Opcode.BLOCK)
        expected = reference.blocks(bank, begin, length, "table")
        check_block(await tsu.take_block(len(begin), tag=tag), expected, "a block")

    def block(begin, length=2):
        return block_command(_DRIVER.np.array(begin, dtype=_DRIVER.np.uint32), length=length).tolist()

    await refused(block([hole]), Status.BAD_CONTEXT)
    await refused(block([good, hole]), Status.BAD_CONTEXT)
    await refused(block([hole, good]), Status.BAD_CONTEXT)
    for beyond in (contexts, contexts + good, 1 << 19):
        await refused(block([good, beyond]), Status.BAD_CONTEXT)
    await refused(block([]), Status.BAD_LENGTH)
    await refused(block([good])[:1], Status.BAD_LENGTH)
    await refused(block([good] * (most + 1)), Status.BAD_LENGTH)
    await refused([block([good])[0] + 0x0100, 2, good], Status.BAD_VERSION)
    await refused([7 | 1 << 8, 2, good], Status.BAD_OPCODE)
    await block_is_right()
    assert await tsu.execute(block([good], 0)) == (Status.OK, 0)
    assert await tsu.execute([*block([good])[:1], 1 << 16, good]) == (Status.OK, 0)

    # A CONTEXT leaves no psi for DRAW; one without a whole header leaves its slot, one with it empties the slot first.
    psi = bank_psi(1, vocab=20)
    lowered = lower(psi, config(), WeightMode.TABLE)
    tag, _ = await tsu.load(psi, 7)
    _SUPPORT.check(await tsu.take(7, tag=tag), reference.rows(psi, 7, "table"), "before")
    words = context_command(lowered, slot=good).tolist()
    for length in (1, 2, 3, 7):
        await refused(words[:length], Status.BAD_LENGTH)
    await refused([2 | 1 << 8, 3], Status.NO_PSI)
    await tsu.table(next(iter(bank.values())))
    await block_is_right()
    await refused([words[0], contexts + good, *words[2:]], Status.BAD_CONTEXT)
    await refused([words[0], 1 << 31 | good, *words[2:]], Status.BAD_CONTEXT)
    await refused([words[0], 1 << 31 | good, *words[2:], 0], Status.BAD_LENGTH)
    await block_is_right()
    tag, _ = await tsu.load(psi, 3)
    _SUPPORT.check(await tsu.take(3, tag=tag), reference.rows(psi, 3, "table"), "a LOAD behind")
    await refused([*words, 5], Status.BAD_LENGTH)
    await refused(block([good]), Status.BAD_CONTEXT)
    await tsu.table(next(iter(bank.values())))
    await tsu.good_status(tsu.put_context(good, bank[good], "table"), Opcode.CONTEXT)
    await block_is_right()
    await refused([*words[:8], *(words[8:] + words[8:9])[-psi.k :]] if psi.k > 1 else [*words[:8], 63], Status.BAD_ID)
    await refused(block([good]), Status.BAD_CONTEXT)
    del bank[good]
    if bank:
        await block_is_right()
    await refused(seed_command(config(), 5)[:1], Status.BAD_LENGTH)
    if bank:
        await refused(block([next(iter(bank))]), Status.NO_SEED)
        assert await tsu.execute(block([next(iter(bank))], 0)) == (Status.OK, 0)
        await tsu.seed(3)
        reference = ReferenceTsu(config(), 3)
        await block_is_right(8)
    await cycles(dut, 200)
    assert not tsu.draws.taken, "a refused command delivered draws"


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(stalled=["none", "all"])
async def reset_in_a_block(dut, stalled):
    """A reset while streams are under way: no slot holds a psi, and the next block is that of seed 0."""
    tsu, rng = await started(dut, stalled=STALLED[stalled]), random.Random(15)
    bank = some_bank(6, missing=0)
    for taken in (0, 40, 173):
        await tsu.load_bank(bank, "table")
        tag = tsu.put_block(starts(rng, bank, config().streams), 60_000)
        await tsu.good_status(tag, Opcode.BLOCK)
        await cycles(dut, taken)
        await tsu.reset()
        for slot in bank:
            words = block_command(_DRIVER.np.array([slot], dtype=_DRIVER.np.uint32), length=1)
            assert await tsu.execute(words) == (Status.BAD_CONTEXT, 0)
        await tsu.load_bank(bank, "table")
        begin = starts(rng, bank, config().streams)
        tag = tsu.put_block(begin, 5)
        await tsu.good_status(tag, Opcode.BLOCK)
        expected = ReferenceTsu(config(), 0).blocks(bank, begin, 5, "table")
        check_block(await tsu.take_block(len(begin), tag=tag), expected, "after reset")
        assert not tsu.draws.taken
        await tsu.reset()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def nothing_happens_between_blocks(dut):
    """Behind the last beat of a block the TSU is still, and `busy` falls."""
    tsu = await started(dut)
    bank = some_bank(7, missing=0)
    await tsu.load_bank(bank, "table")
    tag = tsu.put_block([0], 1)
    await tsu.good_status(tag, Opcode.BLOCK)
    await tsu.take_block(1, tag=tag)
    await cycles(dut, 100)
    assert dut.busy.value == 0 and not tsu.draws.taken
    for _ in range(3):
        await RisingEdge(dut.clk)
