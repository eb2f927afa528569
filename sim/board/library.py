# SPDX-License-Identifier: Apache-2.0
"""The Verilated board as a shared library, built once for each design."""

from pathlib import Path

from hw.link.serial_tsu import SerialTsu
from sim.native.build import build_once
from sim.verilated.toolchain import find_verilator
from sim.verilated.verilate import tool_facts, verilate, verilog_text

_SHIM = Path(__file__).with_name("shim.cpp")
_INTERNALS = {
    "BOARD_HAS_ROOT_EVAL": ["void Vboard___024root___eval(Vboard___024root* vlSelf)"],
    "BOARD_HAS_TRIGGER_STATE": ["__Vtrigprevexpr___TOP__clk__0;"],
}
"""Internal names of Verilator's that the shim uses where this version's model has them."""


def board_library(tsu: SerialTsu) -> Path:
    """The shared library of a board, verilated and compiled if the cache has none.

    The key holds the Verilog itself, so that no library of other gateware can be taken.

    Raises
    ------
    ToolMissing
        Verilator or the C++ compiler is missing.
    NativeBuildError
        One of them or Yosys failed, or the cache cannot be written.
    """
    from .flat_board import TOP_NAME, FlatBoard

    verilator = find_verilator()
    verilog = verilog_text(FlatBoard(tsu), what="the board")
    files = {f"{TOP_NAME}.v": verilog, _SHIM.name: _SHIM.read_text(encoding="utf-8")}

    def build(work: Path) -> Path:
        for name, text in files.items():
            (work / name).write_text(text, encoding="utf-8")
        return verilate(
            work / f"{TOP_NAME}.v", top=TOP_NAME, shim=work / _SHIM.name, verilator=verilator, internals=_INTERNALS
        )

    return build_once(name="tsd_board", facts=files | tool_facts(verilator), build=build)
