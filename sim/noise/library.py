# SPDX-License-Identifier: Apache-2.0
"""The Verilated noise banks as a shared library, built once for each configuration."""

from pathlib import Path

from hw.spec.config import TsuConfig
from sim.native.build import FLAGS, NativeBuildError, build_once, compile_library, compiler_facts, run_tool
from sim.verilated.library import VERILATOR_FLAGS
from sim.verilated.toolchain import find_verilator

_SHIM = Path(__file__).with_name("bank.cpp")
_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
_CXX_FLAGS = (*(flag for flag in FLAGS if flag not in ("-Wall", "-Wextra")), "-w", "-pthread")


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
    from amaranth.back.verilog import YosysError

    from .flat_bank import TOP_NAME, WORDS_HEADER_NAME, FlatBanks, words_header

    verilator = find_verilator()
    try:
        verilog = FlatBanks(config=config).to_verilog()
    except YosysError as error:
        raise NativeBuildError(
            f"Yosys did not write the Verilog of the noise banks: {' '.join(str(error).split())}"
        ) from error
    files = {f"{TOP_NAME}.v": verilog, WORDS_HEADER_NAME: words_header(config.noise_streams)}
    files[_SHIM.name] = _SHIM.read_text(encoding="utf-8")

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
        return compile_library(work, [unit], flags=[*_CXX_FLAGS, "-I", str(include), "-I", str(include / "vltstd")])

    facts = files | compiler_facts(_CXX_FLAGS) | {"verilator": " ".join([verilator.version, *VERILATOR_FLAGS])}
    return build_once(name=f"tsd_noise_{config.noise}", facts=facts, build=build)
