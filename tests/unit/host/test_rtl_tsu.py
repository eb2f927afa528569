# SPDX-License-Identifier: Apache-2.0
"""The RTL in both simulators, `rtl` and `cxxrtl`: bounded waits, refusals of one line, and the life of a device."""

from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.base import Capabilities, TsuError
from host.tsu.cxxrtl import CxxrtlTsu
from host.tsu.lowering import draw_command, load_command, lower, seed_command, table_command, weight_table
from host.tsu.model import ModelTsu
from host.tsu.native import NativeTsu
from host.tsu.registry import open_tsu
from host.tsu.rtl import RtlTsu
from hw.spec.commands import Status, WeightMode
from hw.spec.config import TsuConfig
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError

DEFAULT = TsuConfig()
PSI = Psi(ids=[2, 3, 50], scores_q=[9, 5, 0], scale=0.1, zero_point=0, tau=1.0, tail=0.5, vocab_size=700)
OTHER = Psi(ids=[7], scores_q=[0], scale=0.2, zero_point=0, tau=1.0, tail=0.1, vocab_size=90)
LOAD_PSI = load_command(lower(PSI, DEFAULT, WeightMode.TABLE), count=5000)
LONG = 5000
"""More draws than the pipelines, FIFOs and output registers of one lane hold."""

Kind = type[RtlTsu] | type[CxxrtlTsu]
KINDS: dict[str, Kind] = {"rtl": RtlTsu, "cxxrtl": CxxrtlTsu}


@pytest.fixture(params=KINDS)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def kind(engine: str) -> Kind:
    return KINDS[engine]


@pytest.fixture
def tsu(kind: Kind) -> Iterator[NativeTsu]:
    with kind(config=DEFAULT, seed=3) as device:
        yield device


@pytest.fixture
def loaded(tsu: NativeTsu) -> NativeTsu:
    """With the table of PSI."""
    assert tsu.command(table_command(weight_table(PSI.scale, PSI.tau, DEFAULT.weight_bits)))[0] is Status.OK
    return tsu


def one_line(caught: pytest.ExceptionInfo[TsuError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_opens_by_name_with_its_capabilities(engine: str) -> None:
    with open_tsu(backend=engine, config=DEFAULT, seed=5, mode="exp2") as tsu:
        assert tsu.capabilities == Capabilities(name=engine, exact=True, bit_true=True, counts_cycles=True, blocks=True)
        assert (tsu.spec_id, tsu.config) == (spec_id(DEFAULT), DEFAULT)


# --- bounded waits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [LOAD_PSI, seed_command(DEFAULT, 1), draw_command(count=1)],
    ids=["LOAD without a free bank", "SEED with draws outstanding", "more DRAWs than the queue holds"],
)
def test_command_that_has_to_wait_for_draws_is_an_error(loaded: NativeTsu, command: np.ndarray) -> None:
    for _ in range(2):
        assert loaded.command(LOAD_PSI)[0] is Status.OK
    with pytest.raises(TsuError, match=r"closed: no answer to a command within \d+ cycles: .*not taken") as caught:
        for _ in range(10):
            loaded.command(command)
    one_line(caught)
    with pytest.raises(TsuError, match=f"the {loaded.capabilities.name} TSU is closed"):
        loaded.sample(PSI, 1)


@pytest.mark.parametrize("asked", [0, 7])
def test_draws_that_were_never_asked_for_are_an_error(loaded: NativeTsu, asked: int) -> None:
    words = load_command(lower(PSI, DEFAULT, WeightMode.TABLE), count=asked)
    assert loaded.command(words)[0] is Status.OK
    with pytest.raises(TsuError, match=rf"closed: {asked} of 9 draws within \d+ cycles: fewer draws than") as caught:
        loaded.take(9)
    one_line(caught)


def test_command_without_words_is_an_error(tsu: NativeTsu) -> None:
    with pytest.raises(TsuError, match="at least one word"):
        tsu.command(np.array([], dtype=np.uint32))


def test_next_psi_is_loaded_while_the_one_before_is_sampled(loaded: NativeTsu) -> None:
    """Two psi fit: the second LOAD is answered although no draw of the first was taken."""
    words = load_command(lower(PSI, DEFAULT, WeightMode.TABLE), count=LONG)
    assert loaded.command(words)[0] is Status.OK
    before = loaded.cycles
    assert loaded.command(words)[0] is Status.OK
    assert loaded.cycles - before < LONG
    assert len(loaded.take(2 * LONG)) == 2 * LONG


# --- life of a device ---------------------------------------------------------------------------------------------


def test_closing_twice_is_harmless_and_using_it_then_is_an_error(engine: str, kind: Kind) -> None:
    tsu = kind(config=DEFAULT)
    tsu.close()
    tsu.close()
    for use in (lambda: tsu.sample(PSI, 1), lambda: tsu.cycles, lambda: tsu.spec_id, lambda: tsu.reseed(1)):
        with pytest.raises(TsuError, match=f"the {engine} TSU is closed") as caught:
            use()
        one_line(caught)


def test_context_manager_closes_behind_an_exception(kind: Kind) -> None:
    with pytest.raises(KeyError), kind(config=DEFAULT) as tsu:
        raise KeyError
    with pytest.raises(TsuError, match="is closed"):
        tsu.sample(PSI, 1)


def test_device_that_was_never_opened_can_be_dropped() -> None:
    """What is left of a constructor that failed before the library was there."""
    for kind in (NativeTsu, RtlTsu, CxxrtlTsu):
        tsu = kind.__new__(kind)
        tsu.__del__()
        tsu.close()


def test_interrupted_call_closes_the_device(tsu: NativeTsu, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draws that nobody took would come first in the next answer."""

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tsu, "_take", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tsu.sample(PSI, 5)
    with pytest.raises(TsuError, match="closed: an interrupted call left draws behind") as caught:
        tsu.sample(PSI, 5)
    one_line(caught)
    with pytest.raises(TsuError, match="is closed"):
        tsu.reseed(1)


def test_refused_psi_leaves_the_stream_whole(tsu: NativeTsu) -> None:
    """Too many ids for this TSU: refused before any command; the draws around it are those of an undisturbed TSU."""
    large = Psi(
        ids=np.arange(65), scores_q=np.zeros(65, dtype=int), scale=0, zero_point=0, tau=1, tail=0, vocab_size=65
    )
    with ModelTsu(config=DEFAULT, seed=3) as model:
        for psi in (PSI, OTHER, OTHER, PSI):
            with pytest.raises(SpecError, match=r"^k = 65 "):
                tsu.sample(large, 4)
            with pytest.raises(SpecError, match=r"^n = -1 "):
                tsu.sample(psi, -1)
            assert tsu.sample(psi, 33).tokens.tolist() == model.sample(psi, 33).tokens.tolist()


def test_no_draws(tsu: NativeTsu) -> None:
    with ModelTsu(config=DEFAULT, seed=3) as model:
        for psi, n in ((PSI, 0), (PSI, 0), (OTHER, 0), (PSI, 4), (PSI, 0), (PSI, 4)):
            draws, expected = tsu.sample(psi, n), model.sample(psi, n)
            assert (len(draws), draws.total) == (n, expected.total)
            assert draws.tokens.tolist() == expected.tokens.tolist()
            assert [array.dtype for array in (draws.tokens, draws.weights, draws.spreads)] == ["u4", "u8", "u4"]


def test_reseed_starts_the_stream_again(tsu: NativeTsu) -> None:
    first = tsu.sample(PSI, 501).tokens.tolist()
    assert tsu.sample(PSI, 501).tokens.tolist() != first
    tsu.reseed(3)
    assert tsu.sample(PSI, 501).tokens.tolist() == first
    tsu.reseed(4)
    assert tsu.sample(PSI, 501).tokens.tolist() != first
    with pytest.raises(SpecError, match=r"^seed = "):
        tsu.reseed(1 << 64)
    tsu.reseed(3)
    assert tsu.sample(PSI, 501).tokens.tolist() == first


def test_cycles_advance_with_the_draws(tsu: NativeTsu) -> None:
    """At most one draw a cycle; a rejection of probability below 2^-8, and the command, cost the rest."""
    tsu.sample(PSI, 1)
    for n in (1000, 100_000):
        before = tsu.cycles
        tsu.sample(PSI, n)
        assert n <= tsu.cycles - before <= n / 0.99 + 200


def test_devices_share_nothing(kind: Kind) -> None:
    with kind(config=DEFAULT, seed=1) as one, kind(config=DEFAULT, seed=1) as two:
        parts = [(one.sample(PSI, n), two.sample(OTHER, 10 * n), one.sample(PSI, n))[::2] for n in (3, 50, 200)]
        two.close()
        tokens = np.concatenate([draws.tokens for pair in parts for draws in pair])
    with kind(config=DEFAULT, seed=1) as alone:
        assert alone.sample(PSI, len(tokens)).tokens.tolist() == tokens.tolist()
