# SPDX-License-Identifier: Apache-2.0
"""Status codes of the model for malformed commands, worked out from hw/spec/commands.py; words are written by hand."""

from collections.abc import Iterator

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.base import TsuError
from host.tsu.held import describe
from host.tsu.lowering import Words, lower, seed_command, table_command, weight_table
from host.tsu.model import ModelTsu
from hw.spec.commands import Status, WeightMode
from hw.spec.config import TsuConfig

DEFAULT = TsuConfig()
LOAD, DRAW, TABLE, SEED = 0x0101, 0x0102, 0x0103, 0x0104
"""Word 0 with tag 0: version 1, opcode."""

MODE_EXP2 = 1 << 16
TOP = 1 << 47
"""Largest weight of the default configuration."""


def load(
    ids: list[int],
    codes: list[int],
    *,
    vocab: int = 100,
    best: int = 5,
    k: int | None = None,
    mode: int = 0,
    shift: int = 0,
    tail: int = 0,
    ratio: int = 0,
    count: int = 0,
) -> list[int]:
    """Words of a LOAD; codes and `best` in two's complement of 8 bits."""
    k = len(ids) if k is None else k
    mask = (1 << 32) - 1
    header = [LOAD, count, vocab | best << 24, k | mode | shift << 24]
    header += [tail & mask, tail >> 32, ratio & mask, ratio >> 32]
    return header + [token | code << 24 for token, code in zip(ids, codes, strict=True)]


def words(values: list[int]) -> Words:
    return np.array(values, dtype=np.uint32)


FLAT_TABLE = table_command(weight_table(0.0, 1.0, 48))
GOOD = load([3, 7], [5, 4])


@pytest.fixture
def tsu() -> Iterator[ModelTsu]:
    with ModelTsu(config=DEFAULT, seed=1) as device:
        assert device.command(FLAT_TABLE) == (Status.OK, 0)
        yield device


def test_good_commands(tsu: ModelTsu) -> None:
    assert tsu.command(words(GOOD)) == (Status.OK, 2 * TOP)
    assert tsu.command(words([DRAW, 0])) == (Status.OK, 2 * TOP)
    assert tsu.command(seed_command(DEFAULT, 9)) == (Status.OK, 0)


BAD_LOADS = {
    "short header": (GOOD[:7], Status.BAD_LENGTH),
    "one word": (GOOD[:1], Status.BAD_LENGTH),
    "entry missing": (GOOD[:-1], Status.BAD_LENGTH),
    "entry too many": ([*GOOD, 9], Status.BAD_LENGTH),
    "length before k": (load([3, 7], [5, 4], k=0), Status.BAD_LENGTH),
    "no entry": (load([], []), Status.BAD_K),
    "k above k_max": (load(list(range(65)), [5] * 65), Status.BAD_K),
    "k before vocab": (load(list(range(65)), [5] * 65, vocab=3), Status.BAD_K),
    "vocab below k": (load([3, 7], [5, 4], vocab=1), Status.BAD_VOCAB),
    "vocab above the limit": (load([3, 7], [5, 4], vocab=(1 << 20) + 1), Status.BAD_VOCAB),
    "ids equal": (load([7, 7], [5, 4]), Status.BAD_ID),
    "ids fall": (load([7, 3], [5, 4]), Status.BAD_ID),
    "id not below vocab": (load([3, 100], [5, 4]), Status.BAD_ID),
    "id before score": (load([7, 7], [6, 4]), Status.BAD_ID),
    "code above the best": (load([3, 7], [5, 6]), Status.BAD_SCORE),
    "no best code": (load([3, 7], [4, 4]), Status.BAD_SCORE),
    "best code is negative": (load([3, 7], [5, 0xFF], best=0xFF), Status.BAD_SCORE),
    "score before tail": (load([3, 7], [4, 4], vocab=2 + 98, tail=1 << 56), Status.BAD_SCORE),
    "tail without tail tokens": (load([0, 1], [5, 4], vocab=2, tail=1), Status.BAD_TAIL),
    "tail too wide": (load([3, 7], [5, 4], tail=1 << 56), Status.BAD_TAIL),
    "tail of 64 bits": (load([3, 7], [5, 4], tail=(1 << 64) - 1), Status.BAD_TAIL),
    "total too wide": (load([3, 7], [5, 4], tail=(1 << 56) - 1), Status.BAD_TOTAL),
    # total_min = 2^46 + 1; two ids of weight 2^47 / 2^h
    "total too small": (load([3, 7], [5, 4], shift=2), Status.BAD_TOTAL),
    "total too small at full shift": (load([3, 7], [5, 4], shift=63), Status.BAD_TOTAL),
}


@pytest.mark.parametrize("case", BAD_LOADS)
def test_bad_load_is_refused_and_leaves_no_psi(tsu: ModelTsu, case: str) -> None:
    values, status = BAD_LOADS[case]
    assert tsu.command(words(GOOD)) == (Status.OK, 2 * TOP)
    assert tsu.command(words(values)) == (status, 0)
    assert tsu.command(words([DRAW, 0])) == (Status.NO_PSI, 0)
    assert tsu.command(words(GOOD)) == (Status.OK, 2 * TOP)


def test_edges_of_the_total_are_legal(tsu: ModelTsu) -> None:
    total_min, total_max = (1 << 46) + 1, (1 << 56) - 1
    assert tsu.command(words(load([3], [5], shift=2, tail=total_min - (TOP >> 2)))) == (Status.OK, total_min)
    assert tsu.command(words(load([3], [5], shift=2, tail=total_min - (TOP >> 2) - 1))) == (Status.BAD_TOTAL, 0)
    assert tsu.command(words(load([3], [5], tail=total_max - TOP))) == (Status.OK, total_max)
    assert tsu.command(words(load([3], [5], tail=total_max - TOP + 1))) == (Status.BAD_TOTAL, 0)


def test_signed_codes_and_full_distance(tsu: ModelTsu) -> None:
    # 127 - (-128) = 255 and -1 - (-3) = 2, with 2^-(d / 2) in exp2 mode: ratio = 2^43
    assert tsu.command(words(load([1, 2], [0x7F, 0x80], best=0x7F))) == (Status.OK, 2 * TOP)
    command = load([1, 2], [0xFF, 0xFD], best=0xFF, mode=MODE_EXP2, ratio=1 << 43)
    assert tsu.command(words(command)) == (Status.OK, TOP + TOP // 2)
    command = load([1, 2], [0x7F, 0x80], best=0x7F, mode=MODE_EXP2, ratio=(1 << 50) - 1)
    assert tsu.command(words(command)) == (Status.OK, TOP + 1)


@pytest.mark.parametrize("opcode", [0, 5, 0xFF])
@pytest.mark.parametrize("length", [1, 2, 10])
def test_opcode_comes_first_and_changes_nothing(tsu: ModelTsu, opcode: int, length: int) -> None:
    tsu.command(words(GOOD))
    assert tsu.command(words([0x0900 | opcode] + [0] * (length - 1))) == (Status.BAD_OPCODE, 0)
    assert tsu.command(words([DRAW, 0])) == (Status.OK, 2 * TOP)


@pytest.mark.parametrize("opcode", [LOAD, DRAW, TABLE, SEED])
def test_version_comes_second_and_changes_nothing(tsu: ModelTsu, opcode: int) -> None:
    tsu.command(words(GOOD))
    assert tsu.command(words([opcode + 0x0100, 0, 0])) == (Status.BAD_VERSION, 0)
    assert tsu.command(words([DRAW, 1])) == (Status.OK, 2 * TOP)
    assert len(tsu.take(1)) == 1
    assert tsu.command(words(GOOD)) == (Status.OK, 2 * TOP)


def test_tables(tsu: ModelTsu) -> None:
    for length in (1, 512, 514):
        assert tsu.command(words([TABLE] + [1] * (length - 1))) == (Status.BAD_LENGTH, 0)
        assert tsu.command(words(GOOD)) == (Status.NO_TABLE, 0)
        assert tsu.command(FLAT_TABLE) == (Status.OK, 0)
    assert tsu.command(words(GOOD)) == (Status.OK, 2 * TOP)
    # NO_TABLE comes before BAD_ID and after BAD_VOCAB
    tsu.command(words([TABLE]))
    assert tsu.command(words(load([7, 7], [5, 4]))) == (Status.NO_TABLE, 0)
    assert tsu.command(words(load([7, 7], [5, 4], vocab=1))) == (Status.BAD_VOCAB, 0)
    assert tsu.command(words(load([3, 7], [5, 5], mode=MODE_EXP2))) == (Status.OK, 2 * TOP)


def test_draw_lengths(tsu: ModelTsu) -> None:
    assert tsu.command(words([DRAW, 0])) == (Status.NO_PSI, 0)
    assert tsu.command(words([DRAW])) == (Status.BAD_LENGTH, 0)
    assert tsu.command(words([DRAW, 0, 0])) == (Status.BAD_LENGTH, 0)


def test_seeds(tsu: ModelTsu) -> None:
    good = seed_command(DEFAULT, 1)
    one_zero = good.copy()
    one_zero[5:9] = 0  # stream 1 of 3
    tsu.command(words(GOOD))
    for bad, status in ((one_zero, Status.BAD_SEED), (good[:-1], Status.BAD_LENGTH)):
        assert tsu.command(bad) == (status, 0)
        assert tsu.command(words([DRAW, 0])) == (Status.OK, 2 * TOP)
        assert tsu.command(words([DRAW, 1])) == (Status.NO_SEED, 0)
        assert tsu.command(words(load([3, 7], [5, 4], count=1))) == (Status.NO_SEED, 0)
        assert tsu.command(words([DRAW, 1])) == (Status.NO_PSI, 0)
        assert tsu.command(words(GOOD)) == (Status.OK, 2 * TOP)
        assert tsu.command(good) == (Status.OK, 0)
        assert tsu.command(words([DRAW, 1])) == (Status.OK, 2 * TOP)
        assert len(tsu.take(1)) == 1


def test_device_starts_with_the_noise_of_seed_0() -> None:
    """The state after reset, as in the gateware: a SEED of seed 0 changes nothing."""
    psi = Psi(ids=[1, 5], scores_q=[0, 0], scale=0.0, zero_point=0, tau=1.0, tail=1.0, vocab_size=90)
    with ModelTsu(config=DEFAULT, seed=0) as seeded, ModelTsu(config=DEFAULT, seed=0) as fresh:
        fresh._library.tsd_close(fresh._device)
        fresh._device = fresh._library.tsd_open()
        assert fresh.sample(psi, 100).tokens.tolist() == seeded.sample(psi, 100).tokens.tolist()


@pytest.mark.parametrize(("source", "mode", "good"), [("table", MODE_EXP2, 0), ("exp2", 0, MODE_EXP2)])
def test_weight_mode_that_is_not_built_in(source: str, mode: int, good: int) -> None:
    with ModelTsu(config=DEFAULT.with_fields(weight_source=source)) as tsu:
        table_status = Status.OK if source == "table" else Status.BAD_MODE
        assert tsu.command(FLAT_TABLE) == (table_status, 0)
        assert tsu.command(words(load([3, 7], [5, 5], mode=mode))) == (Status.BAD_MODE, 0)
        assert tsu.command(words(load([3, 7], [5, 5], mode=mode, vocab=1))) == (Status.BAD_VOCAB, 0)
        assert tsu.command(words(load([3, 7], [5, 5], mode=good))) == (Status.OK, 2 * TOP)


def test_two_psi_wait_for_their_draws_in_order(tsu: ModelTsu) -> None:
    tsu.command(words(load([3], [5], vocab=1000, count=4)))
    tsu.command(words([DRAW, 3]))
    tsu.command(words(load([9], [5], vocab=1000, count=2)))
    assert tsu.take(9).tokens.tolist() == [3] * 7 + [9] * 2


@pytest.mark.parametrize("third", [GOOD, seed_command(DEFAULT, 1).tolist()], ids=["LOAD", "SEED"])
def test_command_that_cannot_wait_closes_the_device(tsu: ModelTsu, third: list[int]) -> None:
    tsu.command(words(load([3], [5], count=1)))
    tsu.command(words(load([9], [5], count=1)))
    with pytest.raises(TsuError, match=r"no answer to a command within \d+ cycles: a (LOAD|SEED) needs"):
        tsu.command(words(third))
    with pytest.raises(TsuError, match="closed"):
        tsu.take(1)


def test_more_draws_than_asked_for(tsu: ModelTsu) -> None:
    tsu.command(words(load([3], [5], count=4)))
    with pytest.raises(TsuError, match=r"4 of 5 draws .* fewer draws were asked for"):
        tsu.take(5)


def test_refusal_is_one_line_and_leaves_the_device_usable(tsu: ModelTsu) -> None:
    psi = Psi(ids=[1], scores_q=[0], scale=0.0, zero_point=0, tau=1.0, tail=0.0, vocab_size=30)
    tsu.command(words([TABLE]))
    tsu._held.table_key = (0.0, 1.0)  # the host believes in a table that the device dropped
    with pytest.raises(TsuError) as caught:
        tsu.sample(psi, 3)
    assert str(caught.value) == "the TSU refused LOAD: NO_TABLE, table mode without a loaded table"
    tsu._held.table_key = None
    assert tsu.sample(psi, 3).tokens.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    ("status", "words_of_it"),
    [
        (Status.BAD_K, "k = 2, k_max = 64"),
        (Status.BAD_VOCAB, "vocab_size = 9, k = 2, vocab_max = 1048576"),
        (Status.BAD_MODE, "mode = table, weight_source = both"),
        (Status.BAD_TAIL, "tail = 0.25, tail_weight = 35184372088832, vocab_size = 9"),
        (Status.BAD_TOTAL, "k = 2, tail = 0.25, shift = 0, legal totals = [70368744177665, 72057594037927935]"),
    ],
)
def test_refusal_names_the_fields(status: Status, words_of_it: str) -> None:
    psi = Psi(ids=[1, 2], scores_q=[0, 1], scale=0.0, zero_point=0, tau=1.0, tail=0.25, vocab_size=9)
    assert describe(status, DEFAULT, lower(psi, DEFAULT, WeightMode.TABLE)) == f" ({words_of_it})"
