# SPDX-License-Identifier: Apache-2.0
"""Verilog to a shared library: Verilator, then the C++ compiler on one translation unit."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from sim.native.build import FLAGS, NativeBuildError, compile_library, compiler_facts, run_tool

from .toolchain import Verilator

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

CXX_FLAGS = (*(flag for flag in FLAGS if flag not in ("-Wall", "-Wextra")), "-w", "-pthread")
"""Options of the C++ compiler; Verilator's output has warnings of its own."""

_RUNTIME = ("verilated.cpp", "verilated_threads.cpp")


class Design(Protocol):
    """What has a Verilog text."""

    def to_verilog(self) -> str:
        """The text; raises amaranth's YosysError."""


def verilog_text(design: Design, *, what: str) -> str:
    """The Verilog of `design`; raises NativeBuildError, which calls it `what`, where Yosys fails."""
    from amaranth.back.verilog import YosysError

    try:
        return design.to_verilog()
    except YosysError as error:
        raise NativeBuildError(f"Yosys did not write the Verilog of {what}: {' '.join(str(error).split())}") from error


def tool_facts(verilator: Verilator, *, cxx_flags: Sequence[str] = CXX_FLAGS) -> dict[str, str]:
    """What a library depends on beside its sources: the tools and their options."""
    return compiler_facts(cxx_flags) | {"verilator": " ".join([verilator.version, *VERILATOR_FLAGS])}


def verilate(
    source: Path,
    *,
    top: str,
    shim: Path,
    verilator: Verilator,
    internals: Mapping[str, Sequence[str]] | None = None,
    cxx_flags: Sequence[str] = CXX_FLAGS,
) -> Path:
    """Verilate `source` in its folder, compile the model with `shim`, and return the shared library.

    Each key of `internals` becomes a macro for the shim: 1 where Verilator's output has all of its texts, else 0.
    Raises NativeBuildError when one of the tools fails.
    """
    work = source.parent
    command = [str(verilator.program), *VERILATOR_FLAGS, "--Mdir", str(work), "--top-module", top, str(source)]
    run_tool(command, what=source.name, env=verilator.environment())
    model = sorted(work.glob(f"V{top}*.cpp"))
    macros: list[str] = []
    if internals:
        text = "".join(path.read_text(encoding="utf-8") for path in (*work.glob("V*.h"), *model))
        macros = [f"-D{macro}={int(all(name in text for name in names))}" for macro, names in internals.items()]
    include = verilator.include_folder()
    # One translation unit: the compiler sees the whole model, and builds it faster.
    unit = work / "unit.cpp"
    parts = [*model, *(include / name for name in _RUNTIME), shim]
    unit.write_text("".join(f'#include "{part}"\n' for part in parts), encoding="utf-8")
    flags = [*cxx_flags, *macros, "-I", str(include), "-I", str(include / "vltstd")]
    return compile_library(work, [unit], flags=flags)
