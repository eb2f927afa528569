# SPDX-License-Identifier: Apache-2.0
"""The training loop: what is learned comes as a `Task`; steps, measurements and checkpoints are the loop's.

A step is decided by the seed, its number, and the state before it, and a checkpoint holds all of that: a run that was
interrupted and goes on gives the same bits as one that was not, on the same machine and number of threads.
"""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from host.models.config import ModelConfig
from host.models.store import save_model
from host.telemetry.files import output_error
from hw.spec.errors import SpecError

from .checkpoint import STATE, Progress, load_checkpoint, save_checkpoint
from .log import LOG, append_row, drop_rows_after
from .settings import TrainSettings

SCORE = "score"
"""The measurement that decides which model is the best one; more is better."""


class TrainingError(FloatingPointError):
    """Training went astray. The message is one line."""


class Task(Protocol):
    """What is trained, on what, and how it is measured."""

    @property
    def model(self) -> nn.Module:
        """The model that learns."""
        ...

    @property
    def outcome(self) -> nn.Module:
        """What is kept of it: the model, or the best of several that learn side by side."""
        ...

    @property
    def config(self) -> ModelConfig:
        """Sizes of the outcome."""
        ...

    def loss(self, step: int, progress: float) -> Tensor:
        """What to minimise in a step, a scalar; progress is the share of steps done, in [0, 1)."""
        ...

    def measure(self) -> dict[str, float]:
        """Figures on held-out text, `SCORE` among them."""
        ...

    def facts(self) -> dict[str, object]:
        """What the figures depend on beside the settings, as JSON: a checkpoint of other facts is refused."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run ended with.

    Parameters
    ----------
    folder : Path
        Where model, log and checkpoint are.
    steps : int
        Steps done.
    best_score : float
    best_step : int
        Steps done when the model in the folder was measured.
    cpu_s : float
        Processor time of the steps and measurements, seconds.
    """

    folder: Path
    steps: int
    best_score: float
    best_step: int
    cpu_s: float


def make_optimiser(model: nn.Module, settings: TrainSettings) -> torch.optim.AdamW:
    """AdamW with decay on matrices only."""
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.rate, betas=(0.9, 0.98), foreach=False)


def train(
    task: Task,
    settings: TrainSettings,
    *,
    folder: Path,
    resume: bool = False,
    progress: Callable[[int, Mapping[str, float]], None] | None = None,
) -> TrainResult:
    """Train until `settings.steps`, or until the score no longer grows; keep the best model in `folder`.

    The folder gets model.json and model.safetensors (the best model), log.jsonl, and the checkpoint of the last
    measurement. SIGINT ends the run by KeyboardInterrupt; what was written stays whole.

    Parameters
    ----------
    task : Task
    settings : TrainSettings
    folder : Path
        Made if need be. It must not hold a checkpoint, unless the run resumes it.
    resume : bool
        Go on from the folder's checkpoint.
    progress : callable or None
        Called after each step with the steps done and the figures of the last row.

    Raises
    ------
    SpecError
        The folder holds a checkpoint that this run may not overwrite or cannot go on from.
    OutputError
        A file cannot be written.
    TrainingError
        The loss is no longer finite.
    """
    config = {"settings": settings.as_dict(), **task.facts()}
    optimiser = make_optimiser(task.model, settings)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from None
    if resume:
        state = load_checkpoint(folder, model=task.model, optimiser=optimiser, config=config)
        drop_rows_after(folder, state.step)
    elif (folder / STATE).exists():
        raise SpecError("out", str(folder), "a folder without a checkpoint, or resume")
    else:
        state = Progress()
        (folder / LOG).unlink(missing_ok=True)
    figures: dict[str, float] = {}
    mark, losses = time.process_time() - state.cpu_s, []
    while state.step < settings.steps and not state.stopped:
        losses.append(_step(task, optimiser, settings, state.step))
        state.step += 1
        if state.step % settings.every == 0 or state.step == settings.steps:
            figures = _measured(task)
            _judge(task, settings, folder, state, figures)
            state.cpu_s = time.process_time() - mark
            rate = settings.rate_at(state.step - 1)
            row = {"step": state.step, "loss": math.fsum(losses) / len(losses), "rate": rate, "cpu_s": state.cpu_s}
            append_row(folder, {**row, **figures})
            save_checkpoint(folder, model=task.model, optimiser=optimiser, progress=state, config=config)
            losses = []
        if progress is not None:
            progress(state.step, figures)
    assert state.best_score is not None
    return TrainResult(
        folder=folder,
        steps=state.step,
        best_score=state.best_score,
        best_step=state.best_step,
        cpu_s=state.cpu_s,
    )


def _step(task: Task, optimiser: torch.optim.Optimizer, settings: TrainSettings, step: int) -> float:
    """One update; returns the loss before it."""
    for group in optimiser.param_groups:
        group["lr"] = settings.rate_at(step)
    task.model.train()
    optimiser.zero_grad(set_to_none=True)
    loss = task.loss(step, step / settings.steps)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"the loss of step {step} is {value}: a smaller rate is needed")
    loss.backward()  # type: ignore[no-untyped-call]  # torch declares it without types
    nn.utils.clip_grad_norm_(task.model.parameters(), settings.clip)
    optimiser.step()
    return value


def _measured(task: Task) -> dict[str, float]:
    task.model.eval()
    with torch.no_grad():
        return task.measure()


def _judge(task: Task, settings: TrainSettings, folder: Path, state: Progress, figures: Mapping[str, float]) -> None:
    """Keep the model if it is the best so far; else count, and stop when there is no more patience."""
    if state.best_score is None or figures[SCORE] > state.best_score:
        state.best_score, state.best_step, state.misses = figures[SCORE], state.step, 0
        save_model(folder, task.outcome, task.config, {"step": state.step, **task.facts(), **figures})
        return
    state.misses += 1
    state.stopped = state.misses == settings.patience
