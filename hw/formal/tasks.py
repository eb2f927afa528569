# SPDX-License-Identifier: Apache-2.0
"""The tasks of a proof: the proof itself, its covers, and each seeded bug, which must make it fail."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from hw.spec.errors import SpecError

from .bench import Bench
from .bugs import Bug, seeded
from .proof import Proof, all_proofs
from .sby import FAIL, PASS, TIMEOUT, UNKNOWN, FormalError, run_task, task_file

PROBLEMS = {
    PASS: "the seeded bug was not found",
    FAIL: "counterexample from reset",
    UNKNOWN: "holds from reset, but the induction fails",
    TIMEOUT: "stopped at the time limit",
}
"""One line for each finding that is not the expected one."""

_ONE_AT_A_TIME = Lock()
"""Benches are made one after the other: a seeded bug exchanges modules meanwhile."""


@dataclass(frozen=True)
class Task:
    """One run of the solver; `bug` and `cover` say what for, where it is not the proof itself."""

    proof: Proof
    bug: Bug | None = None
    cover: bool = False

    @property
    def name(self) -> str:
        """ "component/variant", with what it is for."""
        return self.proof.name + (":cover" if self.cover else f"+{self.bug.name}" if self.bug else "")

    @property
    def method(self) -> str:
        """How it is done."""
        return "cover" if self.cover else "bug" if self.bug else self.proof.method

    @property
    def expected(self) -> str:
        """The finding that makes it pass."""
        return FAIL if self.bug else PASS


@dataclass(frozen=True)
class Result:
    """Outcome of a task; `problem` is empty where it passed."""

    task: Task
    depth: int
    seconds: float
    problem: str

    def line(self) -> str:
        """One line of the report."""
        text = f"{'FAIL' if self.problem else 'pass'} {self.task.name:58s} {self.task.method:11s}"
        text += f" depth {self.depth:3d} {self.seconds:6.1f} s"
        return f"{text}: {self.problem}" if self.problem else text


def tasks_of(proof: Proof) -> list[Task]:
    """The tasks of a proof."""
    return [Task(proof), Task(proof, cover=True), *(Task(proof, bug=bug) for bug in proof.bugs)]


def select(names: Sequence[str], *, quick: bool = False) -> list[Task]:
    """Tasks by the name of a task, of a proof (all its tasks) or of a component (all its proofs); all by default.

    Raises SpecError for a name that there is not.
    """
    proofs = [proof for proof in all_proofs().values() if proof.quick or not quick]
    tasks = [task for proof in proofs for task in tasks_of(proof)]
    chosen: dict[str, Task] = {}
    for name in names:
        found = {task.name: task for task in tasks if name in (task.name, task.proof.name, task.proof.component)}
        if not found:
            raise SpecError("name", name, "a component, proof or task that --list shows")
        chosen |= found
    return list(chosen.values()) if names else tasks


def run(task: Task, *, build: Path, limit_s: float) -> Result:
    """Make the bench of a task and run the solver on it."""
    proof = task.proof
    mode, depth = ("bmc" if proof.bounded else "prove"), proof.depth
    if task.cover:
        mode, depth = "cover", proof.cover_depth
    elif task.bug:
        mode, depth = "bmc", task.bug.depth
    narrowed = task.bug.narrowed if task.bug else task.cover and proof.cover_narrowed
    try:
        with _ONE_AT_A_TIME, seeded(task.bug):
            bench = Bench(all_proofs()[proof.name].fill, narrowed=narrowed)
            rtlil = bench.rtlil()
        depth += bench.latency_cycles if proof.beside_latency else 0
        folder = build / task.name.replace("/", "-").replace(":", "-")
        text = task_file(mode=mode, depth=depth, map_memories=proof.map_memories)
        outcome = run_task(text, rtlil, folder=folder, limit_s=limit_s)
    except (FormalError, SpecError) as error:
        return Result(task, depth, 0.0, str(error))
    problem = ""
    if outcome.status != task.expected:
        problem = PROBLEMS[outcome.status]
        if task.cover and outcome.status == FAIL:
            problem = "a cover statement is out of reach"
        problem += f" (see {folder / 'log'})"
    return Result(task, depth, outcome.seconds, problem)


def run_all(tasks: Iterable[Task], *, build: Path, limit_s: float, jobs: int) -> Iterator[Result]:
    """Run tasks, `jobs` at a time; results come as they are there. Leaving the loop cancels what has not begun."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run, task, build=build, limit_s=limit_s) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()
