# SPDX-License-Identifier: Apache-2.0
"""Train a low-rank bigram on a bigram: from several starts at once, because acceptance has many local maxima."""

from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor, nn

from host.models.config import LowRankConfig, describe
from host.models.low_rank import LowRank
from host.targets.bigram import BigramTarget
from hw.spec.errors import check_int

from .data import Tokens
from .digests import laws_digest, text_digest
from .goal import Goal, check_vocab_sizes, figures, seeded_models
from .objectives import kl, log_softmax, overlap
from .settings import TrainSettings
from .starts import Starts

STARTS_MAX = 1024
"""Most starts."""

LAST = 1.0
"""Progress whose objective decides between starts."""


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
    starts : int
        Models that learn side by side, in [1, 1024]. The outcome is the one with the least objective over the contexts
        of the training text; the held-out ones have no say.

    Raises
    ------
    SpecError
        The vocabularies differ, K does not suit them, or there are too many starts.
    """

    def __init__(
        self,
        *,
        config: LowRankConfig,
        target: BigramTarget,
        tokens: Tokens,
        settings: TrainSettings,
        goal: Goal,
        starts: int = 1,
    ) -> None:
        check_vocab_sizes(config.vocab_size, target, tokens)
        goal.check_vocab(tokens.vocab_size)
        self.config = config
        self._tokens, self._goal = tokens, goal
        check_int("starts", starts, 1, STARTS_MAX)
        models = [model for model in seeded_models(config, settings.seed, starts) if isinstance(model, LowRank)]
        self.model = Starts(models)
        self._laws = np.concatenate([target.table, target.start[None]])
        self._p = torch.from_numpy(self._laws).float()
        seen = np.bincount(tokens.train[:-1], minlength=tokens.vocab_size + 1) + 1.0
        self._weights = torch.from_numpy(seen / seen.sum()).float()
        shown = np.bincount(tokens.heldout[:-1], minlength=tokens.vocab_size + 1)
        self._shown = shown / shown.sum()

    @property
    def outcome(self) -> nn.Module:
        """The best start; see `starts`."""
        return self.model.one(self._best())

    def loss(self, step: int, progress: float) -> Tensor:
        """Mean objective over the contexts of the training text, summed over the starts."""
        return self._losses(progress).sum()

    def measure(self) -> dict[str, float]:
        """acceptance through psi (the score), the overlap without psi, KL in nats; means over held-out contexts."""
        log_q = log_softmax(self.model.rows()[self._best()].double())
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
            "starts": len(self.model),
            **text_digest(self._tokens),
            "target_sha256": laws_digest(self._laws),
        }

    def _losses(self, progress: float) -> Tensor:
        """Mean objective of each start over the contexts of the training text, (starts,)."""
        return (self._goal.loss(self._p, self.model.rows(), progress) * self._weights).sum(dim=-1)

    def _best(self) -> int:
        """The start with the least objective, that of the last steps."""
        with torch.no_grad():
            return int(self._losses(LAST).argmin())
