# SPDX-License-Identifier: Apache-2.0
"""Milestone 1 with one draft for each token. See `host.m1`."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from host.context_soundness import ContextAssessment, ContextCounts
from host.decode.loop import DraftLoop, Group
from host.m1_setup import M1Experiment, M1Options
from host.psi.wire import psi_bytes
from host.runs.control import verifier_rng
from host.telemetry.context_summary import summarise_contexts
from host.telemetry.contexts import ContextRow, ContextTally, context_row
from host.telemetry.means import MeanRow
from host.telemetry.summary import Summary, ce_gap_nats
from host.telemetry.writer import StepWriter
from host.tsu.base import Tsu

LOOK_UP_CONTEXTS = 256
"""Contexts whose laws are looked up together for the summary."""

Observer = Callable[[list[Group]], None]
"""Called with the groups of each step."""


class SingleRun:
    """Texts that grow by a token at a time, `steps` tokens in all.

    Parameters
    ----------
    options : M1Options
    experiment : M1Experiment
    tsu : Tsu
    """

    changing = ("position", "context", "psi_bytes", "ce_gap_nats", "tau", "tail")
    """Fields of a row of steps.jsonl that differ from context to context."""

    def __init__(self, *, options: M1Options, experiment: M1Experiment, tsu: Tsu) -> None:
        self._steps = options.steps
        self._loop = DraftLoop(
            tsu=tsu,
            target=experiment.target,
            proposer=experiment.proposer,
            texts=experiment.begin(options),
            mode=options.weights,
            rng=verifier_rng(options.seed),
        )
        self.texts = len(self._loop.texts)
        self._tally = ContextTally(experiment.target.vocab_size)

    @property
    def samples(self) -> int:
        """Drafts so far."""
        return self._tally.steps

    @property
    def complete(self) -> bool:
        """Whether every token that was asked for was emitted."""
        return self._tally.steps == self._steps

    def measure(
        self, *, rows: StepWriter | None, stop: Callable[[], bool], progress: Callable[[int, float], None] | None
    ) -> None:
        """Decode; ends early, after a step of all texts, where `stop()` is true."""
        observers = () if rows is None else (_row_writer(rows),)
        measure(
            loop=self._loop, tally=self._tally, steps=self._steps, observers=observers, stop=stop, progress=progress
        )

    def summarise(self, facts: dict[str, Any]) -> tuple[Summary, list[ContextRow], list[MeanRow]]:
        """Figures and tests of what was decoded. It asks the loop for laws, not the TSU."""
        rows, assessment = assess(self._loop, self._tally)
        summary, means = summarise_contexts(self._tally, rows, assessment.finish(), complete=self.complete, facts=facts)
        return summary, rows, means


def measure(
    *,
    loop: DraftLoop,
    tally: ContextTally,
    steps: int,
    observers: tuple[Observer, ...] = (),
    stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, float], None] | None = None,
) -> None:
    """Give texts `steps` tokens in all, counted in `tally`; ends early, after a whole step, where `stop()` is true."""
    begin = time.perf_counter()
    while tally.steps < steps and not stop():
        left = steps - tally.steps
        groups = loop.step(left if left < len(loop.texts) else None)
        for group in groups:
            tally.add(group)
        for observer in observers:
            observer(groups)
        tally.elapsed_s = time.perf_counter() - begin
        if progress is not None:
            progress(tally.steps, tally.accepted / tally.steps)


def assess(loop: DraftLoop, tally: ContextTally) -> tuple[list[ContextRow], ContextAssessment]:
    """Figures and tests of every context that was visited."""
    assessment = ContextAssessment()
    rows = []
    visited = np.flatnonzero(tally.visits)
    for start in range(0, len(visited), LOOK_UP_CONTEXTS):
        for at in loop.look_up(visited[start : start + LOOK_UP_CONTEXTS, None]):
            context = at.context[-1]
            drafts, emitted, recovered = (
                table[context].astype(np.int64) for table in (tally.drafts, tally.emitted, tally.recovered)
            )
            q = at.law.probabilities()
            assessment.add(ContextCounts(p=at.p, q=q, drafts=drafts, emitted=emitted, recovered=recovered))
            rows.append(context_row(at, q, drafts, int(recovered.sum()), assessment.p_values[-1]))
    return rows, assessment


def _row_writer(rows: StepWriter) -> Observer:
    """Rows of every group. The fields of a context are worked out once."""
    known: dict[tuple[int, ...], dict[str, Any]] = {}

    def observe(groups: list[Group]) -> None:
        for group in groups:
            at = group.at
            if at.context not in known:
                known[at.context] = {
                    "context": at.context[-1],
                    "psi_bytes": psi_bytes(at.psi),
                    "ce_gap_nats": ce_gap_nats(at.p, at.law.probabilities()),
                    "tau": float(at.psi.tau),
                    "tail": float(at.psi.tail),
                }
            rows.append(
                accepted=group.verified.accepted,
                tsu_s=group.tsu_s,
                verifier_s=group.verifier_s,
                texts=group.texts,
                position=group.position,
                **known[at.context],
            )
        rows.flush()

    return observe
