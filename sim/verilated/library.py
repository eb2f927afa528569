# SPDX-License-Identifier: Apache-2.0
"""The Verilated TSU as a shared library behind sim/native/tsd_abi.h, built once for each configuration."""

import json
from importlib.metadata import version
from pathlib import Path

from hw.spec.config import TsuConfig
from sim.native.build import NativeBuildError, build_once
from sim.native.header import ABI_HEADER, CONFIG_HEADER_NAME, config_header

from .toolchain import Verilator, find_verilator
from .verilate import tool_facts, verilate, verilog_text

_HERE = Path(__file__).resolve().parent
_GATEWARE = _HERE.parents[1] / "hw"

_INTERNALS = {
    "TSD_HAS_ROOT_EVAL": ["void Vtsu___024root___eval(Vtsu___024root* vlSelf)"],
    "TSD_HAS_TRIGGER_STATE": [f"__Vtrigprevexpr___TOP__{clock}__0;" for clock in ("clk", "load_clk", "monitor_clk")],
}
"""Internal names of Verilator's that the shim uses where this version's model has them."""


def _sources() -> dict[str, str]:
    """Texts of all files of ours that a library is made of, by their paths in the project."""
    ours = [path for pattern in ("*.py", "*.cpp", "*.hpp") for path in sorted(_HERE.glob(pattern))]
    paths = [*sorted(_GATEWARE.rglob("*.py")), *ours, ABI_HEADER]
    return {str(path.relative_to(_HERE.parents[1])): path.read_text(encoding="utf-8") for path in paths}


_IMPORTED = _sources()
"""The texts that this process runs. Keys are made of them: files may change under a process that goes on as it is."""


def _check_unchanged() -> None:
    """Raise NativeBuildError where a file is no longer what this process runs: its key would name another text."""
    now = _sources()
    changed = sorted(name for name in _IMPORTED.keys() | now.keys() if _IMPORTED.get(name) != now.get(name))
    if changed:
        raise NativeBuildError(f"{changed[0]} was changed after this program had been started: start it again")


def _facts(config: TsuConfig, verilator: Verilator) -> dict[str, str]:
    """Everything the library depends on, without elaborating it: our sources, configuration, tools."""
    return (
        _IMPORTED
        | tool_facts(verilator)
        | {
            "config": json.dumps(config.as_dict()),
            CONFIG_HEADER_NAME: config_header(config),
            "amaranth": version("amaranth"),
        }
    )


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
        from .flat_tsu import TOP_NAME, FlatTsu, beat_header

        _check_unchanged()
        source = work / f"{TOP_NAME}.v"
        source.write_text(verilog_text(FlatTsu(config=config), what="the TSU"), encoding="utf-8")
        (work / CONFIG_HEADER_NAME).write_text(config_header(config), encoding="utf-8")
        (work / "tsd_beat.h").write_text(beat_header(config), encoding="utf-8")
        (work / ABI_HEADER.name).write_text(ABI_HEADER.read_text(encoding="utf-8"), encoding="utf-8")
        built = verilate(source, top=TOP_NAME, shim=_HERE / "shim.cpp", verilator=verilator, internals=_INTERNALS)
        _check_unchanged()
        return built

    return build_once(name="tsd_rtl", facts=_facts(config, verilator), build=build)
