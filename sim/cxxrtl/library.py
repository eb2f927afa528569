# SPDX-License-Identifier: Apache-2.0
"""The TSU in CXXRTL as a shared library behind sim/native/tsd_abi.h, built once for each configuration."""

from pathlib import Path
from typing import TYPE_CHECKING

from hw.spec.config import TsuConfig
from sim.inprocess.library import simulated_library
from sim.inprocess.ports import PortStyle
from sim.inprocess.sources import COMMON, Sources

from .compile import compile_rtlil, tool_facts

if TYPE_CHECKING:
    from sim.inprocess.flat_tsu import FlatTsu

_SHIM = Path(__file__).resolve().with_name("shim.cpp")

PATTERNS = (*COMMON, "sim/cxxrtl/*.py", "sim/cxxrtl/*.cpp")
"""The files of ours that a library is made of."""

_SOURCES = Sources(PATTERNS)


def member(port: str) -> str:
    """The member of CXXRTL's class that is a port: prefix p_, every underscore twice."""
    return "p_" + port.replace("_", "__")


_STYLE = PortStyle(
    read=lambda port: f"top.{member(port)}.get<uint64_t>()",
    write=lambda port: f"top.{member(port)}.set<uint64_t>(value)",
)


def cxxrtl_library(config: TsuConfig) -> Path:
    """The shared library of `config`, written by Yosys and compiled if the cache has none.

    Raises
    ------
    ToolMissing
        Yosys or the C++ compiler is missing.
    NativeBuildError
        One of them failed, the cache cannot be written, or sources were changed since they were imported.
    """

    def compile_top(top: "FlatTsu", work: Path) -> Path:
        from sim.inprocess.flat_tsu import TOP_NAME

        return compile_rtlil(top.to_rtlil(), top=TOP_NAME, shim=_SHIM, work=work)

    return simulated_library(
        config, name="tsd_cxxrtl", sources=_SOURCES, tools=tool_facts(), style=_STYLE, compile_top=compile_top
    )
