# SPDX-License-Identifier: Apache-2.0
"""A gated recurrent network over tokens (Cho et al., arXiv:1406.1078)."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import GruConfig


class Gru(nn.Module):
    """Logits of the next token from a state of `hidden` numbers; the start of a text is token V.

    Parameters
    ----------
    config : GruConfig
    """

    def __init__(self, config: GruConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size + 1, config.embed)
        self.cell = nn.GRU(config.embed, config.hidden, batch_first=True)
        self.out = nn.Linear(config.hidden, config.vocab_size)
        nn.init.normal_(self.embed.weight, std=config.embed**-0.5)

    def forward(self, texts: Tensor) -> Tensor:
        """Logits, float32 (batch, length + 1, V): entry i belongs to the token behind the first i tokens.

        texts : int64 (batch, length); the length may be 0.
        """
        states, _ = self.cell(self.embed(functional.pad(texts, (1, 0), value=self.config.vocab_size)))
        return cast(Tensor, self.out(states))

    def start(self, batch: int) -> Tensor:
        """State of `batch` texts at their start, float32 (batch, hidden)."""
        return self.advance(
            torch.zeros(batch, self.config.hidden), torch.full((batch,), self.config.vocab_size, dtype=torch.int64)
        )

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """State after one more token of each text; tokens : int64 (batch,)."""
        _, last = self.cell(self.embed(tokens)[:, None, :], state[None].contiguous())
        return cast(Tensor, last[0])

    def project(self, state: Tensor) -> Tensor:
        """Logits (batch, V) of the next token."""
        return cast(Tensor, self.out(state))
