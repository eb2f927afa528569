# SPDX-License-Identifier: Apache-2.0
"""A small causal transformer, pre-norm, with rotary positions and attention over the last `span` positions.

Because a layer reaches back span - 1 positions, a position depends on the last layers * (span - 1) + 1 tokens and
on nothing before. One pass over a long text therefore gives, at each position, what a pass over its window would.
Every text starts with a mark of its own, token V, which a window that begins later does not see.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import TransformerConfig

ROTARY_BASE = 10_000.0
"""Longest period of the rotary positions (Su et al., arXiv:2104.09864, section 3.2.2), over 2 pi."""

WIDENING = 4
"""Width of the inner layer of the feed-forward part over `width`."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Keys and values of the last positions of a batch of texts.

    Parameters
    ----------
    position : int
        Positions so far, the mark of the start included.
    layers : list of (keys, values)
        Of each layer, float32 (batch, heads, min(position, span), width / heads).
    """

    position: int
    layers: list[tuple[Tensor, Tensor]]


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
        q, k, v = self._projected(x, cosine, sine)
        seen = functional.scaled_dot_product_attention(q, k, v, attn_mask=visible)
        return self._finished(x, seen)

    def step(
        self, x: Tensor, cosine: Tensor, sine: Tensor, kept: tuple[Tensor, Tensor], span: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One more position, x (batch, 1, width), after those whose keys and values were kept, `span` at most."""
        q, k, v = self._projected(x, cosine, sine)
        keys, values = (torch.cat(pair, dim=2)[:, :, -span:] for pair in zip(kept, (k, v), strict=True))
        return self._finished(x, functional.scaled_dot_product_attention(q, keys, values)), (keys, values)

    def _projected(self, x: Tensor, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (batch, heads, length, width / heads)."""
        batch, length, _ = x.shape
        qkv = self.queries_keys_values(self.attention_norm(x)).view(batch, length, 3, self.heads, -1)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return rotate(q, cosine, sine), rotate(k, cosine, sine), v

    def _finished(self, x: Tensor, seen: Tensor) -> Tensor:
        """What attention saw is added, then the feed-forward part."""
        x = x + self.attention_out(seen.transpose(1, 2).reshape(x.shape))
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

    def start(self, batch: int) -> tuple[Tensor, Kept]:
        """Logits (batch, V) of the first token of `batch` texts, and what `step` goes on from."""
        size = self.config.width // self.config.heads
        empty = torch.zeros(batch, self.config.heads, 0, size)
        mark = torch.full((batch,), self.config.vocab_size, dtype=torch.int64)
        return self.step(mark, Kept(position=0, layers=[(empty, empty)] * self.config.layers))

    def step(self, tokens: Tensor, kept: Kept) -> tuple[Tensor, Kept]:
        """Logits (batch, V) behind one more token of each text, int64 (batch,), at the cost of one position."""
        x = self.embed(tokens)[:, None]
        cosine, sine = rotation(kept.position + 1, self.config.width // self.config.heads, x.device)
        layers = []
        for block, before in zip(self.blocks, kept.layers, strict=True):
            assert isinstance(block, Block)
            x, after = block.step(x, cosine[-1:], sine[-1:], before, self.config.span)
            layers.append(after)
        return self.project(x[:, 0]), Kept(position=kept.position + 1, layers=layers)

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
