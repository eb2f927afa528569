# SPDX-License-Identifier: Apache-2.0
"""Milestone 1: bigram targets. Many texts grow side by side; each context has a psi of its own."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from host.context_soundness import ContextAssessment, ContextCounts
from host.decode.loop import DraftLoop, Group
from host.m1_setup import M1Experiment, M1Options, prepare
from host.psi.wire import psi_bytes
from host.runs.control import cycle_facts, destinations, marked, open_run_tsu, run_facts, stop_on_signals, verifier_rng
from host.telemetry.context_summary import summarise_contexts
from host.telemetry.contexts import ContextRow, ContextTally, context_row, write_rows
from host.telemetry.files import open_run_folder, write_json
from host.telemetry.means import MeanRow
from host.telemetry.summary import Summary, ce_gap_nats
from host.telemetry.writer import StepWriter
from hw.spec.config import TsuConfig
from hw.spec.errors import check_int

CHANGING = ("position", "context", "psi_bytes", "ce_gap_nats", "tau", "tail")
"""Fields of a row of steps.jsonl that differ from context to context."""

LOOK_UP_CONTEXTS = 256
"""Contexts whose laws are looked up together for the summary."""

Observer = Callable[[list[Group]], None]
"""Called with the groups of each step."""


@dataclass(frozen=True, kw_only=True)
class M1Result:
    """Outcome of a run.

    Parameters
    ----------
    summary : Summary
    rows : list of ContextRow
        One for each context that was visited.
    complete : bool
        False when the run was interrupted.
    metrics_path : Path or None
        steps.jsonl with step telemetry, else summary.json; None with telemetry off.
    """

    summary: Summary
    rows: list[ContextRow]
    complete: bool
    metrics_path: Path | None


def run(options: M1Options, *, progress: Callable[[int, float], None] | None = None) -> M1Result:
    """Run milestone 1 and write what the options ask for.

    Parameters
    ----------
    options : M1Options
    progress : callable or None
        Called after each step of all texts with verified tokens and acceptance rate so far.

    Raises
    ------
    SpecError, TargetError, TextError
        Bad input. Nothing has been written.
    TsuError
        The backend cannot be opened, or failed. Rows written so far stay in steps.jsonl.part.
    NoiseAlarm
        The noise failed a health test; summary.json says so.
    LawMismatchError
        The TSU reported integers that are not the law's.
    OutputError
        A result cannot be written.
    """
    files = destinations(options, "plot")
    experiment = prepare(options)
    with ExitStack() as stack:
        tsu = stack.enter_context(open_run_tsu(options, None if options.has_port else options.tsu_config()))
        check_int("vocab", experiment.target.vocab_size, 1, tsu.config.vocab_max)
        check_int("K", options.k, 1, tsu.config.k_max)
        loop = DraftLoop(
            tsu=tsu,
            target=experiment.target,
            proposer=experiment.proposer,
            texts=experiment.begin(options),
            mode=options.weights,
            rng=verifier_rng(options.seed),
        )
        folder = None if options.telemetry == "off" else open_run_folder(options.out)
        facts = run_facts(options, tsu.config, tsu, folder) | {
            "vocab_size": experiment.target.vocab_size,
            "k": options.k,
            "texts": len(loop.texts),
            "target": experiment.facts["kind"],
        }
        if folder is not None:
            write_json(folder.path / "config.json", _config(options, experiment, tsu.config, facts))
        observers: list[Observer] = []
        if folder is not None and options.telemetry == "step":
            rows = StepWriter(folder.path / "steps.jsonl", _step_constants(facts), CHANGING)
            observers.append(_row_writer(stack.enter_context(rows)))
        tally = ContextTally(experiment.target.vocab_size)
        cycles = tsu.cycles
        with stop_on_signals() as stop, marked(folder, facts):
            measure(
                loop=loop, tally=tally, steps=options.steps, observers=tuple(observers), stop=stop, progress=progress
            )
        facts |= cycle_facts(tsu.cycles - cycles, tally.steps)
        context_rows, assessment = assess(loop, tally)
    complete = tally.steps == options.steps
    summary, means = summarise_contexts(tally, context_rows, assessment.finish(), complete=complete, facts=facts)
    if "plot" in files:
        from host.report.contexts import plot_contexts

        plot_contexts(files["plot"], rows=context_rows, summary=summary)
    if folder is not None:
        write_rows(folder.path / "contexts.csv", context_rows, ContextRow)
        write_rows(folder.path / "summary.csv", means, MeanRow)
        write_json(folder.path / "summary.json", summary.values)
    name = "steps.jsonl" if options.telemetry == "step" else "summary.json"
    path = None if folder is None else folder.path / name
    return M1Result(summary=summary, rows=context_rows, complete=complete, metrics_path=path)


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


def _config(options: M1Options, experiment: M1Experiment, config: TsuConfig, facts: dict[str, Any]) -> dict[str, Any]:
    """Content of config.json."""
    content = {"schema_version": 1, **facts, "options": options.as_json(), "tsu": config.as_dict()}
    return content | {"target": experiment.facts}


def _step_constants(facts: dict[str, Any]) -> dict[str, Any]:
    """Fields of a row that are the same in every step."""
    return {name: facts[name] for name in ("run_id", "seed", "backend", "spec_id")} | {"mode": facts["weights"]}
