# SPDX-License-Identifier: Apache-2.0
"""Milestone 1: bigram targets. Many texts grow side by side; each context has a psi of its own."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.m1_blocks import BlockRun
from host.m1_setup import M1Experiment, M1Options, prepare
from host.m1_single import SingleRun
from host.runs.control import cycle_facts, destinations, marked, open_run_tsu, run_facts, stop_on_signals
from host.telemetry.contexts import ContextRow, write_rows
from host.telemetry.files import open_run_folder, write_json
from host.telemetry.means import MeanRow
from host.telemetry.summary import Summary
from host.telemetry.writer import StepWriter
from hw.spec.config import TsuConfig
from hw.spec.errors import check_int


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
        kind = SingleRun if options.drafting.one_draft else BlockRun
        decoding: SingleRun | BlockRun = kind(options=options, experiment=experiment, tsu=tsu)
        folder = None if options.telemetry == "off" else open_run_folder(options.out)
        facts = run_facts(options, tsu.config, tsu, folder) | {
            "vocab_size": experiment.target.vocab_size,
            "k": options.k,
            "texts": decoding.texts,
            "target": experiment.facts["kind"],
            **options.drafting.facts(),
        }
        if folder is not None:
            write_json(folder.path / "config.json", _config(options, experiment, tsu.config, facts))
        rows: StepWriter | None = None
        if folder is not None and options.telemetry == "step":
            constants = _step_constants(facts)
            rows = stack.enter_context(StepWriter(folder.path / "steps.jsonl", constants, decoding.changing))
        cycles = tsu.cycles
        with stop_on_signals() as stop, marked(folder, facts):
            decoding.measure(rows=rows, stop=stop, progress=progress)
        facts |= cycle_facts(tsu.cycles - cycles, decoding.samples)
        summary, context_rows, means = decoding.summarise(facts)
    if "plot" in files:
        from host.report.contexts import plot_contexts

        plot_contexts(files["plot"], rows=context_rows, summary=summary)
    if folder is not None:
        write_rows(folder.path / "contexts.csv", context_rows, ContextRow)
        write_rows(folder.path / "summary.csv", means, MeanRow)
        write_json(folder.path / "summary.json", summary.values)
    name = "steps.jsonl" if options.telemetry == "step" else "summary.json"
    path = None if folder is None else folder.path / name
    return M1Result(summary=summary, rows=context_rows, complete=decoding.complete, metrics_path=path)


def _config(options: M1Options, experiment: M1Experiment, config: TsuConfig, facts: dict[str, Any]) -> dict[str, Any]:
    """Content of config.json."""
    content = {"schema_version": 1, **facts, "options": options.as_json(), "tsu": config.as_dict()}
    return content | {"target": experiment.facts}


def _step_constants(facts: dict[str, Any]) -> dict[str, Any]:
    """Fields of a row that are the same in every step."""
    return {name: facts[name] for name in ("run_id", "seed", "backend", "spec_id")} | {"mode": facts["weights"]}
