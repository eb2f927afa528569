# SPDX-License-Identifier: Apache-2.0
"""A bigram of low rank: q(. | c) = softmax(U[c] W + b)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import LowRankConfig


class LowRank(nn.Module):
    """r numbers for each context, r numbers and a bias for each token; the start of a text is context V.

    Parameters
    ----------
    config : LowRankConfig
    """

    def __init__(self, config: LowRankConfig) -> None:
        super().__init__()
        self.config = config
        self.contexts = nn.Parameter(torch.randn(config.vocab_size + 1, config.rank))
        self.tokens = nn.Parameter(torch.randn(config.rank, config.vocab_size) * config.rank**-0.5)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))

    def rows(self) -> Tensor:
        """Logits behind every context, float32 (V + 1, V); the last row belongs to the start of a text."""
        return self.contexts @ self.tokens + self.bias

    def forward(self, texts: Tensor) -> Tensor:
        """Logits, float32 (batch, length + 1, V): entry i belongs to the token behind the first i tokens."""
        before = functional.pad(texts, (1, 0), value=self.config.vocab_size)
        return self.contexts[before] @ self.tokens + self.bias
