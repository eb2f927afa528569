# SPDX-License-Identifier: Apache-2.0
"""The Verilated TSU as a shared library behind sim/native/tsd_abi.h, built once for each configuration."""

from pathlib import Path
from typing import TYPE_CHECKING

from hw.spec.config import TsuConfig
from sim.inprocess.library import simulated_library
from sim.inprocess.ports import PortStyle
from sim.inprocess.sources import COMMON, Sources

from .toolchain import find_verilator
from .verilate import tool_facts, verilate, verilog_text

if TYPE_CHECKING:
    from sim.inprocess.flat_tsu import FlatTsu

_SHIM = Path(__file__).resolve().with_name("shim.cpp")

_INTERNALS = {
    "TSD_HAS_ROOT_EVAL": ["void Vtsu___024root___eval(Vtsu___024root* vlSelf)"],
    "TSD_HAS_TRIGGER_STATE": [f"__Vtrigprevexpr___TOP__{clock}__0;" for clock in ("clk", "load_clk", "monitor_clk")],
}
"""Internal names of Verilator's that the shim uses where this version's model has them."""

PATTERNS = (*COMMON, "sim/verilated/*.py", "sim/verilated/*.cpp")
"""The files of ours that a library is made of."""

_SOURCES = Sources(PATTERNS)

_STYLE = PortStyle(read="top.{}".format, write="top.{} = value".format)


def rtl_library(config: TsuConfig) -> Path:
    """The shared library of `config`, verilated and compiled if the cache has none.

    Raises
    ------
    ToolMissing
        Verilator or the C++ compiler is missing.
    NativeBuildError
        One of them or Yosys failed, the cache cannot be written, or sources were changed since they were imported.
    """
    verilator = find_verilator()

    def compile_top(top: "FlatTsu", work: Path) -> Path:
        from sim.inprocess.flat_tsu import TOP_NAME

        source = work / f"{TOP_NAME}.v"
        source.write_text(verilog_text(top, what="the TSU"), encoding="utf-8")
        return verilate(source, top=TOP_NAME, shim=_SHIM, verilator=verilator, internals=_INTERNALS)

    return simulated_library(
        config, name="tsd_rtl", sources=_SOURCES, tools=tool_facts(verilator), style=_STYLE, compile_top=compile_top
    )
