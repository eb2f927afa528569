# SPDX-License-Identifier: Apache-2.0
"""Loader on the RTL: every status and their order, what a LOAD writes, banks, waiting for draws."""

import random
from functools import partial
from itertools import accumulate, combinations
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from host.tsu.lowering import draw_command, load_command, lower, seed_command, table_command, weight_table
from hw.spec.commands import LOAD_FIELDS, LOAD_HEADER_WORDS, Opcode, Status, WeightMode, put_field
from hw.spec.config import TsuConfig
from hw.tsu.layouts import job_layout, status_layout
from hw.tsu.loader import Loader
from sim.bench_file import load_module
from sim.bfm import StreamSink, StreamSource, cycles, start
from sim.coverage.observe import observe

_HERE = Path(__file__).parent
_SUPPORT, _REFERENCE = load_module(_HERE / "support.py"), load_module(_HERE.parent / "reference" / "stream.py")
random_psi, reference_weights = _REFERENCE.random_psi, _REFERENCE.reference_weights

SMALL = TsuConfig(k_max=8, vocab_max=60, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {
    "both": SMALL,
    "table-3": SMALL.with_fields(weight_source="table", level_stages=3),
    "exp2": SMALL.with_fields(weight_source="exp2", lanes=2),
}
TOPLEVELS = {name: partial(Loader, config=config) for name, config in CONFIGS.items()}


def config():
    return CONFIGS[_SUPPORT.base_variant()]


def mode() -> WeightMode:
    """The mode of the tests that need only one."""
    return WeightMode.TABLE if config().has_table else WeightMode.EXP2


class Bench:
    """Sends commands; keeps the last value written to every place of trees and leaves, and the jobs."""

    def __init__(self, dut, *, kind: str = "none") -> None:
        self.dut = dut
        self.source = StreamSource(dut, "i_command", stalls=_SUPPORT.stalls(kind, 1))
        self.statuses = StreamSink(dut, "o_status", stalls=_SUPPORT.stalls(kind, 2))
        self.jobs = StreamSink(dut, "o_job", stalls=_SUPPORT.stalls(kind, 3))
        self.statuses.want(1 << 40)
        self.jobs.want(1 << 40)
        self.written: dict[tuple, int] = {}
        self.restarts = self.refusals = 0
        dut.bank_in_use.value = dut.params_in_use.value = 0
        cocotb.start_soon(self._watch())
        observe(dut, config())

    async def _watch(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            self.restarts += int(dut.restart_stb.value)
            self.refusals += int(dut.refused_stb.value)
            if dut.o_tree_write__stb.value == 1:
                place = (dut.o_tree_write__bank, dut.o_tree_write__rank, dut.o_tree_write__boundary)
                self.written["tree", *map(int_of, place)] = int(dut.o_tree_write__threshold.value)
            for kind in ("id", "weight"):
                if getattr(dut, f"o_leaf_write__{kind}_stb").value == 1:
                    place = (dut.o_leaf_write__bank, getattr(dut, f"o_leaf_write__{kind}_index"))
                    value = getattr(dut, f"o_leaf_write__{kind}")
                    self.written[kind, *map(int_of, place)] = int(value.value)

    def put(self, words) -> None:
        values = [int(word) for word in words]
        self.source.put([*values[:-1], values[-1] | 1 << 32])

    async def status(self) -> tuple[Status, int]:
        """Code and total of the next status."""
        (word,) = await self.statuses.read(1)
        fields = _SUPPORT.unpack(status_layout(), word)
        return Status(fields["code"]), fields["total"]

    async def execute(self, words) -> tuple[Status, int]:
        """One command; code and total, and checks of tag, opcode and refused_stb."""
        values, refusals = [int(word) for word in words], self.refusals
        self.put(values)
        (word,) = await self.statuses.read(1, bound=30_000)
        fields = _SUPPORT.unpack(status_layout(), word)
        assert (fields["tag"], fields["opcode"]) == (values[0] >> 16, values[0] & 0xFF), "status of another command"
        await cycles(self.dut, 2)
        assert self.refusals - refusals == (fields["code"] != Status.OK), "refused_stb"
        return Status(fields["code"]), fields["total"]

    async def table(self, psi) -> None:
        if config().has_table:
            entries = weight_table(psi.scale, psi.tau, config().weight_bits)
            assert await self.execute(table_command(entries, tag=5)) == (Status.OK, 0)


def int_of(port) -> int:
    return int(port.value)


async def started(dut, *, kind: str = "none") -> Bench:
    bench = Bench(dut, kind=kind)
    await start(dut)
    return bench


def load_of(psi, *, count: int = 0, tag: int = 9) -> list[int]:
    return load_command(lower(psi, config(), mode()), count=count, tag=tag).tolist()


def good_psi(seed: int = 1, *, k: int = 4, tail: float = 0.5):
    return random_psi(seed, k=k, vocab=50, tail=tail, scale=0.01)


def check_psi(bench: Bench, psi, *, bank: int) -> None:
    """Everything that was written for a psi, and its parameters, from the contract's integers."""
    weights, tail = reference_weights(psi, config(), mode().name.lower())
    total, k, n = sum(weights) + tail, psi.k, psi.vocab_size - psi.k
    c, reached, ids = (1 << config().uniform_bits) // total, list(accumulate(weights)), psi.ids.tolist()
    for index in range(k):
        assert bench.written["id", bank, index] == ids[index], f"id {index}"
        assert bench.written["weight", bank, index] == weights[index], f"weight {index}"
    for j in range(1, k):
        assert bench.written["tree", bank, 0, j] == c * reached[j - 1] - 1, f"threshold {j}"
        assert bench.written["tree", bank, 1, j] == ids[j - 1] - (j - 1), f"rank {j}"
    dut = bench.dut
    expected = {
        "reject_threshold": c * total - 1,
        "tail_threshold": c * reached[-1] - 1,
        "spread": n,
        "tail_reject": (1 << config().tail_noise_bits) % n if n > 1 else 0,
        "rank_last": ids[-1] - (k - 1),
        "tail_weight": tail,
    }
    for name, value in expected.items():
        assert int(getattr(dut, f"params__{name}").value) == value, f"params.{name}"


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def a_load_writes_the_integers_of_the_contract(dut, kind):
    """Every K, banks in turn, the job of each LOAD and of two DRAWs: only the first one is fresh."""
    bench, bank = await started(dut, kind=kind), 0
    for number in range(16):
        psi = good_psi(number, k=1 + number % 8, tail=(0.0, 0.5, 3.0)[number % 3])
        await bench.table(psi)
        bank ^= 1
        weights, tail = reference_weights(psi, config(), mode().name.lower())
        total = sum(weights) + tail
        first = 0 if number % 4 == 3 else 10 + number
        assert await bench.execute(load_of(psi, count=first, tag=number)) == (Status.OK, total)
        check_psi(bench, psi, bank=bank)
        assert await bench.execute(draw_command(count=7, tag=500)) == (Status.OK, total)
        assert await bench.execute(draw_command(count=0, tag=600)) == (Status.OK, total)
        assert await bench.execute(draw_command(count=(1 << 32) - 1, tag=0xFFFF)) == (Status.OK, total)
        check_psi(bench, psi, bank=bank)
        jobs = [(number, first, 1)] if first else []
        jobs += [(500, 7, int(not first)), (0xFFFF, (1 << 32) - 1, 0)]
        found = [_SUPPORT.unpack(job_layout(), word) for word in await bench.jobs.read(len(jobs))]
        expected = [{"bank": bank, "fresh": fresh, "count": count, "tag": tag} for tag, count, fresh in jobs]
        _SUPPORT.check(found, expected, f"jobs of psi {number}")
    assert not bench.jobs.taken


def set_field(words: list[int], name: str, value: int) -> None:
    """Overwrite a field of a LOAD."""
    field = LOAD_FIELDS[name]
    if field.width < 32:
        words[field.word] &= ~(((1 << field.width) - 1) << field.low)
    else:
        words[field.word] = words[field.word + 1] = 0
    put_field(words, LOAD_FIELDS, name, value)


def broken_rules() -> dict[Status, object]:
    """Functions that break one rule of a good LOAD each, in the documented order."""

    def version(words):
        words[0] ^= 0x0300

    def length(words):
        words.append(0)

    def k(words):
        set_field(words, "k", 0)
        del words[LOAD_HEADER_WORDS:]

    def vocab(words):
        set_field(words, "vocab_size", config().vocab_max + 1)

    def mode_missing(words):
        set_field(words, "mode", 1 - mode())

    def id_order(words):
        words[LOAD_HEADER_WORDS + 1] = words[LOAD_HEADER_WORDS + 1] & ~0xF_FFFF | words[LOAD_HEADER_WORDS] & 0xF_FFFF

    def score(words):
        words[2] = (words[2] + (1 << 24)) % (1 << 32)

    def tail(words):
        set_field(words, "tail_weight", 1 << config().total_bits)

    def total(words):
        set_field(words, "shift", 40)
        set_field(words, "tail_weight", 1)

    rules = {
        Status.BAD_VERSION: version,
        Status.BAD_LENGTH: length,
        Status.BAD_K: k,
        Status.BAD_VOCAB: vocab,
        Status.BAD_MODE: mode_missing,
        Status.BAD_ID: id_order,
        Status.BAD_SCORE: score,
        Status.BAD_TAIL: tail,
        Status.BAD_TOTAL: total,
    }
    if config().weight_source == "both":
        del rules[Status.BAD_MODE]
    return rules


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(kind=["none", "random"])
async def the_first_broken_rule_is_the_status(dut, kind):
    """Each rule alone and every pair of rules; a good LOAD in between shows that nothing is left over."""
    bench, rules = await started(dut, kind=kind), list(broken_rules().items())
    psi = good_psi()
    await bench.table(psi)
    total = sum(reference_weights(psi, config(), mode().name.lower())[0]) + lower(psi, config(), mode()).tail_weight
    cases = [(status,) for status, _ in rules] + list(combinations([status for status, _ in rules], 2))
    for case in cases:
        words = load_of(psi, count=3)
        # K = 0 takes the entries away that other rules break, and the wrong length comes on top.
        for status, breaks in sorted(rules, key=lambda rule: (rule[0] == Status.BAD_LENGTH, rule[0] == Status.BAD_K)):
            if status in case:
                breaks(words)
        if set(case) == {Status.BAD_TAIL, Status.BAD_TOTAL}:
            set_field(words, "tail_weight", 1 << config().total_bits)
        code, found = await bench.execute(words)
        assert (code, found) == (case[0], 0), f"{[status.name for status in case]}: {code.name}"
        if case[0] not in (Status.BAD_VERSION,):
            assert await bench.execute(draw_command(count=1)) == (Status.NO_PSI, 0), "a refused LOAD leaves a psi"
        assert not bench.jobs.taken, "a refused command makes a job"
        assert await bench.execute(load_of(psi)) == (Status.OK, total), f"behind {[status.name for status in case]}"


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def edges_of_every_rule(dut):
    """Values just inside and just outside each range."""
    bench = await started(dut)
    psi = good_psi(3, k=3, tail=0.0)
    await bench.table(psi)
    limit, best = config().vocab_max, psi.score_max_q

    async def expect(status: Status, **changes) -> None:
        words = load_of(psi)
        for name, value in ({"shift": 2} | changes).items():
            if name in LOAD_FIELDS:
                set_field(words, name, value)
        if "entries" in changes:
            words[LOAD_HEADER_WORDS:] = [token | (score & 0xFF) << 24 for token, score in changes["entries"]]
            set_field(words, "k", len(changes["entries"]))
        code, _ = await bench.execute(words)
        assert code == status, f"{changes}: {code.name}, expected {status.name}"

    flat = [(token, best) for token in range(20)]
    k_max = config().k_max
    await expect(Status.OK, entries=flat[:k_max])
    await expect(Status.BAD_K, entries=flat[: k_max + 1])
    await expect(Status.OK, entries=flat[:1], vocab_size=1)
    await expect(Status.OK, entries=flat[:3], vocab_size=3)
    await expect(Status.BAD_VOCAB, entries=flat[:3], vocab_size=2)
    await expect(Status.OK, entries=flat[:3], vocab_size=limit)
    await expect(Status.BAD_VOCAB, entries=flat[:3], vocab_size=limit + 1)
    await expect(Status.OK, entries=[(0, best), (49, best)], vocab_size=50)
    await expect(Status.BAD_ID, entries=[(0, best), (50, best)], vocab_size=50)
    await expect(Status.BAD_ID, entries=[(4, best), (4, best)])
    await expect(Status.BAD_ID, entries=[(4, best), (9, best), (8, best)])
    await expect(Status.BAD_SCORE, entries=[(4, best - 1), (9, best - 2)])
    await expect(Status.BAD_SCORE, entries=[(4, best), (9, best + 1)])
    await expect(Status.OK, entries=[(4, -128), (9, 127)], score_max_q=127)
    await expect(Status.OK, entries=[(4, -128), (9, -128)], score_max_q=-128)
    await expect(Status.OK, entries=[(4, -1), (9, -128)], score_max_q=-1)
    await expect(Status.BAD_SCORE, entries=[(4, 0), (9, -128)], score_max_q=-1)
    await expect(Status.BAD_TAIL, entries=flat[:3], vocab_size=3, tail_weight=1)
    await expect(Status.OK, entries=flat[:3], vocab_size=4, tail_weight=1)
    await expect(Status.BAD_TAIL, entries=flat[:3], vocab_size=4, tail_weight=1 << 63)
    # One id of weight 2^(W-1) / 2^h and a tail: both ends of the legal totals.
    weight = 1 << (config().weight_bits - 1)
    high, low = config().total_max, config().total_min
    one = flat[:1]
    await expect(Status.OK, entries=one, tail_weight=high - weight, shift=0)
    await expect(Status.BAD_TOTAL, entries=one, tail_weight=high - weight + 1, shift=0)
    await expect(Status.BAD_TOTAL, entries=one, tail_weight=high, shift=0)
    await expect(Status.OK, entries=one, tail_weight=low - 1, shift=20)
    await expect(Status.BAD_TOTAL, entries=one, tail_weight=low - 2, shift=20)


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(kind=["none", "random"])
async def tables_and_seeds(dut, kind):
    """NO_TABLE, BAD_SEED, NO_SEED, lengths; a SEED that is refused does not restart the lanes."""
    bench, psi = await started(dut, kind=kind), good_psi()
    table = table_command(weight_table(psi.scale, psi.tau, config().weight_bits), tag=2).tolist()
    if config().has_table:
        for length in (1, 512, 514):
            assert await bench.execute(load_of(psi)) == (Status.NO_TABLE, 0)
            words = load_of(psi)
            words[LOAD_HEADER_WORDS + 1] = words[LOAD_HEADER_WORDS]
            assert await bench.execute(words) == (Status.NO_TABLE, 0), "BAD_ID comes behind NO_TABLE"
            assert await bench.execute(table) == (Status.OK, 0)
            assert (await bench.execute(load_of(psi)))[0] == Status.OK
            assert await bench.execute([*table, 0][:length]) == (Status.BAD_LENGTH, 0)
        assert await bench.execute(table) == (Status.OK, 0)
    else:
        assert await bench.execute(table) == (Status.BAD_MODE, 0)
        assert await bench.execute(table[:-1]) == (Status.BAD_LENGTH, 0)
    seed = seed_command(config(), 3, tag=1).tolist()
    zero = seed.copy()
    zero[-4:] = [0] * 4
    assert (await bench.execute(load_of(psi, count=2)))[0] == Status.OK
    for bad, status in ((zero, Status.BAD_SEED), (seed[:-1], Status.BAD_LENGTH), (seed[:1], Status.BAD_LENGTH)):
        restarts = bench.restarts
        assert await bench.execute(bad) == (status, 0)
        assert bench.restarts == restarts, "a refused SEED restarts the lanes"
        assert await bench.execute(draw_command(count=1)) == (Status.NO_SEED, 0)
        assert (await bench.execute(draw_command(count=0)))[0] == Status.OK
        assert await bench.execute(load_of(psi, count=1)) == (Status.NO_SEED, 0)
        assert (await bench.execute(load_of(psi)))[0] == Status.OK
        assert await bench.execute(seed) == (Status.OK, 0)
        assert bench.restarts == restarts + 1
        assert (await bench.execute(draw_command(count=1)))[0] == Status.OK
    wrong = [seed[0] ^ 0x0300, *seed[1:]]
    restarts = bench.restarts
    assert await bench.execute(wrong) == (Status.BAD_VERSION, 0)
    assert bench.restarts == restarts


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_load_waits_for_its_bank_and_a_seed_for_all_draws(dut):
    """Only word 0 is taken while the target bank or the parameters are in use; DRAW and TABLE never wait."""
    bench, psi = await started(dut), good_psi()
    await bench.table(psi)
    assert (await bench.execute(load_of(psi, count=1)))[0] == Status.OK  # in bank 1; the next one goes to bank 0
    seed = seed_command(config(), 3).tolist()
    for words, in_use, params in ((load_of(psi), 0b01, 0), (load_of(psi), 0b00, 1), (seed, 0b01, 0), (seed, 0b10, 0)):
        if words is seed and in_use == 0b01:
            assert (await bench.execute(load_of(psi, count=1)))[0] == Status.OK
        dut.bank_in_use.value, dut.params_in_use.value = in_use, params
        assert (await bench.execute(draw_command(count=1)))[0] == Status.OK
        await bench.table(psi)
        before = bench.source.transfers
        bench.put(words)
        await cycles(dut, 100)
        assert bench.source.transfers == before + 1, f"in use {in_use:#b}: {bench.source.transfers - before} words"
        assert dut.busy.value == 1
        dut.bank_in_use.value = dut.params_in_use.value = 0
        assert (await bench.status())[0] == Status.OK
        if words is not seed:  # back to bank 1
            assert (await bench.execute(load_of(psi, count=1)))[0] == Status.OK
    # The bank that is sampled does not hold a LOAD back.
    assert (await bench.execute(load_of(psi, count=1)))[0] == Status.OK
    bank = _SUPPORT.unpack(job_layout(), bench.jobs.taken[-1])["bank"]
    dut.bank_in_use.value = 1 << bank
    assert (await bench.execute(load_of(psi, count=1)))[0] == Status.OK
    await cycles(dut, 2)
    assert dut.busy.value == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def a_load_of_one_word_touches_no_bank_in_use(dut):
    """It is not held back, since the gate sees the opcode first at word 1; it is refused, and writes no tree."""
    bench, psi = await started(dut), good_psi()
    await bench.table(psi)
    assert (await bench.execute(load_of(psi, count=1)))[0] == Status.OK  # in bank 1; the next one goes to bank 0
    dut.bank_in_use.value = 0b11
    bench.put(load_of(psi)[:1])
    for _ in range(60):
        await RisingEdge(dut.clk)
        assert dut.o_tree_write__stb.value == 0, "a bank in use was written"
    assert (await bench.status())[0] == Status.BAD_LENGTH


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(kind=["none", "random"])
async def random_words_never_stop_the_loader(dut, kind):
    """150 commands of random words and lengths: each has its status, none makes a job, a good LOAD still works."""
    bench, rng, psi = await started(dut, kind=kind), random.Random(81), good_psi()
    for _ in range(150):
        words = [rng.getrandbits(32) for _ in range(rng.choice([1, 2, 3, 8, 10, 12, 40]))]
        words[0] = words[0] & ~0xFFFF | rng.choice([0x0100, 0x0200, 0]) | rng.randrange(8)
        opcode = words[0] & 0xFF
        if opcode == Opcode.LOAD and len(words) > 3:
            words[3] = words[3] & ~0x7FF | rng.choice([0, max(0, len(words) - 8), rng.randrange(16)])
        code, total = await bench.execute(words)
        assert code != Status.OK, f"{words} was taken for a command"
        assert total == 0
    assert not bench.jobs.taken
    assert await bench.execute(seed_command(config(), 1)) == (Status.OK, 0)
    await bench.table(psi)
    assert (await bench.execute(load_of(psi, count=5)))[0] == Status.OK
    check_psi(bench, psi, bank=_SUPPORT.unpack(job_layout(), (await bench.jobs.read(1))[0])["bank"])
