# SPDX-License-Identifier: Apache-2.0
"""Train a recurrent proposer on a target's laws along a text."""

from dataclasses import asdict

import torch
from torch import Tensor, nn

from host.models.config import GruConfig, describe
from host.targets.base import Target

from .data import Tokens, random_pieces
from .digests import laws_digest, text_digest
from .goal import Goal, HeldOut, check_vocab_sizes, seeded_models
from .laws import laws_along
from .measure import heldout_pieces
from .objectives import log_softmax
from .settings import TrainSettings


class SequenceTask:
    """Train a recurrent proposer on the laws behind every token of random pieces; see `host.train.loop.Task`.

    Parameters
    ----------
    config : GruConfig
    target : Target
        Its `order` must be stated.
    tokens : Tokens
        Text whose prefixes are the contexts: a corpus, or samples of the target.
    settings : TrainSettings
    goal : Goal

    Raises
    ------
    SpecError
        The vocabularies differ, or K does not suit them.
    """

    def __init__(
        self, *, config: GruConfig, target: Target, tokens: Tokens, settings: TrainSettings, goal: Goal
    ) -> None:
        check_vocab_sizes(config.vocab_size, target, tokens)
        goal.check_vocab(tokens.vocab_size)
        self.config = config
        self._target, self._tokens, self._settings, self._goal = target, tokens, settings, goal
        (self.model,) = seeded_models(config, settings.seed)
        self._heldout = list(heldout_pieces(tokens, length=settings.length))
        self._heldout_laws = [laws_along(target, part)[:, skip:].flatten(0, 1) for part, skip in self._heldout]

    @property
    def outcome(self) -> nn.Module:
        """The model."""
        return self.model

    def loss(self, step: int, progress: float) -> Tensor:
        """Mean objective over all prefixes of random pieces."""
        s = self._settings
        pieces = torch.from_numpy(
            random_pieces(self._tokens.train, batch=s.batch, length=s.length, seed=s.seed, step=step)
        )
        return self._goal.loss(laws_along(self._target, pieces), self.model(pieces), progress).mean()

    def measure(self) -> dict[str, float]:
        """acceptance through psi (the score), the overlap without psi, KL in nats; means over held-out contexts."""
        heldout = HeldOut(self._goal)
        for (pieces, skip), p in zip(self._heldout, self._heldout_laws, strict=True):
            heldout.add(p, log_softmax(self.model(pieces)[:, skip:].flatten(0, 1).double()))
        return heldout.figures()

    def facts(self) -> dict[str, object]:
        """Sizes, goal, digests of text and target."""
        first = self._heldout_laws[0].numpy()
        return {
            "model": describe(self.config),
            **asdict(self._goal),
            **text_digest(self._tokens),
            "target_sha256": laws_digest(first),
        }
