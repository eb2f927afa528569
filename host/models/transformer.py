# SPDX-License-Identifier: Apache-2.0
"""A small causal transformer, pre-norm, with rotary positions and attention over the last `span` positions.

Because a layer reaches back span - 1 positions, a position depends on the last layers * (span - 1) + 1 tokens and
on nothing before. One pass over a long text therefore gives, at each position, what a pass over its window would.
Every text starts with a mark of its own, token V, which a window that begins later does not see.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import TransformerConfig

ROTARY_BASE = 10_000.0
"""Longest period of the rotary positions (Su et al., arXiv:2104.09864, section 3.2.2), over 2 pi."""

WIDENING = 4
"""Width of the inner layer of the feed-forward part over `width`."""


class Block(nn.Module):
    """x + attention(norm(x)), then x + feedforward(norm(x)) (Xiong et al., arXiv:2002.04745: pre-norm)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.LayerNorm(config.width)
        self.queries_keys_values = nn.Linear(config.width, 3 * config.width, bias=False)
        self.attention_out = nn.Linear(config.width, config.width, bias=False)
        self.inner_norm = nn.LayerNorm(config.width)
        self.inner = nn.Linear(config.width, WIDENING * config.width)
        self.inner_out = nn.Linear(WIDENING * config.width, config.width)

    def forward(self, x: Tensor, cosine: Tensor, sine: Tensor, visible: Tensor) -> Tensor:
        """x and result: (batch, length, width). `visible`: bool (length, length), row i marks what i sees."""
        batch, length, width = x.shape
        qkv = self.queries_keys_values(self.attention_norm(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, width / heads)
        seen = functional.scaled_dot_product_attention(
            rotate(q, cosine, sine), rotate(k, cosine, sine), v, attn_mask=visible
        )
        x = x + self.attention_out(seen.transpose(1, 2).reshape(batch, length, width))
        inner: Tensor = self.inner_out(functional.gelu(self.inner(self.inner_norm(x))))
        return x + inner


class Transformer(nn.Module):
    """Logits of the token behind each prefix of a text; input and output embeddings are one matrix.

    Parameters
    ----------
    config : TransformerConfig
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size + 1, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        nn.init.normal_(self.embed.weight, std=config.width**-0.5)
        for block in self.blocks:
            assert isinstance(block, Block)
            for last in (block.attention_out, block.inner_out):
                nn.init.normal_(last.weight, std=(2 * config.layers * last.in_features) ** -0.5)

    def forward(self, texts: Tensor) -> Tensor:
        """Logits, float32 (batch, length + 1, V): entry i belongs to the token behind the first i tokens.

        texts : int64 (batch, length); the length may be 0.
        """
        x = self.embed(functional.pad(texts, (1, 0), value=self.config.vocab_size))
        length = x.shape[1]
        cosine, sine = rotation(length, self.config.width // self.config.heads, x.device)
        visible = band(length, self.config.span, x.device)
        for block in self.blocks:
            x = block(x, cosine, sine, visible)
        return self.project(x)

    def project(self, x: Tensor) -> Tensor:
        """Logits (..., V) of the vectors (..., width) behind the last block."""
        return functional.linear(self.norm(x), self.embed.weight[: self.config.vocab_size], self.bias)


def band(length: int, span: int, device: torch.device) -> Tensor:
    """bool (length, length): position i sees j where i - span < j <= i."""
    distance = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)[None, :]
    return (distance >= 0) & (distance < span)


def rotation(length: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosine and sine of the angle of each position and pair, float32 (length, size / 2)."""
    pairs = torch.arange(size // 2, dtype=torch.float32, device=device)
    angles = torch.arange(length, dtype=torch.float32, device=device)[:, None] * ROTARY_BASE ** (-2 * pairs / size)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Each pair (x_i, x_{i + size/2}) of x, (..., length, size), turned by the angle of its position."""
    low, high = x.chunk(2, dim=-1)
    return torch.cat([low * cosine - high * sine, low * sine + high * cosine], dim=-1)
