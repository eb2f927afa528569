# SPDX-License-Identifier: Apache-2.0
"""A head on a language model's own states: what it will say next, before its pass over the newest token.

With h and m the model's hidden state and its state behind a middle layer, both of the token before the newest one,
e the embedding of the newest one and g its state behind the model's first few layers,

    u = [h, n(m), n(e), n(g)]    z = A u + a    y = z + D (silu(G [n(u), n(z)]) * U [n(u), n(z)])    logits = O y + c,

n RMSNorm without weights, O the rows of the model's own output matrix for the tokens that the head can propose. y
stands for the hidden state behind the newest token; A is its ridge regression on u, D starts at zero. Only the logits
of the best tokens are worked out by O: B S y of low rank says which these are, and stands for the others. That a head
extrapolates hidden states and borrows the output matrix is EAGLE's idea (Li et al., arXiv:2401.15077), that it sees
middle layers that of EAGLE-3 (Li et al., arXiv:2503.01840); running the first layers of the model itself is early exit
(Elhoushi et al., arXiv:2404.16710).
"""

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import HeadConfig
from .product import Weight, product

SHORTLIST = 128
"""Tokens whose logits are exact, at least."""

INPUTS = 4
"""States that u is made of."""

NORM_EPS = 1e-6
"""Added to the mean square of a vector that is normed."""

TARGET_DIGEST = "target_sha256"
"""Member of a head's model.json that says which language model it belongs to; see `model_digest`."""


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
        z = product(u, self.predict.weight) + self.predict.bias
        gate, up = product(torch.cat([normed(u), normed(z)], dim=-1), self.gate_up.weight).chunk(2, dim=-1)
        return z + product(functional.silu(gate) * up, self.down.weight)

    def laid_out(self, dtype: torch.dtype) -> Callable[[Tensor], Tensor]:
        """`forward` with weights in this number format, laid out for few rows; they are not to change afterwards."""
        predict, gate_up, down = (
            Weight(layer.weight.detach().to(dtype)) for layer in (self.predict, self.gate_up, self.down)
        )
        bias = self.predict.bias.detach()

        def forward(u: Tensor) -> Tensor:
            z = predict(u.to(dtype)).float() + bias
            gate, up = gate_up(torch.cat([normed(u), normed(z)], dim=-1).to(dtype)).float().chunk(2, dim=-1)
            return z + down((functional.silu(gate) * up).to(dtype)).float()

        return forward

    def law(self, y: Tensor, output: Tensor, *, temperature: float, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """The best tokens and their probabilities among the kept ones.

        Parameters
        ----------
        y : float32 Tensor of shape (n, width)
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
        rough = product(product(y, self.short_in), self.short_out) + self.bias
        best = rough.topk(count, dim=-1).indices.sort(dim=-1).values
        exact = (output[best].float() @ y[:, :, None])[:, :, 0] + self.bias[best]
        total = (rough.scatter_(-1, best, exact).double() / temperature).logsumexp(dim=-1, keepdim=True)
        q = (exact.double() / temperature - total).exp()
        return best, q, (1 - q.sum(dim=-1)).clamp_min(0)

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


def shortlist_size(config: HeadConfig, k: int) -> int:
    """Tokens whose logits are exact where psi carries K: a quarter more, `SHORTLIST` at least, all at most."""
    return min(config.kept, max(SHORTLIST, k + k // 4))


def joined(hidden: Tensor, middle: Tensor, embedded: Tensor, early: Tensor) -> Tensor:
    """u: Tensors of shape (..., width), of any float dtype, as one float32 Tensor (..., INPUTS width)."""
    return torch.cat([hidden.float(), *(normed(state.float()) for state in (middle, embedded, early))], dim=-1)


def normed(x: Tensor) -> Tensor:
    """x over the root of its mean square, along the last axis."""
    return functional.rms_norm(x, x.shape[-1:], eps=NORM_EPS)


def model_digest(output_weights: Tensor) -> str:
    """SHA-256 of the first 64 rows of an output matrix in bfloat16: which model, whatever format it runs in."""
    rows = output_weights[:64].to(torch.bfloat16).contiguous().view(torch.int16)
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()
