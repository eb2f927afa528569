# SPDX-License-Identifier: Apache-2.0
"""From options to a trained model: what `python -m host.train` does, to be called from anywhere."""

from collections.abc import Callable, Mapping
from pathlib import Path

from host.models.config import GruConfig, LowRankConfig, ModelConfig
from host.targets.base import Target
from host.targets.bigram import SMOOTHINGS, BigramTarget, corpus_bigram
from host.targets.transformer import TransformerTarget
from hw.spec.errors import SpecError, check_int

from .bigram import BigramTask
from .data import Tokens
from .goal import Goal
from .language import LanguageTask
from .loop import Task, TrainResult, train
from .sequence import SequenceTask
from .settings import TrainSettings

ProgressCallback = Callable[[int, Mapping[str, float]], None]
"""Told the steps done and the last figures."""

BIGRAM = "bigram"
"""Name of the target that is counted in the training text; `bigram:laplace` chooses the smoothing."""


def open_target(name: str, tokens: Tokens) -> Target:
    """`bigram`, `bigram:SMOOTHING`, or the folder of a trained transformer.

    Raises
    ------
    SpecError
        The smoothing is unknown, or the folder holds no transformer.
    """
    kind, _, smoothing = name.partition(":")
    if kind == BIGRAM:
        return corpus_bigram(
            tokens=tokens.train, vocab_size=tokens.vocab_size, smoothing=smoothing if ":" in name else SMOOTHINGS[0]
        )
    return TransformerTarget.load(Path(name))


def proposer_task(
    *,
    config: GruConfig | LowRankConfig,
    target: Target,
    tokens: Tokens,
    settings: TrainSettings,
    goal: Goal,
    starts: int = 1,
) -> Task:
    """The task that trains a proposer of this kind; a low-rank bigram from several starts at once.

    Raises
    ------
    SpecError
        A low-rank bigram is to be trained on another target than a bigram, another proposer from several starts, or
        sizes do not fit.
    """
    if isinstance(config, GruConfig):
        check_int("starts", starts, 1, 1)
        return SequenceTask(config=config, target=target, tokens=tokens, settings=settings, goal=goal)
    if not isinstance(target, BigramTarget):
        raise SpecError("target", type(target).__name__, "a bigram, for a low-rank proposer")
    return BigramTask(config=config, target=target, tokens=tokens, settings=settings, goal=goal, starts=starts)


def train_target(
    *,
    config: ModelConfig,
    tokens: Tokens,
    settings: TrainSettings,
    folder: Path,
    resume: bool = False,
    progress: ProgressCallback | None = None,
) -> TrainResult:
    """Train a language model on a text; see `host.train.loop.train`."""
    task = LanguageTask(config=config, tokens=tokens, settings=settings)
    return train(task, settings, folder=folder, resume=resume, progress=progress)


def train_proposer(
    *,
    config: GruConfig | LowRankConfig,
    target: Target,
    tokens: Tokens,
    settings: TrainSettings,
    goal: Goal,
    folder: Path,
    starts: int = 1,
    resume: bool = False,
    progress: ProgressCallback | None = None,
) -> TrainResult:
    """Train a proposer on a target's laws along a text; see `host.train.loop.train`."""
    task = proposer_task(config=config, target=target, tokens=tokens, settings=settings, goal=goal, starts=starts)
    return train(task, settings, folder=folder, resume=resume, progress=progress)
