# SPDX-License-Identifier: Apache-2.0
"""Which bins words on the wires fill; the words are written out from docs/reference/layouts.md."""

import pytest

from hw.spec.commands import Status, statuses
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from sim.coverage.classes import candidate_classes, count_class, length_class, step_class, table_step
from sim.coverage.groups import BINS, GROUPS, Functional
from sim.coverage.sampler import Handshake, TsuSampler

TINY = TsuConfig(k_max=4, vocab_max=16, weight_bits=5, headroom_bits=1, guard_bits=2, tail_noise_bits=5)
"""Ids of 4 bits, totals of 6."""

NOTHING = Handshake(False, False)
LAST = 1 << 32


def load_words(*, tag: int, count: int, ids: list[int], vocab: int, tail: int, exp2: bool = True) -> list[int]:
    """A LOAD in words: a = 0.5 in UQ6.44 (0.347 nats a code), codes 0, -1, -2, shift 0."""
    header = [0x0101 | tag << 16, count, vocab, len(ids) | int(exp2) << 16, tail, 0, 0, 1 << 11]
    return header + [token | (-index & 0xFF) << 24 for index, token in enumerate(ids)]


def status(tag: int, opcode: int, code: Status, total: int = 0) -> int:
    return tag | opcode << 16 | code << 24 | total << 32


def beat(*, token: int, tail: bool, tag: int) -> int:
    """Token 4 bits, weight 6, tail 1; keep 1, spread 4, tag 16, last 1."""
    return token | int(tail) << 10 | 1 << 11 | 3 << 12 | tag << 16


class Wires:
    """Drives a sampler, one event a cycle."""

    def __init__(self, config: TsuConfig = TINY) -> None:
        self.functional = Functional()
        self.sampler = TsuSampler(config, self.functional)

    def cycle(self, *, reset=False, command=NOTHING, status=NOTHING, draw=NOTHING) -> None:
        self.sampler.cycle(reset=reset, command=command, status=status, draw=draw)

    def send(self, words: list[int]) -> None:
        for index, word in enumerate(words):
            self.cycle(command=Handshake(True, True, word | (LAST if index == len(words) - 1 else 0)))

    def answer(self, payload: int) -> None:
        self.cycle(status=Handshake(True, True, payload))

    def deliver(self, payload: int) -> None:
        self.cycle(draw=Handshake(True, True, payload))

    def filled(self, group: str) -> dict[str, int]:
        return {name: count for name, count in self.functional.counts[group].items() if count}


def test_psi_and_draws() -> None:
    """K = 2 of 4, T = 12 of Z = 36: a third; ids 1 and 4 of 9; a tail draw above them and a draw of id 1."""
    wires = Wires()
    wires.send(load_words(tag=7, count=2, ids=[1, 4], vocab=9, tail=12))
    wires.answer(status(7, 1, Status.OK, 36))
    wires.deliver(beat(token=8, tail=True, tag=7))
    assert wires.filled("psi") == {"2 / 1 % to 50 % / exp2": 1}
    assert wires.filled("batch") == {}
    wires.deliver(beat(token=1, tail=False, tag=7))
    assert wires.filled("draw") == {"tail above all ids / exp2": 1, "the first id / exp2": 1}
    assert wires.filled("batch") == {"LOAD / 2 to 9": 1}
    assert wires.filled("scale / tau") == {"0.1 to 1 / exp2": 1}
    assert wires.filled("codes") == {"1 to 127 / exp2": 1}
    assert wires.filled("ids") == {"between / above 0 / below V - 1": 1}
    assert wires.filled("status") == {"LOAD / OK": 1}
    assert wires.filled("psi switch") == {"first psi / none": 1}
    assert wires.filled("lanes") == {"1 / at lane 0 / at the last lane": 1}
    assert wires.filled("noise") == {"xoshiro128pp / of reset": 1}


@pytest.mark.parametrize(
    ("ids", "vocab", "tail", "total", "name"),
    [
        ([3], 16, 0, 16, "1 / T = 0 / exp2"),
        ([0], 1, 0, 16, "1 / V = K / exp2"),
        ([0, 1, 2], 9, 1, 101, "more / below 1 % / exp2"),
        ([0, 1, 2], 9, 1, 100, "more / 1 % to 50 % / exp2"),
        ([0, 1, 2, 3], 9, 18, 36, "k_max / 50 % and more / exp2"),
    ],
)
def test_classes_of_psi(ids: list[int], vocab: int, tail: int, total: int, name: str) -> None:
    wires = Wires()
    wires.send(load_words(tag=1, count=1, ids=ids, vocab=vocab, tail=tail))
    wires.deliver(beat(token=ids[0], tail=False, tag=1))
    assert wires.filled("psi") == {}  # without status, Z is not known
    wires.answer(status(1, 1, Status.OK, total))
    assert wires.filled("psi") == {name: 1}


def test_refused_psi_fills_no_bin_of_psi() -> None:
    wires = Wires()
    wires.send(load_words(tag=1, count=3, ids=[4, 4], vocab=9, tail=0))
    wires.answer(status(1, 1, Status.BAD_ID))
    wires.send([0x0102 | 2 << 16, 5])
    wires.answer(status(2, 2, Status.NO_PSI))
    wires.send(load_words(tag=3, count=1, ids=[4, 5], vocab=9, tail=0))
    wires.answer(status(3, 1, Status.OK, 20))
    wires.deliver(beat(token=4, tail=False, tag=3))
    assert wires.filled("status") == {"LOAD / OK": 1, "LOAD / BAD_ID": 1, "DRAW / NO_PSI": 1}
    assert wires.filled("psi") == {"2 / T = 0 / exp2": 1}
    assert wires.filled("psi switch") == {"after a refused psi / none": 1}


def test_switch_while_draws_are_owed_and_stalled() -> None:
    """Two psi are owed when the third is offered; o_draw is held for 12 cycles meanwhile."""
    wires = Wires()
    for tag in (1, 2):
        wires.send(load_words(tag=tag, count=1, ids=[1, 4], vocab=9, tail=12))
        wires.answer(status(tag, 1, Status.OK, 36))
    wires.send(load_words(tag=3, count=1, ids=[1, 4], vocab=9, tail=12))
    for _ in range(12):
        wires.cycle(draw=Handshake(True, False, 0))
    for tag in (1, 2):
        wires.deliver(beat(token=4, tail=False, tag=tag))
    wires.answer(status(3, 1, Status.OK, 36))
    wires.deliver(beat(token=4, tail=False, tag=3))
    assert wires.filled("psi switch") == {
        "first psi / draws held": 1,
        "draws owed / draws held": 1,
        "both banks in use / draws held": 1,
    }
    assert wires.filled("stall") == {"o_draw held / 10 to 99": 1}
    assert wires.filled("command and draws") == {"LOAD / executed / none owed": 1, "LOAD / executed / owed": 2}


def test_gap_inside_a_command_is_a_stall_and_between_commands_is_none() -> None:
    wires = Wires()
    for _ in range(20):
        wires.cycle()
    words = [0x0102, 0 | LAST]
    wires.cycle(command=Handshake(True, True, words[0]))
    for _ in range(100):
        wires.cycle()
    wires.cycle(command=Handshake(True, True, words[1]))
    assert wires.filled("stall") == {"i_command gap / 100 and more": 1}


@pytest.mark.parametrize("situation", BINS["reset"])
def test_reset(situation: str) -> None:
    wires = Wires()
    wires.cycle(reset=True)
    assert wires.filled("reset") == {}
    wires.send(load_words(tag=1, count=int(situation == "draws owed"), ids=[1], vocab=9, tail=0))
    if situation != "before a status":
        wires.answer(status(1, 1, Status.OK, 16))
    if situation == "inside a command":
        wires.cycle(command=Handshake(True, True, 0x0102))
    wires.cycle(reset=True)
    wires.cycle(reset=True)
    assert wires.filled("reset") == {situation: 1}


def test_zero_state_and_lengths() -> None:
    """SEED of the two streams (uniform and tail words) of a wider TSU; the second is zero."""
    wires = Wires(TsuConfig())
    seed = [0x0104] + [5] * 4 + [0] * 4 + [6] * 4
    wires.send(seed)
    wires.answer(status(0, 4, Status.BAD_SEED))
    wires.send(seed[:-1])
    wires.answer(status(0, 4, Status.BAD_LENGTH))
    wires.send([0x0102, 4, 4])
    wires.answer(status(0, 2, Status.BAD_LENGTH))
    assert wires.filled("zero state") == {"an inner one": 1}
    assert wires.filled("length") == {"SEED / fewer": 1, "DRAW / more": 1}
    assert wires.filled("seed") == {"no psi / refused": 1, "after a refused SEED / refused": 1}


def test_table_step() -> None:
    """Entries 16, 8, 4, 2, 1, 1, 0, ... halve from code to code: 0.69 nats."""
    halves = [round(16 / 2**d) for d in range(256)]
    words = [0x0103, *(word for entry in halves for word in (entry, 0))]
    assert table_step(words, TINY) == "0.1 to 1"
    assert table_step([0x0103, *([16, 0] * 256)], TINY) == "0"
    assert table_step([0x0103, *([16, 0, 1, 0, 9, 0] + [3, 0] * 253)], TINY) is None
    assert table_step(words[:-1], TINY) is None


def test_bounds_of_classes() -> None:
    assert [count_class(n) for n in (0, 1, 2, 9, 10, 99, 100)] == [
        "0",
        "1",
        "2 to 9",
        "2 to 9",
        "10 to 99",
        "10 to 99",
        "100 and more",
    ]
    assert [length_class(n) for n in (1, 9, 10, 99, 100)] == [
        "1 to 9",
        "1 to 9",
        "10 to 99",
        "10 to 99",
        "100 and more",
    ]
    assert [step_class(x) for x in (0, 0.009, 0.01, 0.1, 1)] == [
        "0",
        "below 0.01",
        "0.01 to 0.1",
        "0.1 to 1",
        "1 and more",
    ]
    assert candidate_classes(over=True, biased=True, tail=True, n=6) == ("rejected for both", "other")
    assert candidate_classes(over=False, biased=False, tail=True, n=8) == ("tail", "power of two")


def test_bins() -> None:
    """Names are unique; impossible combinations are left out: 14 statuses of LOAD's kind and so on, 5 x 5 x 2 psi."""
    assert len({group.name for group in GROUPS}) == len(GROUPS)
    assert len(BINS["psi"]) == 50
    # 4 opcodes with OK, BAD_VERSION, BAD_LENGTH; 9 more of LOAD, 2 of DRAW, 1 of TABLE, 1 of SEED; BAD_OPCODE.
    assert len(BINS["status"]) == 4 * 3 + 9 + 2 + 1 + 1 + 1
    assert {name.partition(" / ")[2] for name in BINS["status"]} == {status.name for status in statuses(0)}


def test_undeclared_bin_is_refused() -> None:
    functional = Functional()
    with pytest.raises(SpecError, match="DRAW / BAD_SEED"):
        functional.hit("status", "DRAW", "BAD_SEED")
    with pytest.raises(SpecError, match="gone"):
        functional.add({"reset": {"gone": 1}})
    functional.add({"reset": {"idle": 3}})
    assert ("reset", "idle") not in functional.empty()
    assert ("reset", "draws owed") in functional.empty()
