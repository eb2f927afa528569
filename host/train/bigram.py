# SPDX-License-Identifier: Apache-2.0
"""Train a low-rank bigram on a bigram."""

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from host.models.config import LowRankConfig, describe
from host.targets.bigram import BigramTarget

from .data import Tokens
from .digests import laws_digest, text_digest
from .goal import Goal, check_vocab_sizes, figures, seeded_model
from .objectives import kl, log_softmax, overlap
from .settings import TrainSettings


class BigramTask:
    """Train a low-rank bigram on all rows of a bigram at once, weighted by how often the text has each context.

    Parameters
    ----------
    config : LowRankConfig
    target : BigramTarget
    tokens : Tokens
        Where contexts are counted; those that the training part never shows weigh as if seen once.
    settings : TrainSettings
        `batch` and `length` have no meaning here.
    goal : Goal

    Raises
    ------
    SpecError
        The vocabularies differ, or K does not suit them.
    """

    def __init__(
        self, *, config: LowRankConfig, target: BigramTarget, tokens: Tokens, settings: TrainSettings, goal: Goal
    ) -> None:
        check_vocab_sizes(config.vocab_size, target, tokens)
        goal.check_vocab(tokens.vocab_size)
        self.config = config
        self._tokens, self._goal = tokens, goal
        self.model = seeded_model(config, settings.seed)
        self._laws = np.concatenate([target.table, target.start[None]])
        self._p = torch.from_numpy(self._laws).float()
        seen = np.bincount(tokens.train[:-1], minlength=tokens.vocab_size + 1) + 1.0
        self._weights = torch.from_numpy(seen / seen.sum()).float()
        shown = np.bincount(tokens.heldout[:-1], minlength=tokens.vocab_size + 1)
        self._shown = shown / shown.sum()

    def loss(self, step: int, progress: float) -> Tensor:
        """Mean objective over the contexts of the training text."""
        return (self._weights * self._goal.loss(self._p, self._rows(), progress)).sum()

    def measure(self) -> dict[str, float]:
        """acceptance through psi (the score), the overlap without psi, KL in nats; means over held-out contexts."""
        log_q = log_softmax(self._rows().double())
        p, q = torch.from_numpy(self._laws), log_q.exp()
        means = (
            self._goal.accepted(self._laws, q.numpy()),
            overlap(p, q).numpy(),
            kl(p, log_q).numpy(),
        )
        return figures(*(float(self._shown @ mean) for mean in means))

    def facts(self) -> dict[str, object]:
        """Sizes, goal, digests of text and target."""
        return {
            "model": describe(self.config),
            **asdict(self._goal),
            **text_digest(self._tokens),
            "target_sha256": laws_digest(self._laws),
        }

    def _rows(self) -> Tensor:
        rows: Tensor = self.model.rows()  # type: ignore[operator]  # LowRank.rows; torch types members loosely
        return rows
