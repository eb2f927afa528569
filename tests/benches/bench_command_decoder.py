# SPDX-License-Identifier: Apache-2.0
"""Command decoder on the RTL: fields, entries, table and seed words, verdicts, and the command after a wrong one."""

import random
from functools import partial
from pathlib import Path

import cocotb
from amaranth.lib import data
from cocotb.triggers import RisingEdge

from hw.spec.commands import (
    COMMON_FIELDS,
    DRAW_COMMAND_WORDS,
    ENTRY_FIELDS,
    LOAD_FIELDS,
    LOAD_HEADER_WORDS,
    TABLE_COMMAND_WORDS,
    Opcode,
    get_field,
    opcodes,
    seed_word_count,
)
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.noise import STATE_WORDS
from hw.tsu.command_decoder import CommandDecoder, header_layout
from sim.bench_file import load_module
from sim.bfm import StreamSource, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

CONFIGS = {"default": TsuConfig(k_max=16), "tiny": PRESETS["tiny"]}
TOPLEVELS = {name: partial(CommandDecoder, config=config) for name, config in CONFIGS.items()}


def config():
    return CONFIGS[_SUPPORT.base_variant()]


class Bench:
    """Sends commands with stalls on the stream, on `enable` and on `gate`; collects what the decoder says."""

    def __init__(self, dut, *, kind: str) -> None:
        self.dut = dut
        self.source = StreamSource(dut, "i_command", stalls=_SUPPORT.stalls(kind, 1))
        self.enable, self.gate = _SUPPORT.stalls(kind, 2), _SUPPORT.stalls(kind, 3)
        dut.enable.value = dut.gate.value = 1
        self.entry = data.StructLayout(
            {"stb": 1, "index": config().depth, **{name: field.width for name, field in ENTRY_FIELDS.items()}}
        )
        self.table = data.StructLayout({"stb": 1, "index": 8, "entry": config().weight_bits})
        self.clear()
        cocotb.start_soon(self._watch())

    def clear(self) -> None:
        self.entries, self.tables, self.seeds, self.headers, self.verdicts = [], [], [], 0, []

    async def _watch(self) -> None:
        dut, ended = self.dut, False
        while True:
            await RisingEdge(dut.clk)
            entry, table = (
                _SUPPORT.unpack(layout, int(port.value))
                for layout, port in ((self.entry, dut.entry), (self.table, dut.table))
            )
            if entry.pop("stb"):
                self.entries.append(entry)
            if table.pop("stb"):
                self.tables.append((table["index"], table["entry"]))
            seed = int(dut.seed.value)
            if seed & 1:
                assert dut.seeding.value == 1, "a seed word without seeding"
                self.seeds.append(seed >> 1)
            self.headers += int(dut.header_stb.value)
            if ended:
                bits = (dut.bad_opcode, dut.bad_version, dut.bad_length, dut.seed_zero)
                header = _SUPPORT.unpack(header_layout(config()), int(dut.header.value))
                self.verdicts.append(([int(bit.value) for bit in bits], header))
            ended = dut.end_stb.value == 1 and dut.rst.value == 0
            dut.enable.value, dut.gate.value = int(not next(self.enable)), int(not next(self.gate))

    async def send(self, words: list[int]) -> tuple[list[int], dict]:
        """One command; verdict bits and header. The next one is only sent when they are known, as in the loader."""
        await self.source.send([*words[:-1], words[-1] | 1 << 32], bound=1000 + 20 * len(words))
        for _ in range(50):
            if self.verdicts:
                break
            await RisingEdge(self.dut.clk)
        (verdict,) = self.verdicts
        self.verdicts = []
        return verdict


def expected_length(opcode: int, k: int) -> int | None:
    return {
        Opcode.LOAD: LOAD_HEADER_WORDS + k,
        Opcode.DRAW: DRAW_COMMAND_WORDS,
        Opcode.TABLE: TABLE_COMMAND_WORDS,
        Opcode.SEED: seed_word_count(config().noise_streams, STATE_WORDS),
    }.get(opcode)


def command(rng: random.Random, opcode: int, length: int, *, version: int = 1, k: int | None = None) -> list[int]:
    """Random words with opcode, version and K in place."""
    words = [rng.getrandbits(32) for _ in range(length)]
    words[0] = words[0] & ~0xFFFF | version << 8 | opcode
    if opcode == Opcode.LOAD and length > 3 and k is not None:
        words[3] = words[3] & ~0x7FF | k
    return words


async def started(dut, kind: str) -> Bench:
    bench = Bench(dut, kind=kind)
    await start(dut)
    return bench


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def fields_and_entries_of_a_load(dut, kind):
    """Random header words: every named field; every entry once, in order."""
    bench, rng = await started(dut, kind), random.Random(61)
    for number in range(30):
        k = 1 + number % config().k_max
        words = command(rng, Opcode.LOAD, LOAD_HEADER_WORDS + k, k=k)
        if number == 0:
            words[4:8] = [0xFFFF_FFFF] * 4
        bits, header = await bench.send(words)
        assert bits[:3] == [0, 0, 0], f"verdict {bits}"
        assert bench.headers == 1
        for name in COMMON_FIELDS | LOAD_FIELDS:
            value = get_field(words, COMMON_FIELDS | LOAD_FIELDS, name)
            if name == "tail_weight":
                assert header["tail_excess"] == (value >> config().total_bits > 0), f"tail {value:#x}"
                value %= 1 << config().total_bits
            assert header[name] == value, f"{name} is {header[name]:#x}, expected {value:#x}"
        entries = [
            {"index": index, **{name: get_field([word], ENTRY_FIELDS, name) for name in ENTRY_FIELDS}}
            for index, word in enumerate(words[LOAD_HEADER_WORDS:])
        ]
        _SUPPORT.check(bench.entries, entries, "entries")
        assert not bench.tables and not bench.seeds
        bench.clear()


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def words_of_a_table_and_of_a_seed(dut, kind):
    """256 entries, low word first; every seed word in order; a zero state of any stream is reported."""
    bench, rng = await started(dut, kind), random.Random(62)
    words = command(rng, Opcode.TABLE, TABLE_COMMAND_WORDS)
    bits, _ = await bench.send(words)
    assert bits[:3] == [0, 0, 0]
    entries = [(words[1 + 2 * d] | words[2 + 2 * d] << 32) % (1 << config().weight_bits) for d in range(256)]
    _SUPPORT.check(bench.tables, list(enumerate(entries)), "table")
    assert not bench.entries and not bench.seeds and not bench.headers
    bench.clear()
    streams = config().noise_streams
    for zero in (None, *range(streams), None):
        words = command(rng, Opcode.SEED, expected_length(Opcode.SEED, 0))
        for stream in range(streams):
            words[1 + 4 * stream : 5 + 4 * stream] = [0] * 4
            if stream != zero:
                words[1 + 4 * stream + rng.randrange(4)] = 1 << rng.randrange(32)
        bits, _ = await bench.send(words)
        assert bits == [0, 0, 0, int(zero is not None)], f"zero state in stream {zero}: {bits}"
        _SUPPORT.check(bench.seeds, words[1:], "seed")
        assert not bench.tables and not bench.entries
        bench.clear()


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def lengths_versions_and_opcodes(dut, kind):
    """Too short, right and too long by 1 or many, wrong versions, unknown opcodes; a good DRAW behind each is good."""
    bench, rng = await started(dut, kind), random.Random(63)
    cases = []
    for opcode in opcodes(0):
        k = rng.randint(1, config().k_max)
        right = expected_length(opcode, k)
        lengths = {1, 2, 3, 7, 8, 9, right - 1, right, right + 1, right + 40} - {0}
        cases += [(opcode, 1, length, k) for length in lengths]
        cases += [(opcode, version, right, k) for version in (0, 2, 0xFF)]
    cases += [(opcode, version, length, 0) for opcode in (0, 5, 0xFF) for version in (1, 3) for length in (1, 2, 30)]
    cases += [(Opcode.LOAD, 1, 8, 0)]
    if kind == "none":  # these words take long
        cases += [(Opcode.LOAD, 1, 8 + 2047, 2047), (5, 1, 5000, 0), (Opcode.SEED, 1, 4200, 0)]
    rng.shuffle(cases)
    for opcode, version, length, k in cases:
        bits, _ = await bench.send(command(rng, opcode, length, version=version, k=k))
        right = expected_length(opcode, k)
        what = f"opcode {opcode}, version {version}, {length} words: {bits}"
        assert bits[0] == (right is None), what
        assert bits[1] == (version != 1), what
        if right is not None and version == 1:
            assert bits[2] == (length != right), what
        if version != 1:
            assert not (bench.entries or bench.tables or bench.seeds or bench.headers), f"{what}: words were used"
        bench.clear()
        bits, header = await bench.send(words := command(rng, Opcode.DRAW, 2))
        assert bits[:3] == [0, 0, 0], f"DRAW behind {what}"
        assert (header["tag"], header["count"]) == (words[0] >> 16, words[1]), "DRAW has other fields"


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def gate_holds_a_command_behind_its_first_word(dut):
    """Without the gate word 0 is taken and word 1 waits; a SEED that waits does not disturb the noise."""
    bench = await started(dut, "none")
    for opcode in (Opcode.LOAD, Opcode.SEED):
        await cycles(dut, 5)
        length = expected_length(opcode, 3)
        words = command(random.Random(64), opcode, length, k=3)
        bench.gate = iter([True] * 40 + [False] * 10_000)
        before = bench.source.transfers
        bench.source.put([*words[:-1], words[-1] | 1 << 32])
        for _ in range(30):
            await RisingEdge(dut.clk)
            assert dut.seeding.value == 0, "noise is held back while the command waits for draws"
        assert bench.source.transfers == before + 1
        for _ in range(length + 60):
            await RisingEdge(dut.clk)
        assert bench.source.transfers == before + length
        assert len(bench.verdicts) == 1
        bench.clear()


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_in_mid_command(dut):
    """After a reset the next word is word 0."""
    bench, rng = await started(dut, "none"), random.Random(65)
    for taken in (1, 2, 5, 8, 10):
        bench.source.put(command(rng, Opcode.LOAD, 12, k=4)[:taken])
        await cycles(dut, taken + 4)
        dut.rst.value = 1
        await cycles(dut, 1)
        bench.source.drop()
        await cycles(dut, 1)
        dut.rst.value = 0
        await cycles(dut, 2)
        bench.clear()
        bits, header = await bench.send(words := command(rng, Opcode.DRAW, 2))
        assert bits[:3] == [0, 0, 0] and header["count"] == words[1], f"reset behind word {taken}"
        bench.clear()
