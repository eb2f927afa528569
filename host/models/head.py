# SPDX-License-Identifier: Apache-2.0
"""A head on a language model's own states: what it will say next, before its pass over the newest token.

With h and m the model's hidden state and its state behind a middle layer, both of the token before the newest one,
e the embedding of the newest one and g its state behind the model's first layer if it stood alone,

    u = [h, n(m), n(e), n(g)]    z = A u + a    y = z + D (silu(G [n(u), n(z)]) * U [n(u), n(z)])    logits = O y + c,

n RMSNorm without weights, O the rows of the model's own output matrix for the tokens that the head can propose. y
stands for the hidden state behind the newest token; A is its ridge regression on u, D starts at zero. Only the logits
of the best tokens are worked out by O: B S y of low rank says which these are, and stands for the others. That a head
extrapolates hidden states and borrows the output matrix is EAGLE's idea (Li et al., arXiv:2401.15077), that it sees
middle layers that of EAGLE-3 (Li et al., arXiv:2503.01840). A state of a token alone is a row of a table that is
worked out once: it tells the head as much as the first layer behind the whole text does (docs/reference/training.md).
"""

import hashlib
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import HeadConfig
from .llama import LlamaModel
from .product import ByteWeight, product

SHORTLIST = 128
"""Tokens whose logits are exact, at least."""

INPUTS = 4
"""States that u is made of."""

NORM_EPS = 1e-6
"""Added to the mean square of a vector that is normed."""

Product = Callable[[Tensor], Tensor]
"""x W^T of a matrix W: float32 (..., columns) gives float32 (..., rows)."""

TARGET_DIGEST = "target_sha256"
"""Member of a head's model.json that says which language model it belongs to; see `model_digest`."""


def token_table(model: LlamaModel, layers: int) -> Tensor:
    """What a head looks at of the newest token: n(e) and n(g) of each, (vocab_size, 2 width), in the model's dtype.

    Parameters
    ----------
    model : LlamaModel
    layers : int
        First layers of it that g is behind.
    """
    return torch.cat([normed(model.embedding), normed(model.alone_states(layers))], dim=-1)


class Head(nn.Module):
    """The part of a head that is learned.

    Parameters
    ----------
    config : HeadConfig
    """

    token_ids: Tensor
    """Tokens that it can propose, int64 (kept,), increasing."""
    short_in: Tensor
    """S, float32 (rank, width)."""
    short_out: Tensor
    """B, float32 (kept, rank)."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.predict = nn.Linear(INPUTS * width, width)
        self.gate_up = nn.Linear((INPUTS + 1) * width, 2 * config.inner, bias=False)
        self.down = nn.Linear(config.inner, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(config.kept))
        nn.init.zeros_(self.down.weight)
        self.register_buffer("token_ids", torch.arange(config.kept))
        self.register_buffer("short_in", torch.zeros(config.rank, width))
        self.register_buffer("short_out", torch.zeros(config.kept, config.rank))

    def forward(self, u: Tensor) -> Tensor:
        """y of shape (..., width) from u of shape (..., INPUTS width); see `joined`."""
        predict, gate_up, down = (
            partial(product, weight=layer.weight) for layer in (self.predict, self.gate_up, self.down)
        )
        return _state(u, self.predict.bias, predict, gate_up, down)

    def rough(self, y: Tensor) -> Tensor:
        """B S y + c: logits of low rank, float32 (..., kept)."""
        return product(product(y, self.short_in), self.short_out) + self.bias

    def law(
        self, y: Tensor, rough: Tensor, output: Tensor, *, temperature: float, count: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The best tokens and their probabilities among the kept ones.

        Parameters
        ----------
        y : float32 Tensor of shape (n, width)
        rough : float32 Tensor of shape (n, kept)
            `rough` of y; overwritten.
        output : Tensor of shape (kept, width)
            Output weights of the kept tokens.
        temperature : float
            T of softmax(logits / T).
        count : int
            Tokens of the shortlist, in [1, kept].

        Returns
        -------
        best : int64 Tensor of shape (n, count)
            Places among the kept tokens, increasing; `token_ids` has their ids.
        q : float64 Tensor of shape (n, count)
        rest : float64 Tensor of shape (n,)
            Probability of all others together.
        """
        best = rough.topk(count, dim=-1, sorted=False).indices.sort(dim=-1).values
        rows = output.index_select(0, best.flatten()).float().view(*best.shape, -1)
        exact = (rows @ y[:, :, None])[:, :, 0] + self.bias[best]
        most = torch.maximum(rough.amax(dim=-1, keepdim=True), exact.amax(dim=-1, keepdim=True))
        others = rough.scatter_(-1, best, -torch.inf).sub_(most).div_(temperature).exp_()
        rest = others.sum(dim=-1, keepdim=True, dtype=torch.float64)
        masses = (exact - most).double().div_(temperature).exp_()
        total = masses.sum(dim=-1, keepdim=True) + rest
        return best, masses / total, (rest / total)[:, 0]

    def set_shortlist(self, output: Tensor, moments: Tensor) -> None:
        """The shortlist that errs least, in the mean square over tokens and states.

        With E[y y'] = L L', the SVD of O L cut to `rank` gives B S = (O L V) (V' L^-1).

        Parameters
        ----------
        output : float32 Tensor of shape (kept, width)
        moments : float64 Tensor of shape (width, width)
            E[y y'], positive definite.
        """
        lower = torch.linalg.cholesky(moments)
        whole = output.double() @ lower
        _, vectors = torch.linalg.eigh(whole.T @ whole)  # in ascending order
        chosen = vectors[:, -self.config.rank :]
        self.short_out.copy_(whole @ chosen)
        self.short_in.copy_(torch.linalg.solve_triangular(lower.T, chosen, upper=True).T)


class ByteHead:
    """A head for one context at a time, its matrices as bytes: reading them is what a proposal takes its time for.

    Parameters
    ----------
    head : Head
        Not to change afterwards.
    """

    def __init__(self, head: Head) -> None:
        self._head = head
        self._predict, self._gate_up, self._down, self._short_in, self._short_out = (
            ByteWeight(weight)
            for weight in (
                head.predict.weight, head.gate_up.weight, head.down.weight, head.short_in, head.short_out
            )
        )  # fmt: skip

    def state(self, u: Tensor) -> Tensor:
        """`Head.forward`: y, float32 (..., width)."""
        return _state(u, self._head.predict.bias, self._predict, self._gate_up, self._down)

    def rough(self, y: Tensor) -> Tensor:
        """`Head.rough`, float32 (..., kept)."""
        return self._short_out(self._short_in(y)) + self._head.bias


def _state(u: Tensor, bias: Tensor, predict: Product, gate_up: Product, down: Product) -> Tensor:
    """y, by the products with A, with G and U, and with D."""
    z = predict(u) + bias
    gate, up = gate_up(torch.cat([normed(u), normed(z)], dim=-1)).chunk(2, dim=-1)
    return z + down(functional.silu(gate) * up)


def shortlist_size(config: HeadConfig, k: int) -> int:
    """Tokens whose logits are exact where psi carries K: a quarter more, `SHORTLIST` at least, all at most."""
    return min(config.kept, max(SHORTLIST, k + k // 4))


def joined(hidden: Tensor, middle: Tensor, newest: Tensor) -> Tensor:
    """u, float32 (..., INPUTS width), of two states (..., width) and rows of `token_table`, all of any float dtype."""
    return torch.cat([hidden.float(), normed(middle.float()), newest.float()], dim=-1)


def normed(x: Tensor) -> Tensor:
    """x over the root of its mean square, along the last axis."""
    return functional.rms_norm(x, x.shape[-1:], eps=NORM_EPS)


def model_digest(output_weights: Tensor) -> str:
    """SHA-256 of the first 64 rows of an output matrix in bfloat16: which model, whatever format it runs in."""
    rows = output_weights[:64].to(torch.bfloat16).contiguous().view(torch.int16)
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()
