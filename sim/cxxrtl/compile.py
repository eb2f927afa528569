# SPDX-License-Identifier: Apache-2.0
"""RTLIL to a shared library: Yosys writes C++, the compiler takes it in one translation unit with a shim."""

from pathlib import Path

from sim.native.build import FLAGS, NativeBuildError, compile_library, compiler_facts
from sim.native.yosys import yosys

from .toolchain import cxxrtl_facts, find_runtime

SCRIPT = "read_rtlil {top}.il\nwrite_cxxrtl -O5 -g0 {top}.cc\n"
"""Yosys commands: flat, processes turned to cells, no debug information.

-O5 keeps named signals as variables of their own. Inlining them too (-O6) takes the compiler 5 % longer and makes code
that is 8 % slower.
"""

CXX_FLAGS = (
    *(flag for flag in FLAGS if flag not in ("-Wall", "-Wextra")),
    "-w",
    "-DNDEBUG",
    "--param",
    "sccvn-max-alias-queries-per-access=20",
    "--param",
    "dse-max-alias-queries-per-store=8",
)
"""Options of the C++ compiler: generated code has warnings of its own, and an index check at every memory.

An evaluation is one function of thousands of stores. Where gcc looks less far for what they overwrite, it takes 8 s
instead of 9.5 s, for code as fast.
"""

_FEEDBACK = "Design contains feedback wires"
"""What Yosys says where one evaluation does not settle the outputs; the shim relies on one."""


def tool_facts() -> dict[str, str]:
    """What a library depends on beside its sources: the tools and their options. Raises ToolMissing."""
    return compiler_facts(CXX_FLAGS) | cxxrtl_facts() | {"script": SCRIPT}


def compile_rtlil(rtlil: str, *, top: str, shim: Path, work: Path) -> Path:
    """Compile the module `top` of `rtlil` with `shim`, which includes <top>.cc, and return the shared library.

    Raises
    ------
    ToolMissing
        Yosys or the C++ compiler is missing.
    NativeBuildError
        One of them failed, or the module has combinational loops.
    """
    (work / f"{top}.il").write_text(rtlil, encoding="utf-8")
    if _FEEDBACK in yosys(SCRIPT.format(top=top), folder=work):
        raise NativeBuildError(f"the module {top} has combinational loops: CXXRTL cannot settle it in one evaluation")
    unit = work / shim.name
    unit.write_text(shim.read_text(encoding="utf-8"), encoding="utf-8")
    return compile_library(work, [unit], flags=[*CXX_FLAGS, "-I", str(find_runtime())])
