# SPDX-License-Identifier: Apache-2.0
"""One campaign: every mutant of a target under the whole work, results kept as they come."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from sim.mutants.equivalence import prove_equivalent
from sim.mutants.explained import Rule, explain
from sim.mutants.library import MutantLibrary, Run, mutant_library
from sim.mutants.netlist import Mutant
from sim.mutants.report import MutationReport, Survivor
from sim.mutants.runner import run_mutants
from sim.mutants.script import Segment, Words, encode_script

from .targets import MutationTarget
from .workload import Workload

DEFAULT_SEED = 1
"""Of the list of mutants and of the work; published figures use it."""

PASSED = "passed"

PROVED = "proved: equal outputs and next states from all states"
"""Reason of a survivor that sim/mutants/equivalence.py proved."""


class NetlistError(RuntimeError):
    """The netlist without a mutant does not answer as the model; the message is one line."""


class Campaign:
    """The mutants of one target and the work that is given to them.

    Parameters
    ----------
    target : MutationTarget
    seed : int
    folder : Path
        Where results are kept, one line of JSON for each mutant.

    Raises
    ------
    ToolMissing, NativeBuildError
        See `mutant_library`.
    """

    def __init__(self, *, target: MutationTarget, seed: int, folder: Path) -> None:
        self.target, self.seed = target, seed
        config = target.config
        self.library = mutant_library(config, tries=target.tries, seed=seed, within=target.within)
        opened = MutantLibrary(self.library)
        self.mutants: list[Mutant] = opened.mutants()
        work = Workload(config=config, seed=seed, pipeline_cycles=opened.pipeline_cycles)
        self.segments: list[Segment] = work.segments()
        self.script: Words = encode_script(self.segments)
        self._folder = folder
        self.results: dict[int, Run] = {}
        self.proved: set[int] = set()

    @property
    def log_file(self) -> Path:
        """Results of this run, a line for each mutant."""
        return self._folder / f"{self.target.name}.jsonl"

    def check_netlist(self, script: Words | None = None) -> int:
        """Run the netlist as it is; returns its cycles.

        Raises
        ------
        NetlistError
            Its answers differ from the model's, or the simulator does not start.
        """
        words = self.script if script is None else script
        ((_, run),) = run_mutants(self.library, words, [0])
        if run.verdict != PASSED:
            raise NetlistError(f"{self.target.name}: the netlist itself fails: {run.verdict}{self._where(run)}")
        return run.cycles

    def _where(self, run: Run) -> str:
        """The segment that a run ended in, as part of a sentence."""
        return f" in segment {self.segments[run.segment].name!r}" if run.segment < len(self.segments) else ""

    def run(self, indices: Sequence[int], progress: Callable[[int], None]) -> None:
        """Run these mutants; each result is written to `log_file` at once.

        Parameters
        ----------
        indices : sequence of int
        progress : callable
            Told how many are done after each.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        by_index = {mutant.index: mutant for mutant in self.mutants}
        with self.log_file.open("w", encoding="utf-8") as log:
            for index, run in run_mutants(self.library, self.script, indices):
                self.results[index] = run
                segment = self.segments[run.segment].name if run.segment < len(self.segments) else ""
                row = asdict(run) | {"segment": segment, "mutant": by_index[index].text}
                log.write(json.dumps(row) + "\n")
                log.flush()
                progress(len(self.results))

    def killed(self) -> list[str]:
        """`Mutant.text` of those that were seen."""
        return [m.text for m in self.mutants if m.index in self.results and self.results[m.index].verdict != PASSED]

    def prove(self, progress: Callable[[int], None]) -> None:
        """Try to prove every survivor so far equivalent; `progress` is told how many were tried."""
        alive = [m for m in self.mutants if m.index in self.results and self.results[m.index].verdict == PASSED]
        self.proved = prove_equivalent(self.target.config, alive, progress=progress)

    def report(self, rules: Sequence[Rule], *, cycles: int) -> MutationReport:
        """What was found so far; `cycles` of the work on the netlist as it is."""
        tried = [mutant for mutant in self.mutants if mutant.index in self.results]
        components: dict[str, list[int]] = {}
        for mutant in tried:
            row = components.setdefault(mutant.component, [0, 0])
            row[0] += 1
            row[1] += self.results[mutant.index].verdict != PASSED
        survivors = []
        for mutant in tried:
            if self.results[mutant.index].verdict == PASSED:
                rule = explain(rules, self.target.name, mutant.text)
                equivalent, reason = (rule.equivalent, rule.reason) if rule else (False, "")
                if mutant.index in self.proved:
                    equivalent, reason = True, PROVED
                survivors.append(Survivor(text=mutant.text, equivalent=equivalent, reason=reason))
        verdicts = Counter(run.verdict for run in self.results.values() if run.verdict != PASSED)
        return MutationReport(
            target=self.target.name,
            meaning=self.target.meaning,
            seed=self.seed,
            cycles=cycles,
            draws=sum(len(beat.draws) for segment in self.segments for beat in segment.beats),
            commands=sum(len(segment.commands) for segment in self.segments),
            tried=len(tried),
            killed=dict(verdicts),
            components=dict(sorted(components.items())),
            survivors=survivors,
        )
