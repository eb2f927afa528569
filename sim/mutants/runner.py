# SPDX-License-Identifier: Apache-2.0
"""Runs a script on many mutants in another process: one that dies or hangs costs its mutant, not the campaign."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import numpy as np

from .library import Run
from .script import Words

TIME_LIMIT_S = 120.0
"""Longest silence of the other process; a run is bounded in cycles, and takes a few seconds at most."""

DIED, HUNG = "simulator died", "simulator hung"
"""Verdicts beside those of the bench: a mutant that does this to the simulator is seen."""


def _lines(process: "subprocess.Popen[str]", queue: "Queue[str | None]") -> None:
    for line in process.stdout or ():
        queue.put(line)
    queue.put(None)


def _run_some(library: Path, script: Path, indices: Sequence[int], limit_s: float) -> Iterator[tuple[int, Run]]:
    """Results in order until all are there or the process dies or hangs."""
    command = [sys.executable, "-m", "sim.mutants.worker", str(library), str(script)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    queue: Queue[str | None] = Queue()
    reader = Thread(target=_lines, args=(process, queue), daemon=True)
    reader.start()
    try:
        if process.stdin is not None:
            with suppress(BrokenPipeError):  # it died at once, as its output will tell
                process.stdin.write(" ".join(map(str, indices)))
                process.stdin.close()
        for index in indices:
            try:
                line = queue.get(timeout=limit_s)
            except Empty:
                yield index, Run(verdict=HUNG, segment=0, cycles=0)
                return
            if line is None:
                yield index, Run(verdict=DIED, segment=0, cycles=0)
                return
            yield index, Run(**json.loads(line))
    finally:
        process.kill()
        process.wait()
        reader.join()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def run_mutants(
    library: Path, script: Words, indices: Sequence[int], *, limit_s: float = TIME_LIMIT_S
) -> Iterator[tuple[int, Run]]:
    """Each mutant's index and run, in order, as they are ready.

    Parameters
    ----------
    library : Path
        What `mutant_library` returned.
    script : uint64 ndarray
        What `encode_script` returned.
    indices : sequence of int
        Mutants; 0 is the netlist as it is.
    limit_s : float
        Seconds of silence after which the simulator is taken for hung.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.npy"
        np.save(path, script)
        done = 0
        while done < len(indices):
            for result in _run_some(library, path, indices[done:], limit_s):
                done += 1
                yield result
