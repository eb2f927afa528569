# SPDX-License-Identifier: Apache-2.0
"""Decoding with a language model: one text, every draft verified."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.decode.one_text import OneTextLoop, TextStep
from host.lm_setup import LmExperiment, LmOptions, prepare
from host.runs.control import cycle_facts, marked, open_run_tsu, run_facts, stop_on_signals, verifier_rng
from host.telemetry.draft_rows import TREE_CHANGING, append_tree
from host.telemetry.files import open_run_folder, write_json
from host.telemetry.summary import Summary
from host.telemetry.text_summary import TextTally, summarise_text
from host.telemetry.writer import StepWriter
from host.text.stream import TextStream
from hw.spec.config import TsuConfig
from hw.spec.errors import check_int

Listener = Callable[[str, int, float, float], None]
"""Called with the text that each token completes, the tokens so far, their acceptance, and tokens per second."""


@dataclass(frozen=True, kw_only=True)
class LmResult:
    """Outcome of a run.

    Parameters
    ----------
    summary : Summary
    text : str
        What followed the prompt.
    metrics_path : Path or None
        steps.jsonl with step telemetry, else summary.json; None with telemetry off.
    """

    summary: Summary
    text: str
    metrics_path: Path | None


def run(options: LmOptions, *, listener: Listener | None = None) -> LmResult:
    """Decode and write what the options ask for.

    Parameters
    ----------
    options : LmOptions
    listener : callable or None
        See `Listener`; what is held back at the end comes in a last call.

    Raises
    ------
    SpecError, ModelError, TextError
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
    experiment = prepare(options)
    model, prompt = experiment.model, experiment.prompt
    with ExitStack() as stack:
        tsu = stack.enter_context(open_run_tsu(options, None if options.has_port else options.tsu_config()))
        check_int("vocab_size of the model", model.target.vocab_size, 1, tsu.config.vocab_max)
        check_int("K", options.k, 1, tsu.config.k_max)
        end_ids = frozenset() if options.ignore_end else model.end_ids
        loop = OneTextLoop(
            tsu=tsu,
            target=model.target,
            proposer=experiment.proposer,
            begin=prompt,
            mode=options.weights,
            rng=verifier_rng(options.seed),
            drafting=experiment.drafting,
            method=options.drafting.verify,
            seed=options.seed,
            end=len(prompt) + options.steps,
            end_ids=end_ids,
            positions=model.positions,
        )
        folder = None if options.telemetry == "off" else open_run_folder(options.out)
        facts = run_facts(options, tsu.config, tsu, folder) | {
            "vocab_size": model.target.vocab_size,
            "k": options.k,
            "target": model.facts["name"],
            "dtype": options.dtype,
            "temperature": options.temperature,
            "proposer": options.proposer,
            "prompt_tokens": len(prompt),
            **options.drafting.facts(),
        }
        if folder is not None:
            write_json(folder.path / "config.json", _config(options, experiment, tsu.config, facts))
        rows: StepWriter | None = None
        if folder is not None and options.telemetry == "step":
            rows = stack.enter_context(StepWriter(folder.path / "steps.jsonl", _step_constants(facts), TREE_CHANGING))
        tally, cycles = TextTally(), tsu.cycles
        stream = TextStream(model.tokenizer.decode, prompt.tolist())
        with stop_on_signals() as stop, marked(folder, facts):
            text, ended = decode(
                loop=loop, tally=tally, tokens=options.steps, end_ids=end_ids, stream=stream, rows=rows,
                stop=stop, listener=listener,
            )  # fmt: skip
        facts |= cycle_facts(tsu.cycles - cycles, tally.steps) | {"ended": ended}
    passes = getattr(model.target, "passes", None)
    summary = summarise_text(tally, complete=ended != "interrupted", passes=passes, facts=facts)
    if folder is not None:
        tokens = loop.tokens[len(prompt) :].tolist()
        write_json(folder.path / "summary.json", {**summary.values, "text": text, "token_ids": tokens})
    name = "steps.jsonl" if options.telemetry == "step" else "summary.json"
    return LmResult(summary=summary, text=text, metrics_path=None if folder is None else folder.path / name)


def decode(
    *,
    loop: OneTextLoop,
    tally: TextTally,
    tokens: int,
    end_ids: frozenset[int],
    stream: TextStream,
    rows: StepWriter | None = None,
    stop: Callable[[], bool] = lambda: False,
    listener: Listener | None = None,
) -> tuple[str, str]:
    """Give the text up to `tokens` tokens, counted in `tally`.

    Returns
    -------
    text : str
    ended : str
        "tokens", "end_of_text" behind one of `end_ids`, or "interrupted" where `stop()` came to be true.
    """
    parts: list[str] = []

    def tell(part: str) -> None:
        parts.append(part)
        if listener is not None:
            rate, speed = tally.accepted / max(tally.steps, 1), tally.tokens / max(tally.elapsed_s, 1e-9)
            listener(part, tally.tokens, rate, speed)

    begin = time.perf_counter()
    ended = "tokens"
    while tally.tokens < tokens and ended == "tokens":
        if stop():
            ended = "interrupted"
            break
        step = loop.step()
        tally.elapsed_s = time.perf_counter() - begin
        tally.add(step)
        if rows is not None:
            _write_row(rows, step)
        tell("".join(stream.push(token) for token in step.tokens))
        if step.tokens[-1] in end_ids:
            ended = "end_of_text"
    tell(stream.finish())
    return "".join(parts), ended


def _write_row(rows: StepWriter, step: TextStep) -> None:
    append_tree(
        rows, step.tree, p=step.judged[0].p, accepted=step.accepted, text=0, tsu_s=step.tsu_s,
        verifier_s=step.verifier_s, position=step.position,
    )  # fmt: skip
    rows.flush()


def _config(options: LmOptions, experiment: LmExperiment, config: TsuConfig, facts: dict[str, Any]) -> dict[str, Any]:
    """Content of config.json."""
    content = {"schema_version": 1, **facts, "options": options.as_json(), "tsu": config.as_dict()}
    return content | experiment.facts


def _step_constants(facts: dict[str, Any]) -> dict[str, Any]:
    """Fields of a row that are the same in every step."""
    constants = {name: facts[name] for name in ("run_id", "seed", "backend", "spec_id")}
    return constants | {"mode": facts["weights"], "context": None}
