# SPDX-License-Identifier: Apache-2.0
"""CommandDispatcher on the RTL: every word to its groups, once and in order; statuses in the order of the commands."""

import random
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.tsu.command_dispatcher import CommandDispatcher
from sim.bench_file import load_module
from sim.bfm import StreamSink, StreamSource, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

GROUPS = {"groups-2": 2, "groups-3": 3, "groups-5": 5}
TOPLEVELS = {name: partial(CommandDispatcher, groups=groups) for name, groups in GROUPS.items()}

LOAD, DRAW, TABLE, SEED = 0x0101, 0x0102, 0x0103, 0x0104
LAST = 1 << 32


def groups() -> int:
    return GROUPS[_SUPPORT.base_variant()]


def ref_groups(first_words: list[int]) -> list[list[int]]:
    """Groups of each command, told apart by counting the LOADs behind the last SEED."""
    found = []
    for place, word in enumerate(first_words):
        before = [other & 0xFFFF for other in first_words[:place]]
        since_seed = before[len(before) - before[::-1].index(SEED) :] if SEED in before else before
        turn = since_seed.count(LOAD) % groups()
        if word & 0xFFFF in (SEED, TABLE):
            found.append(list(range(groups())))
        elif word & 0xFFFF == LOAD:
            found.append([turn])
        else:
            loads = [index for index, other in enumerate(before) if other == LOAD]
            found.append(found[loads[-1]] if loads else [0])
    return found


class Group(StreamSink):
    """Takes one command after the other and answers each after a while; takes no word until its answer is gone.

    A command whose words are taken by all groups is answered alike by all; the answer of another names the group.
    """

    def __init__(self, dut, number: int, *, stalls, answers, rng: random.Random) -> None:
        self._number, self._rng = number, rng
        self.words: list[list[int]] = [[]]
        super().__init__(dut, f"o_command__{number}", stalls=stalls)
        self._answers = StreamSource(dut, f"i_status__{number}", stalls=answers)
        cocotb.start_soon(self._serve())
        self.want(1 << 40)

    def _transferred(self, payload: int) -> None:
        super()._transferred(payload)
        self.words[-1].append(payload & ~LAST)
        if payload & LAST:
            self.words.append([])
            self.refuse()

    async def _serve(self) -> None:
        while True:
            answered = self._answers.transfers
            while self._wanted:
                await RisingEdge(self._dut.clk)
            word = self.words[-2][0]
            await cycles(self._dut, self._rng.randrange(40))
            shared = word & 0xFFFF in (SEED, TABLE)
            self._answers.put([word | (0xAA if shared else self._number) << 32 | 0x5 << 90])
            while self._answers.transfers == answered:
                await RisingEdge(self._dut.clk)
            self.want(1 << 40)


class Bench:
    """Offers commands to the dispatcher, whose groups answer them."""

    def __init__(self, dut, *, kind: str, seed: int) -> None:
        self.dut = dut
        self.source = StreamSource(dut, "i_command", stalls=_SUPPORT.stalls(kind, 1))
        self.statuses = StreamSink(dut, "o_status", stalls=_SUPPORT.stalls(kind, 2))
        self.groups = [
            Group(
                dut,
                number,
                stalls=_SUPPORT.stalls(kind, 3 + number),
                answers=_SUPPORT.stalls(kind, 20 + number),
                rng=random.Random(seed + number),
            )
            for number in range(groups())
        ]

    def put(self, command: list[int]) -> None:
        self.source.put([*command[:-1], command[-1] | LAST])


async def started(dut, *, kind: str = "none", seed: int = 1) -> Bench:
    bench = Bench(dut, kind=kind, seed=seed)
    await start(dut)
    return bench


def expected_status(command: list[int], owners: list[int]) -> int:
    return command[0] | (0xAA if len(owners) == groups() and groups() > 1 else owners[0]) << 32 | 0x5 << 90


def random_commands(seed: int, count: int) -> list[list[int]]:
    """Mostly LOADs and DRAWs; also other versions, other opcodes and single words."""
    rng = random.Random(seed)
    commands = []
    for number in range(count):
        opcode = rng.choices([LOAD, DRAW, TABLE, SEED, 0x0201, 0x0204, 0x0105, 0x0100, 0x0203], [9, 6, 2, 2] + 5 * [1])[
            0
        ]
        length = rng.choice([1, 1, 2, 3, 9])
        commands.append([opcode | number << 16, *(rng.getrandbits(32) for _ in range(length - 1))])
    return commands


@cocotb.test(timeout_time=3, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def commands_reach_their_groups(dut, kind):
    """600 random commands: each group gets the words of its commands, and the answers come in command order."""
    bench = await started(dut, kind=kind)
    commands = random_commands(7, 600)
    owners = ref_groups([command[0] for command in commands])
    assert {len(chosen) for chosen in owners} == {1, groups()}
    for command in commands:
        bench.put(command)
    found = await bench.statuses.read(len(commands), bound=200_000)
    expected = [expected_status(command, chosen) for command, chosen in zip(commands, owners, strict=True)]
    _SUPPORT.check(found, expected, "statuses")
    for number, group in enumerate(bench.groups):
        taken = [command for command, chosen in zip(commands, owners, strict=True) if number in chosen]
        _SUPPORT.check(group.words[:-1], taken, f"commands of group {number}")
    await cycles(dut, 3)
    assert dut.busy.value == 0


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def words_of_all_groups_are_taken_together(dut):
    """One slow group holds the words of a SEED back for all."""
    bench = await started(dut, kind="random")
    seen = []

    async def watch() -> None:
        while True:
            await RisingEdge(dut.clk)
            taken = [group._valid.value == 1 and group._ready.value == 1 for group in bench.groups]
            if any(taken):
                seen.append(all(taken))

    cocotb.start_soon(watch())
    for _ in range(20):
        bench.put([SEED, 1, 2, 3])
    await bench.statuses.read(20)
    assert len(seen) == 80
    assert all(seen)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def groups_work_side_by_side(dut):
    """A LOAD to each group is taken while none has answered; the next one waits; statuses that are ready wait too."""
    bench = await started(dut)
    for group in bench.groups:
        group._answers.stalls = iter(lambda: True, False)
    for number in range(groups() + 1):
        bench.put([LOAD | number << 16, number, number])
    await cycles(dut, 60 + 8 * groups())
    assert [len(group.words) for group in bench.groups] == [2] * groups()
    assert dut.busy.value == 1
    for group in bench.groups[1:]:
        group._answers.stalls = iter(lambda: False, True)
    await cycles(dut, 100)
    assert dut.o_status__valid.value == 0, "the first command has no answer, but another one was answered before it"
    bench.groups[0]._answers.stalls = iter(lambda: False, True)
    found = await bench.statuses.read(groups() + 1)
    assert [status & 0xFFFF_FFFF for status in found] == [LOAD | number << 16 for number in range(groups() + 1)]


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def one_word_per_cycle(dut):
    """A long command without stalls."""
    bench = await started(dut)
    bench.put([TABLE, *range(512)])
    while bench.source.transfers < 1:
        await RisingEdge(dut.clk)
    first = bench.source.cycle
    while bench.source.transfers < 513:
        await RisingEdge(dut.clk)
    assert bench.source.cycle - first == 512
    await bench.statuses.read(1)


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def reset_forgets(dut):
    """After a reset in the middle of a command the next word is a word 0, and the next LOAD goes to group 0."""
    bench = await started(dut)
    bench.put([LOAD, 1])
    await bench.statuses.read(1)
    bench.source.put([LOAD | 1 << 16, 5])
    await cycles(dut, 20)
    dut.rst.value = 1
    await cycles(dut, 1)
    bench.source.drop()
    await cycles(dut, 1)
    dut.rst.value = 0
    for group in bench.groups:
        group.words = [[]]
    bench.put([LOAD | 2 << 16, 7])
    assert await bench.statuses.read(1) == [expected_status([LOAD | 2 << 16], [0])]
    assert bench.groups[0].words == [[LOAD | 2 << 16, 7], []]
