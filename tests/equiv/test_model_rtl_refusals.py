# SPDX-License-Identifier: Apache-2.0
"""What refused commands leave behind: psi, table, noise and draws that were asked for before.

After reset and before any SEED a TSU holds the streams of seed 0 and counts as seeded (sim/native/tsd_abi.h), so that
it can be used without a host that seeds it. Adapters seed when they open a device.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from host.tsu.cxxrtl import CxxrtlTsu
from host.tsu.lowering import seed_command, table_command, weight_table
from host.tsu.model import ModelTsu
from host.tsu.native import NativeTsu
from host.tsu.rtl import RtlTsu
from hw.spec.commands import Status
from hw.spec.config import TsuConfig

LOAD, DRAW, TABLE, SEED = 1, 2, 3, 4
VERSION = 0x0100
NARROW = TsuConfig(
    k_max=16,
    vocab_max=50,
    weight_bits=9,
    headroom_bits=2,
    guard_bits=3,
    tail_noise_bits=7,
    lanes=4,
    weight_source="table",
)
CONFIGS = {
    "1 group": NARROW,
    "2 groups": NARROW.with_fields(groups=2, lanes=1),
    "3 groups": NARROW.with_fields(groups=3),
}
FLAT = table_command(weight_table(0.0, 1.0, NARROW.weight_bits)).tolist()
PSI = [LOAD | VERSION, 0, 40 | 5 << 24, 2 | 2 << 24, 30, 0, 0, 0, 3 | 5 << 24, 7 | 4 << 24]


ENGINES: dict[str, type[RtlTsu] | type[CxxrtlTsu]] = {"rtl": RtlTsu, "cxxrtl": CxxrtlTsu}
SLOW = {"rtl": ("3 groups",), "cxxrtl": tuple(CONFIGS)}  # twelve lanes, or once more what rtl has shown
PARAMETERS = [
    pytest.param(config, engine, id=f"{engine}, {name}", marks=[pytest.mark.slow] if name in SLOW[engine] else [])
    for engine in ENGINES
    for name, config in CONFIGS.items()
]


@pytest.fixture(params=[pytest.param(mark.values, id=mark.id, marks=mark.marks) for mark in PARAMETERS])
def pair(open_pair: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    return open_pair(*request.param)


def good_seed(pair: Any) -> list[int]:
    return seed_command(pair.rtl.config, 77).tolist()


@pytest.mark.parametrize("opcode", [LOAD, DRAW, TABLE, SEED, 0, 5, 255])
@pytest.mark.parametrize("length", [1, 2, 5, 11, 17, 513, 5000])
def test_wrong_opcode_or_version_changes_nothing(pair: Any, opcode: int, length: int) -> None:
    """The psi, its table and the noise stay: the model, which never sees the command, draws the same."""
    draw = [DRAW | VERSION, 41]
    for words in (FLAT, PSI, draw):
        assert pair.command(words)[0] is Status.OK
    pair.take(41)
    wrong = np.full(length, 0xAAAA_AAAA, dtype=np.uint32)
    wrong[0] = 0x0200 | opcode
    expected = Status.BAD_VERSION if opcode in (LOAD, DRAW, TABLE, SEED) else Status.BAD_OPCODE
    assert pair.rtl.command(wrong) == (expected, 0)
    for words in (draw, PSI, draw):
        assert pair.command(words)[0] is Status.OK
        pair.take(sum(count for count, *_ in pair.owed))


def test_refused_seed_leaves_draws_that_were_asked_for(pair: Any) -> None:
    """A SEED of one word needs nothing and is refused at once, in the middle of a job that starts at lane 3."""
    for words in (FLAT, PSI, [DRAW | VERSION, 3], [DRAW | VERSION, 30]):
        assert pair.command(words)[0] is Status.OK
    for tsu in (pair.rtl, pair.model):
        assert tsu.command(np.array([SEED | VERSION], dtype=np.uint32)) == (Status.BAD_LENGTH, 0)
    pair.take(33)
    assert pair.command([DRAW | VERSION, 1]) == (Status.NO_SEED, 0)
    assert pair.command(good_seed(pair)) == (Status.OK, 0)
    pair.command([DRAW | VERSION, 30])
    pair.take(30)


@pytest.mark.parametrize("cut", [1, 16, 18, 500])
def test_stream_behind_a_refused_seed_is_that_of_the_next_good_one(pair: Any, cut: int) -> None:
    for words in (FLAT, PSI, [DRAW | VERSION, 7]):
        pair.command(words)
    pair.take(7)  # leaves the lanes at an odd place
    bad = (good_seed(pair) * 30)[:cut]
    assert pair.command(bad) == (Status.BAD_LENGTH, 0)
    assert pair.command([DRAW | VERSION, 1]) == (Status.NO_SEED, 0)
    assert pair.command(good_seed(pair)) == (Status.OK, 0)
    pair.command([DRAW | VERSION, 20])
    first = pair.rtl.take(20)
    with ModelTsu(config=pair.rtl.config, seed=77) as fresh:
        for words in (FLAT, PSI, [DRAW | VERSION, 20]):
            fresh.command(np.array(words, dtype=np.uint32))
        assert first.tokens.tolist() == fresh.take(20).tokens.tolist()


@pytest.mark.parametrize(("config", "engine"), PARAMETERS)
def test_reset_state_is_seed_0_and_usable(config: TsuConfig, engine: str) -> None:
    """Without any SEED. An adapter that is handed a raw device: both backends draw what seed 0 gives."""
    kind = ENGINES[engine]

    def raw(tsu: NativeTsu) -> NativeTsu:
        tsu._library.tsd_close(tsu._device)
        tsu._device = tsu._library.tsd_open()
        return tsu

    tokens = []
    seeded = (kind(config=config, seed=0), ModelTsu(config=config, seed=0))
    for tsu in (*seeded, raw(kind(config=config, seed=9)), raw(ModelTsu(config=config, seed=9))):
        for words in (FLAT, PSI, [DRAW | VERSION, 200]):
            assert tsu.command(np.array(words, dtype=np.uint32))[0] is Status.OK
        tokens.append(tsu.take(200).tokens.tolist())
        tsu.close()
    assert tokens[0] == tokens[1] == tokens[2] == tokens[3]
