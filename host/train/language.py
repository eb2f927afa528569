# SPDX-License-Identifier: Apache-2.0
"""Train a target: the next token of a text, by cross-entropy."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from host.models.config import ModelConfig, describe
from host.models.store import build
from hw.spec.errors import SpecError

from .data import Tokens, even_pieces, random_pieces
from .digests import text_digest
from .loop import SCORE
from .settings import TrainSettings

MEASURED_PIECES = 64
"""Held-out pieces, at most."""

MEASURED_BATCH = 16
"""Pieces of one pass."""


class LanguageTask:
    """Minimise -ln p(next token); see `host.train.loop.Task`.

    Parameters
    ----------
    config : ModelConfig
        Sizes of a transformer or a GRU.
    tokens : Tokens
    settings : TrainSettings

    Raises
    ------
    SpecError
        The vocabularies differ.
    """

    def __init__(self, *, config: ModelConfig, tokens: Tokens, settings: TrainSettings) -> None:
        if config.vocab_size != tokens.vocab_size:
            raise SpecError("vocab_size of the model", config.vocab_size, f"that of the tokens, {tokens.vocab_size}")
        self.config = config
        self._tokens = tokens
        self._settings = settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.model: nn.Module = build(config)
        self._heldout = torch.from_numpy(even_pieces(tokens.heldout, count=MEASURED_PIECES, length=2 * settings.length))

    @property
    def outcome(self) -> nn.Module:
        """The model."""
        return self.model

    def loss(self, step: int, progress: float) -> Tensor:
        """Mean nats per token of random pieces."""
        s = self._settings
        pieces = random_pieces(self._tokens.train, batch=s.batch, length=s.length, seed=s.seed, step=step)
        return self._nats(torch.from_numpy(pieces), skip=0).mean()

    def measure(self) -> dict[str, float]:
        """nats: mean per held-out token, in the second half of each piece; score = -nats."""
        skip = self._heldout.shape[1] // 2
        parts = [self._nats(part, skip=skip) for part in torch.split(self._heldout, MEASURED_BATCH)]
        nats = float(torch.cat(parts).mean())
        return {"nats": nats, SCORE: -nats}

    def facts(self) -> dict[str, object]:
        """Sizes, and digests of the text."""
        return {"model": describe(self.config), "objective": "language", **text_digest(self._tokens)}

    def _nats(self, pieces: Tensor, *, skip: int) -> Tensor:
        """-ln p of each token behind the first `skip`, (batch, length - skip)."""
        logits = self.model(pieces[:, :-1])[:, skip:]
        return functional.cross_entropy(logits.flatten(0, 1), pieces[:, skip:].flatten(), reduction="none").view(
            len(pieces), -1
        )
