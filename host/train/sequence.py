# SPDX-License-Identifier: Apache-2.0
"""Train a recurrent proposer on a target's laws along a text."""

from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from host.models.config import GruConfig, describe
from host.targets.base import Target

from .data import Tokens, even_pieces, random_pieces
from .digests import laws_digest, text_digest
from .goal import Goal, check_vocab_sizes, figures, seeded_model
from .laws import laws_along
from .objectives import kl, log_softmax, overlap
from .settings import TrainSettings

MEASURED_PIECES = 20
"""Held-out pieces, at most."""

MEASURED_LENGTH = 4
"""Length of a held-out piece over that of a piece to learn from; the first quarter is not measured."""

MEASURED_BATCH = 5
"""Pieces of one pass."""


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
        self.model = seeded_model(config, settings.seed)
        pieces = even_pieces(tokens.heldout, count=MEASURED_PIECES, length=MEASURED_LENGTH * settings.length)
        self._skip = pieces.shape[1] // 4
        self._heldout = torch.split(torch.from_numpy(pieces), MEASURED_BATCH)
        self._heldout_laws = [laws_along(target, part)[:, self._skip :].flatten(0, 1) for part in self._heldout]

    def loss(self, step: int, progress: float) -> Tensor:
        """Mean objective over all prefixes of random pieces."""
        s = self._settings
        pieces = torch.from_numpy(
            random_pieces(self._tokens.train, batch=s.batch, length=s.length, seed=s.seed, step=step)
        )
        return self._goal.loss(laws_along(self._target, pieces), self.model(pieces), progress).mean()

    def measure(self) -> dict[str, float]:
        """acceptance through psi (the score), the overlap without psi, KL in nats; means over held-out contexts."""
        accepted, raw, divergence = [], [], []
        for pieces, p in zip(self._heldout, self._heldout_laws, strict=True):
            log_q = log_softmax(self.model(pieces)[:, self._skip :].flatten(0, 1).double())
            q = log_q.exp()
            accepted.append(self._goal.accepted(_normalised(p), q.numpy()))
            raw.append(overlap(p, q))
            divergence.append(kl(p, log_q))
        return figures(
            float(np.concatenate(accepted).mean()), float(torch.cat(raw).mean()), float(torch.cat(divergence).mean())
        )

    def facts(self) -> dict[str, object]:
        """Sizes, goal, digests of text and target."""
        first = self._heldout_laws[0].numpy()
        return {
            "model": describe(self.config),
            **asdict(self._goal),
            **text_digest(self._tokens),
            "target_sha256": laws_digest(first),
        }


def _normalised(p: Tensor) -> npt.NDArray[np.float64]:
    """float32 rows as float64 that sum to 1."""
    rows = p.numpy().astype(np.float64)
    normal: npt.NDArray[np.float64] = rows / rows.sum(axis=1, keepdims=True)
    return normal
