# SPDX-License-Identifier: Apache-2.0
"""The Verilated noise banks as a shared library, built once for each configuration."""

from pathlib import Path

from hw.spec.config import TsuConfig
from sim.native.build import build_once
from sim.verilated.toolchain import find_verilator
from sim.verilated.verilate import tool_facts, verilate, verilog_text

_SHIM = Path(__file__).with_name("bank.cpp")


def bank_library(config: TsuConfig) -> Path:
    """The shared library of the noise banks of `config`, verilated and compiled if the cache has none.

    The key holds the Verilog itself, so that no library of other gateware can be taken.

    Raises
    ------
    ToolMissing
        Verilator or the C++ compiler is missing.
    NativeBuildError
        One of them or Yosys failed, or the cache cannot be written.
    """
    from .flat_bank import TOP_NAME, WORDS_HEADER_NAME, FlatBanks, words_header

    verilator = find_verilator()
    verilog = verilog_text(FlatBanks(config=config), what="the noise banks")
    files = {f"{TOP_NAME}.v": verilog, WORDS_HEADER_NAME: words_header(config.noise_streams)}
    files[_SHIM.name] = _SHIM.read_text(encoding="utf-8")

    def build(work: Path) -> Path:
        for name, text in files.items():
            (work / name).write_text(text, encoding="utf-8")
        return verilate(work / f"{TOP_NAME}.v", top=TOP_NAME, shim=work / _SHIM.name, verilator=verilator)

    return build_once(name=f"tsd_noise_{config.noise}", facts=files | tool_facts(verilator), build=build)
