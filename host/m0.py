# SPDX-License-Identifier: Apache-2.0
"""Milestone 0: one psi, many steps. Draw a draft from the TSU, verify it against the target, test the counts."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from host.m0_setup import Experiment, M0Options, prepare
from host.psi.schema import Psi
from host.psi.wire import psi_bytes
from host.runs.control import cycle_facts, destinations, marked, open_run_tsu, run_facts, stop_on_signals, verifier_rng
from host.telemetry.dumps import DrawRecorder, save_psi
from host.telemetry.files import RunFolder, open_run_folder, write_json
from host.telemetry.summary import Summary, Tally, ce_gap_nats, summarise
from host.telemetry.writer import StepWriter
from host.tsu.base import Draws, Tsu
from host.verify.single import SingleVerifier, Verified

BATCH_STEPS = 1 << 16
"""Steps that are drawn and verified together; the stream of tokens does not depend on it."""


class Verifier(Protocol):
    """Accepts or corrects a batch of drafts."""

    def verify(self, draws: Draws, rng: np.random.Generator) -> Verified: ...


Observer = Callable[[Draws, Verified, float, float], None]
"""Called after each batch with drafts, outcome, seconds in the TSU and seconds in the verifier."""


def measure(
    *,
    tsu: Tsu,
    psi: Psi,
    verifier: Verifier,
    rng: np.random.Generator,
    steps: int,
    observers: tuple[Observer, ...] = (),
    stop: Callable[[], bool] = lambda: False,
) -> Tally:
    """Draw and verify `steps` drafts in batches; ends early, after a whole batch, when `stop()` is true.

    Returns
    -------
    Tally
        Counts of all finished batches.
    """
    tally = Tally(psi.vocab_size)
    begin = time.perf_counter()
    while tally.steps < steps and not stop():
        start = time.perf_counter()
        draws = tsu.sample(psi, min(BATCH_STEPS, steps - tally.steps))
        drawn = time.perf_counter()
        verified = verifier.verify(draws, rng)
        done = time.perf_counter()
        tally.add(draws, verified, tsu_s=drawn - start, verifier_s=done - drawn)
        for observer in observers:
            observer(draws, verified, drawn - start, done - drawn)
        tally.elapsed_s = time.perf_counter() - begin
    return tally


@dataclass(frozen=True, kw_only=True)
class M0Result:
    """Outcome of a run.

    Parameters
    ----------
    summary : Summary
    complete : bool
        False when the run was interrupted.
    metrics_path : Path or None
        steps.jsonl with step telemetry, else summary.json; None with telemetry off.
    """

    summary: Summary
    complete: bool
    metrics_path: Path | None


def run(options: M0Options, *, progress: Callable[[int, float], None] | None = None) -> M0Result:
    """Run milestone 0 and write what the options ask for.

    Parameters
    ----------
    options : M0Options
    progress : callable or None
        Called after each batch with steps done and acceptance rate so far.

    Raises
    ------
    SpecError, TargetError
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
    files = destinations(options, "save_draws", "save_psi", "plot")
    recorder = DrawRecorder(options.steps) if "save_draws" in files else None
    rng = verifier_rng(options.seed)
    with ExitStack() as stack:
        experiment, tsu = _open(options, stack)
        verifier = SingleVerifier(p=experiment.p, law=experiment.law)
        folder = None if options.telemetry == "off" else open_run_folder(options.out)
        facts = _facts(options, experiment, tsu, folder)
        if folder is not None:
            write_json(folder.path / "config.json", _config(options, experiment, facts))
        if "save_psi" in files:
            save_psi(files["save_psi"], experiment.psi, experiment.law, experiment.config, options.weights)
        observers: list[Observer] = []
        if folder is not None and options.telemetry == "step":
            constants = _step_constants(facts, experiment)
            rows = stack.enter_context(StepWriter(folder.path / "steps.jsonl", constants))
            observers.append(_row_writer(rows))
        if recorder is not None:
            observers.append(lambda draws, verified, _, __: recorder.add(draws, verified))
        if progress is not None:
            observers.append(_reporter(progress))
        cycles = tsu.cycles
        with stop_on_signals() as stop, marked(folder, facts):
            tally = measure(
                tsu=tsu, psi=experiment.psi, verifier=verifier, rng=rng, steps=options.steps,
                observers=tuple(observers), stop=stop,
            )  # fmt: skip
        cycles = tsu.cycles - cycles
    complete = tally.steps == options.steps
    facts |= cycle_facts(cycles, tally.steps)
    summary = summarise(
        tally, p=experiment.p, law=experiment.law, psi_bytes=facts["psi_bytes"], complete=complete, facts=facts
    )
    if recorder is not None:
        recorder.save(files["save_draws"])
    if "plot" in files:
        from host.report.histogram import plot_run

        plot_run(files["plot"], p=experiment.p, law=experiment.law, tally=tally, summary=summary)
    if folder is not None:
        write_json(folder.path / "summary.json", summary.values)
    name = "steps.jsonl" if options.telemetry == "step" else "summary.json"
    return M0Result(summary=summary, complete=complete, metrics_path=None if folder is None else folder.path / name)


def _open(options: M0Options, stack: ExitStack) -> tuple[Experiment, Tsu]:
    """The experiment and its TSU. A board is opened first, for the law of its draws depends on its widths."""
    experiment = None if options.has_port else prepare(options)
    tsu = stack.enter_context(open_run_tsu(options, None if experiment is None else experiment.config))
    return experiment or prepare(options, config=tsu.config), tsu


def _row_writer(rows: StepWriter) -> Observer:
    def observe(draws: Draws, verified: Verified, tsu_s: float, verifier_s: float) -> None:
        rows.append(accepted=verified.accepted, tsu_s=tsu_s, verifier_s=verifier_s)
        rows.flush()

    return observe


def _reporter(progress: Callable[[int, float], None]) -> Observer:
    steps = accepted = 0

    def observe(draws: Draws, verified: Verified, tsu_s: float, verifier_s: float) -> None:
        nonlocal steps, accepted
        steps += len(draws)
        accepted += verified.accepted_count
        progress(steps, accepted / steps)

    return observe


def _facts(options: M0Options, experiment: Experiment, tsu: Tsu, folder: RunFolder | None) -> dict[str, Any]:
    """What identifies a run, for summary.json and for every row."""
    return {
        **run_facts(options, experiment.config, tsu, folder),
        "vocab_size": experiment.psi.vocab_size,
        "k": experiment.psi.k,
        "psi_bytes": psi_bytes(experiment.psi),
    }


def _config(options: M0Options, experiment: Experiment, facts: dict[str, Any]) -> dict[str, Any]:
    """Content of config.json."""
    return {"schema_version": 1, **facts, "options": options.as_json(), "tsu": experiment.config.as_dict()}


def _step_constants(facts: dict[str, Any], experiment: Experiment) -> dict[str, Any]:
    """Fields of a row that are the same in every step."""
    return {
        **{name: facts[name] for name in ("run_id", "seed", "psi_bytes", "backend", "spec_id")},
        "mode": facts["weights"],
        "position": None,
        "context": None,
        "ce_gap_nats": ce_gap_nats(experiment.p, experiment.law.probabilities()),
        "tau": float(experiment.psi.tau),
        "tail": float(experiment.psi.tail),
    }
