# SPDX-License-Identifier: Apache-2.0
"""Builds the simulation of a bench: Amaranth to Verilog to a Verilated program, kept by content."""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import verilog
from cocotb_tools.runner import get_runner

from .bench_file import Bench, BenchError
from .native.toolchain import find_cxx
from .verilated.toolchain import Verilator

TOP = "top"
"""Name of the simulated Verilog module."""

BUILD_ARGS = ["-Wno-lint", "-Wno-style", "-Wno-fatal", "--x-assign", "fast", "--x-initial", "fast", "-CFLAGS", "-O1"]
"""Options of Verilator: a bench runs for seconds, so that a short build is worth more than a fast model."""

PORTS_ONLY = "--no-public-flat-rw"
"""Takes back cocotb's wish to reach every signal: a TSU would compile for minutes and run many times slower."""

CONTROL_FILE = "ports.vlt"
"""Names the ports of the top, which are all that a bench reaches."""

TIMESCALE = ("1ns", "1ps")
"""Unit and precision of simulated time."""

BUILT_MARK = "built"
"""File that is written when a build is complete."""

RUNTIME_OBJECTS = "verilated*.o"
"""Objects of Verilator's own runtime: the same for every bench, and most of a build's time."""

VERILATION_LIMIT_S = 600
"""Where Verilator needs longer for a bench, its runtime is compiled again: slower, not wrong."""


def plain_verilog(component: Any) -> str:
    """Verilog of the top, without references to its sources: the same for equal gateware."""
    text: str = verilog.convert(component, name=TOP, emit_src=False)
    return text


@dataclass(frozen=True, kw_only=True)
class Flow:
    """How a top becomes a program: what a run that measures coverage does otherwise.

    Parameters
    ----------
    convert : callable
        Component to Verilog.
    options : tuple of str
        Options of Verilator.
    """

    convert: Callable[[Any], str] = plain_verilog
    options: tuple[str, ...] = tuple(BUILD_ARGS)


PLAIN = Flow()
"""The flow of `python -m sim.benches`."""


def content_hash(*parts: str) -> str:
    """Name of a build: 64 bits of the SHA-256 of what it is made from."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def control_text(source: str) -> str:
    """Verilator's control file that opens the ports of the top, and nothing else, to the bench.

    Raises
    ------
    BenchError
        The Verilog holds no module called `TOP`.
    """
    header = re.search(rf"^module {TOP}\((.*?)\);", source, re.MULTILINE | re.DOTALL)
    if header is None:
        raise BenchError(f"the Verilog holds no module {TOP}")
    ports = (port.strip().removeprefix("\\") for port in header[1].split(","))
    return "`verilator_config\n" + "".join(f'public_flat_rw -module "{TOP}" -var "{port}"\n' for port in ports)


def copy_objects(source: Path, target: Path, *, ahead_s: float) -> None:
    """Copy the runtime objects that `target` lacks, dated `ahead_s` seconds ahead.

    Make holds an object for stale when it is older than the makefile, which Verilator writes after the copy.
    """
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob(RUNTIME_OBJECTS)):
        if not (target / path.name).is_file():
            partial = target / f"{path.name}.{os.getpid()}"
            shutil.copyfile(path, partial)
            date = time.time() + ahead_s
            os.utime(partial, (date, date))
            partial.replace(target / path.name)


def build_bench(bench: Bench, *, verilator: Verilator, build_root: Path, waves: bool, flow: Flow = PLAIN) -> Path:
    """Elaborate and compile a bench, unless that was done before; returns its build directory.

    Raises
    ------
    BenchError
        Verilator or the C++ compiler failed; its output is in `build.log` of the build directory.
    """
    source = flow.convert(bench.toplevel())
    tools = [verilator.version, str(find_cxx()), *flow.options, PORTS_ONLY, *TIMESCALE, str(waves)]
    control = control_text(source)
    directory = build_root / "benches" / content_hash(source, control, *tools)
    runtime = build_root / "benches" / f"runtime-{content_hash(*tools)}"
    if (directory / BUILT_MARK).is_file():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    source_path = directory / f"{TOP}.v"
    source_path.write_text(source)
    control_path = directory / CONTROL_FILE
    control_path.write_text(control)
    copy_objects(runtime, directory, ahead_s=VERILATION_LIMIT_S)
    log_path = directory / "build.log"
    try:
        get_runner("verilator").build(
            sources=[source_path],
            hdl_toplevel=TOP,
            build_dir=directory,
            build_args=[*flow.options, PORTS_ONLY, str(control_path)],
            timescale=TIMESCALE,
            waves=waves,
            log_file=log_path,
        )
    except (RuntimeError, SystemExit) as error:
        raise BenchError(f"build failed, see {log_path}") from error
    copy_objects(directory, runtime, ahead_s=0)
    (directory / BUILT_MARK).write_text(f"{bench.name}\n")
    return directory
