# SPDX-License-Identifier: Apache-2.0
"""The Verilated board as a shared library, built once for each design."""

from pathlib import Path

from hw.link.serial_tsu import SerialTsu
from sim.native.build import FLAGS, NativeBuildError, build_once, compile_library, compiler_facts, run_tool
from sim.verilated.library import VERILATOR_FLAGS
from sim.verilated.toolchain import find_verilator

_SHIM = Path(__file__).with_name("shim.cpp")
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_CXX_FLAGS = (*(flag for flag in FLAGS if flag not in ("-Wall", "-Wextra")), "-w", "-pthread")


def _fast_path_flags(work: Path) -> list[str]:
    """Macros for the shim: which of Verilator's internal names this version's model has."""
    names = {
        "BOARD_HAS_ROOT_EVAL": "void Vboard___024root___eval(Vboard___024root* vlSelf)",
        "BOARD_HAS_TRIGGER_STATE": "__Vtrigprevexpr___TOP__clk__0;",
    }
    text = "".join(path.read_text(encoding="utf-8") for pattern in ("V*.h", "V*.cpp") for path in work.glob(pattern))
    return [f"-D{macro}={int(name in text)}" for macro, name in names.items()]


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
    from amaranth.back.verilog import YosysError

    from .flat_board import TOP_NAME, FlatBoard

    verilator = find_verilator()
    try:
        verilog = FlatBoard(tsu).to_verilog()
    except YosysError as error:
        raise NativeBuildError(
            f"Yosys did not write the Verilog of the board: {' '.join(str(error).split())}"
        ) from error
    files = {f"{TOP_NAME}.v": verilog, _SHIM.name: _SHIM.read_text(encoding="utf-8")}

    def build(work: Path) -> Path:
        for name, text in files.items():
            (work / name).write_text(text, encoding="utf-8")
        source = work / f"{TOP_NAME}.v"
        command = [str(verilator.program), *VERILATOR_FLAGS, "--Mdir", str(work), "--top-module", TOP_NAME, str(source)]
        run_tool(command, what=source.name, env=verilator.environment())
        include = verilator.include_folder()
        model = sorted(work.glob(f"V{TOP_NAME}*.cpp"))
        parts = [*model, *(include / name for name in _RUNTIME), work / _SHIM.name]
        unit = work / "unit.cpp"
        unit.write_text("".join(f'#include "{part}"\n' for part in parts), encoding="utf-8")
        flags = [*_CXX_FLAGS, *_fast_path_flags(work), "-I", str(include), "-I", str(include / "vltstd")]
        return compile_library(work, [unit], flags=flags)

    facts = files | compiler_facts(_CXX_FLAGS) | {"verilator": " ".join([verilator.version, *VERILATOR_FLAGS])}
    return build_once(name="tsd_board", facts=facts, build=build)
