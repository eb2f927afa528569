# SPDX-License-Identifier: Apache-2.0
"""A lean forward pass of a Llama model over a static KV cache, for one text or several of equal length.

    h <- x + O attend(rope(Q n(x)), rope(K n(x)), V n(x))      x <- h + D (silu(G n(h)) * U n(h))

with n RMSNorm (Zhang and Sennrich, 2019), rope the rotary embedding (Su et al., 2021), groups of query heads that
share keys and values (Ainslie et al., 2023) and a gated layer (Shazeer, 2020); parameters as in Touvron et al., 2023.
The cache is one buffer of fixed size. Rolling back is free: a pass that starts at an earlier position overwrites what
was there, and positions behind it are never looked at. A tree of drafts is one pass in which each token sees its own
ancestors (Miao et al., SpecInfer, arXiv:2305.09781); the keys and values of those that stay are then moved together.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from torch import Tensor

from hw.spec.errors import SpecError, check_int

from .errors import ModelError
from .llama_config import LlamaConfig
from .product import Weight
from .token_tree import Standing, as_tree, in_line

DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Number formats of weights and cache, by name."""

ALONE_TOKENS = 4096
"""Tokens whose states alone are worked out together."""


@dataclass(frozen=True)
class _Layer:
    """Weights of one layer: Q, K and V in one matrix, G and U in one matrix."""

    qkv: Weight
    out: Weight
    gate_up: Weight
    down: Weight
    before_attention: Tensor
    before_mlp: Tensor


class LlamaModel:
    """Weights, and a KV cache for `positions` tokens of each text.

    Parameters
    ----------
    config : LlamaConfig
    weights : mapping of str to Tensor
        By their names in a Hugging Face checkpoint.
    positions : int
        Tokens that the cache holds, at most `config.positions`.
    dtype : str
        One of `DTYPES`.
    texts : int
        Texts that run side by side.

    Raises
    ------
    SpecError
        `positions`, `dtype` or `texts` is not legal.
    ModelError
        A weight is missing or has the wrong shape.
    """

    def __init__(
        self,
        *,
        config: LlamaConfig,
        weights: Mapping[str, Tensor],
        positions: int,
        dtype: str = "float32",
        texts: int = 1,
    ) -> None:
        if dtype not in DTYPES:
            raise SpecError("dtype", dtype, "one of " + ", ".join(DTYPES))
        self.config = config
        self.positions = check_int("positions", positions, 1, config.positions)
        self.texts = check_int("texts", texts, 1, 1 << 16)
        self.dtype = DTYPES[dtype]
        take = _Weights(weights, self.dtype)
        c = config
        query, shared = c.heads * c.head_dim, c.kv_heads * c.head_dim
        self.embedding = take("model.embed_tokens.weight", c.vocab_size, c.width)
        self.output_weights = self.embedding if c.tied else take("lm_head.weight", c.vocab_size, c.width)
        self._output = Weight(self.output_weights)
        self._norm = take("model.norm.weight", c.width)
        self._layers = []
        for number in range(c.layers):
            layer = f"model.layers.{number}"
            rows = (("q", query), ("k", shared), ("v", shared))
            qkv = [take(f"{layer}.self_attn.{name}_proj.weight", size, c.width) for name, size in rows]
            gate_up = [take(f"{layer}.mlp.{name}_proj.weight", c.inner, c.width) for name in ("gate", "up")]
            self._layers.append(
                _Layer(
                    qkv=Weight(torch.cat(qkv)),
                    out=Weight(take(f"{layer}.self_attn.o_proj.weight", c.width, query)),
                    gate_up=Weight(torch.cat(gate_up)),
                    down=Weight(take(f"{layer}.mlp.down_proj.weight", c.width, c.inner)),
                    before_attention=take(f"{layer}.input_layernorm.weight", c.width),
                    before_mlp=take(f"{layer}.post_attention_layernorm.weight", c.width),
                )
            )
        self._keys, self._values = (
            torch.zeros(c.layers, texts, c.kv_heads, positions, c.head_dim, dtype=self.dtype) for _ in range(2)
        )
        self._cos, self._sin = rope_table(config, positions, self.dtype)

    @torch.inference_mode()
    def forward(self, tokens: Tensor, start: int, *, last: int | None = None) -> tuple[Tensor, Tensor]:
        """Run new tokens behind the `start` tokens of each text that earlier passes put into the cache.

        Parameters
        ----------
        tokens : int64 Tensor of shape (texts, n), n >= 1
            Ids below V; they are not checked.
        start : int
            Position of the first of them, in [0, positions - n].
        last : int or None
            Positions at the end for which logits are wanted; None: all n.

        Returns
        -------
        logits : float32 Tensor of shape (texts, last, vocab_size)
            Of the token after each of these positions.
        hidden : Tensor of shape (texts, n, width), of the model's dtype
            What the output weights are multiplied by, behind the last norm.

        Raises
        ------
        SpecError
            The tokens do not fit the cache.
        """
        count = tokens.shape[1]
        last = count if last is None else check_int("last", last, 0, count)
        hidden, _ = self.states(tokens, start)
        return self.logits(hidden[:, count - last :]).float(), hidden

    @torch.inference_mode()
    def states(
        self, tokens: Tensor, start: int, *, behind: Sequence[int] = (), parents: Sequence[int] | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `forward`, without logits: the hidden states, and the states on the way to them.

        Parameters
        ----------
        tokens, start
            See `forward`.
        behind : sequence of int
            Numbers of layers, each in [0, layers].
        parents : sequence of n ints, or None
            The new tokens are a tree: place of the one that each is behind, -1 for the last of the earlier tokens (see
            `host.models.token_tree`). `keep` then says which of them stay. None: they stand one behind the other.

        Returns
        -------
        hidden : Tensor of shape (texts, n, width), of the model's dtype
        on_the_way : tuple of Tensors like it
            Behind so many layers, before the last norm.
        """
        x, done, found = self._embedded(tokens, start, max(behind, default=0)), 0, {}
        count = tokens.shape[1]
        stand = in_line(count, start, self.dtype) if parents is None else as_tree(parents, start, self.dtype)
        stand = stand.repeated(self.config.heads // self.config.kv_heads)
        for end in sorted({*behind, self.config.layers}):
            x = self._layers_from(done, end, x, start, stand)
            done, found[end] = end, x
        return self._normed(x, self._norm), tuple(found[number] for number in behind)

    @torch.inference_mode()
    def alone_states(self, layers: int) -> Tensor:
        """State of each token behind the first layers if it stood alone, (vocab_size, width); the cache is not used.

        A token that sees itself only attends to itself with weight 1, whatever its keys.

        Raises
        ------
        SpecError
            The model does not have so many layers.
        """
        c = self.config
        check_int("layers", layers, 0, c.layers)
        states = []
        for x in torch.split(self.embedding, ALONE_TOKENS):
            for layer in self._layers[:layers]:
                values = layer.qkv(self._normed(x, layer.before_attention))[:, (c.heads + c.kv_heads) * c.head_dim :]
                shared = values.view(len(x), c.kv_heads, 1, c.head_dim).expand(-1, -1, c.heads // c.kv_heads, -1)
                x = self._gated(layer, x + layer.out(shared.reshape(len(x), -1)))
            states.append(x)
        return torch.cat(states)

    @torch.inference_mode()
    def keep(self, start: int, slots: Sequence[int]) -> None:
        """Keys and values in the cache at `slots`, increasing and at least `start`, go to `start`, `start` + 1, ..."""
        move_slots((self._keys, self._values), start, slots, dim=3)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> Tensor:
        """Output weights times hidden states (..., width): logits (..., vocab_size), of the model's dtype."""
        return self._output(hidden)

    def _embedded(self, tokens: Tensor, start: int, layers: int) -> Tensor:
        """Rows of the embedding, the arguments of a pass checked."""
        texts, count = tokens.shape
        check_int("texts", texts, self.texts, self.texts)
        check_int("new tokens", count, 1, self.positions)
        check_int("start", start, 0, self.positions - count)
        check_int("layers", layers, 0, self.config.layers)
        return F.embedding(tokens, self.embedding)

    def _layers_from(self, first: int, end: int, x: Tensor, start: int, stand: Standing) -> Tensor:
        """Layers first, ..., end - 1 over states x of the cache's slots from `start` on."""
        places = slice(start, start + x.shape[1]) if stand.positions is None else stand.positions
        cos, sin = self._cos[places], self._sin[places]
        for number in range(first, end):
            layer = self._layers[number]
            x = x + self._attend(number, self._normed(x, layer.before_attention), start, cos, sin, stand.mask)
            x = self._gated(layer, x)
        return x

    def _gated(self, layer: _Layer, x: Tensor) -> Tensor:
        """What the second half of a layer makes of x (..., width)."""
        gate, up = layer.gate_up(self._normed(x, layer.before_mlp)).chunk(2, dim=-1)
        return x + layer.down(F.silu(gate).mul_(up))

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (self.config.width,), weight, self.config.norm_eps)

    def _attend(self, number: int, x: Tensor, start: int, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
        """Attention of one layer; x of shape (texts, n, width). Keys and values of the n positions go to the cache.

        Query heads that share keys stand one below the other, n rows of each, as if they were more tokens: a third of
        the time of head by head, for one token of SmolLM2.
        """
        c, layer = self.config, self._layers[number]
        texts, count, _ = x.shape
        heads = layer.qkv(x).view(texts, count, c.heads + 2 * c.kv_heads, c.head_dim).transpose(1, 2)
        turned = rotate(heads[:, : c.heads + c.kv_heads], cos, sin)
        keys, values = self._keys[number], self._values[number]
        end = start + count
        keys[:, :, start:end] = turned[:, c.heads :]
        values[:, :, start:end] = heads[:, c.heads + c.kv_heads :]
        queries = turned[:, : c.heads].reshape(texts, c.kv_heads, -1, c.head_dim)
        mixed = F.scaled_dot_product_attention(queries, keys[:, :, :end], values[:, :, :end], attn_mask=mask)
        return layer.out(mixed.reshape(texts, c.heads, count, c.head_dim).transpose(1, 2).reshape(texts, count, -1))


class _Weights:
    """Takes weights by name, checked and in one number format."""

    def __init__(self, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self._weights, self._dtype = weights, dtype

    def __call__(self, name: str, *shape: int) -> Tensor:
        if name not in self._weights:
            raise ModelError(f"weight {name} is missing from the checkpoint")
        weight = self._weights[name]
        if tuple(weight.shape) != shape:
            raise ModelError(f"weight {name} has shape {tuple(weight.shape)}: config.json gives {shape}")
        return weight.detach().to(self._dtype).contiguous()


def move_slots(states: Iterable[Tensor], start: int, slots: Sequence[int], *, dim: int) -> None:
    """Entries of each tensor at `slots` along one dimension go to `start`, `start` + 1, ...

    The slots increase and are at least `start`, so none that is still to be read is overwritten.
    """
    for place, slot in enumerate(slots, start):
        if slot != place:
            for state in states:
                state.select(dim, place).copy_(state.select(dim, slot))


def rope_table(config: LlamaConfig, positions: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines of t theta^(-2 i / head_dim) for position t and pair i, each (positions, head_dim).

    Each row holds the head_dim / 2 pairs twice, with the sines of the first half negated: see `rotate`.
    """
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    frequencies = 1.0 / config.rope_theta**exponents
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([cos, cos], dim=-1).to(dtype), torch.cat([-sin, sin], dim=-1).to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn entry pairs (i, i + head_dim / 2) by the position's angles; x of shape (..., n, head_dim)."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)
