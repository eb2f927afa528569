# SPDX-License-Identifier: Apache-2.0
"""What is minimised at each position: a number from the target's law p, the model's law q, and the drafts' law f.

    alpha = sum_x min(p(x), f(x))           acceptance of one draft (Leviathan et al., arXiv:2211.17192, section 3);
                                            for n drafts alpha*_n, the most that any rule accepts (`best_acceptance`)
    kl    = sum_x p(x) ln(p(x) / q(x))      forward KL: distillation
    tv    = 1 - alpha                       total variation
    nla   = -ln alpha
    lk    = lambda kl + (1 - lambda) tv     lambda = exp(-3 alpha), held fixed in the gradient

f is what psi carries of q: K ids and a uniform tail (`carried_law`), or q itself where that does not matter. kl has a
gradient wherever q is wrong, but also pays for tokens that are accepted anyway; tv counts acceptance alone, but its
gradient vanishes where f has next to no mass. Hence lk, and kl first with tv after it.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from hw.spec.errors import SpecError

LK_RATE = 3.0
"""Rate of lambda = exp(-rate alpha)."""

ALPHA_MIN = 1e-6
"""Floor of alpha in `nla`; laws that touch less than this give no gradient."""

CELL_SHIFT = 19
"""Bits of a float32 that tell no cells apart: an octave of p / f has 16 of them."""

CELLS = 16 << 4
"""Cells below p / f = n: 16 octaves, the lowest with all that is below them."""


def overlap(p: Tensor, f: Tensor) -> Tensor:
    """alpha = sum_x min(p, f) of each row: (..., V) and (..., V) give (...)."""
    return torch.minimum(p, f).sum(dim=-1)


def kl(p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p, q) in nats of each row; p ln p is 0 at p = 0."""
    return (torch.xlogy(p, p) - p * log_q).sum(dim=-1)


def best_acceptance(p: Tensor, f: Tensor, drafts: int) -> Tensor:
    """alpha*_n of each row: the most that any rule can accept of n independent drafts from f.

        alpha*_n = min over sets H of tokens of 1 + p(H) - f(H)^n          (see `host.verify.multi`)

    The best H has the tokens whose p / f is below some bound, and the bound is sought among `CELLS`, so that the
    result may be a little above the minimum. The gradient takes H as given, which is exact: near the minimum it does
    not change.

    Parameters
    ----------
    p, f : Tensors of shape (..., V)
        f sums to 1; p to 1, or to less where the other tokens can't be drawn.
    drafts : int
        n, at least 1; 1 gives `overlap`.

    Returns
    -------
    Tensor of shape (...)
    """
    if drafts == 1:
        return overlap(p, f)
    cells = ratio_cells(p.detach(), f.detach(), drafts)
    masses = torch.zeros(*p.shape[:-1], CELLS + 1, dtype=p.dtype)
    p_mass, f_mass = (masses.scatter_add(-1, cells, law.detach()).cumsum(dim=-1)[..., :CELLS] for law in (p, f))
    last = (p_mass - f_mass**drafts).argmin(dim=-1, keepdim=True)
    within = cells <= last
    gap = (p * within).sum(dim=-1) - (f * within).sum(dim=-1) ** drafts
    return 1 + gap.clamp_max(0.0)  # H may be empty


def ratio_cells(p: Tensor, f: Tensor, drafts: int) -> Tensor:
    """Cell of each p / f, int64, ascending: 0 to `CELLS` - 1 below n, `CELLS` above, where H never reaches.

    The bits of positive float32 numbers, read as integers, are in the order of the numbers.
    """
    above = torch.tensor(float(drafts)).view(torch.int32) >> CELL_SHIFT
    bits = (p / f.clamp_min(torch.finfo(f.dtype).tiny)).float().view(torch.int32)
    return (bits >> CELL_SHIFT).sub_(above - CELLS).clamp_(0, CELLS).long()


def tv(p: Tensor, f: Tensor, drafts: int = 1) -> Tensor:
    """1 - alpha of each row."""
    return 1 - best_acceptance(p, f, drafts)


def nla(p: Tensor, f: Tensor, drafts: int = 1) -> Tensor:
    """-ln alpha of each row."""
    return -best_acceptance(p, f, drafts).clamp_min(ALPHA_MIN).log()


def lk(p: Tensor, log_q: Tensor, f: Tensor, drafts: int = 1) -> Tensor:
    """lambda kl + (1 - lambda) tv of each row, each with its own lambda = exp(-3 alpha)."""
    distance = tv(p, f, drafts)
    share = torch.exp(-LK_RATE * (1 - distance.detach()))
    return share * kl(p, log_q) + (1 - share) * distance


def carried_law(log_q: Tensor, *, k: int, tau: float, floor: float | None) -> Tensor:
    """F of the psi that `craft_psi` makes of q, but for the rounding of scores: what a draft is drawn from.

    The gradient takes the ids of the K largest entries as given.

    Parameters
    ----------
    log_q : Tensor of shape (..., V)
        ln of distributions.
    k : int
        Ids that psi carries, in [1, V].
    tau : float
        Temperature.
    floor : float or None
        Weight of a tail token; None: the tail keeps its mass ("auto").

    Returns
    -------
    Tensor of shape (..., V)
        Probabilities.
    """
    vocab_size = log_q.shape[-1]
    head, ids = log_q.topk(k, dim=-1)
    spread = vocab_size - k
    if floor is None:
        mass = head.exp().sum(dim=-1, keepdim=True)
        carried = mass * torch.softmax(head / tau, dim=-1)
        each = (1 - mass).clamp_min(0.0) / max(1, spread)
    else:
        log_floor = torch.full_like(head[..., :1], math.log(floor * spread) if floor * spread else -math.inf)
        shares = torch.softmax(torch.cat([head / tau, log_floor], dim=-1), dim=-1)
        carried, each = shares[..., :-1], shares[..., -1:] / max(1, spread)
    return each.expand_as(log_q).scatter(-1, ids, carried)


Objective = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""(p, log_q, f), each (..., V), and n give (...)."""

PLAIN: dict[str, Objective] = {
    "kl": lambda p, log_q, f, drafts: kl(p, log_q),
    "tv": lambda p, log_q, f, drafts: tv(p, f, drafts),
    "nla": lambda p, log_q, f, drafts: nla(p, f, drafts),
    "lk": lk,
}
"""Objectives by name."""

SCHEDULES: dict[str, tuple[str, str]] = {"kl-tv": ("kl", "tv"), "kl-nla": ("kl", "nla"), "kl-lk": ("kl", "lk")}
"""Two objectives, one after the other, by name."""

OBJECTIVES = (*PLAIN, *SCHEDULES)
"""Everything that `name_at` knows."""


def check_objective(name: object) -> str:
    """Return the name, or raise `SpecError` unless it is one of `OBJECTIVES`."""
    if not isinstance(name, str) or name not in OBJECTIVES:
        raise SpecError("objective", name, "one of " + ", ".join(OBJECTIVES))
    return name


def name_at(name: str, *, progress: float, kl_share: float) -> str:
    """The plain objective after a share `progress` in [0, 1) of the steps; schedules begin with `kl_share` of KL.

    Raises
    ------
    SpecError
        The name is unknown.
    """
    check_objective(name)
    if name in SCHEDULES:
        first, second = SCHEDULES[name]
        return first if progress < kl_share else second
    return name


def log_softmax(logits: Tensor) -> Tensor:
    """ln softmax over the last axis."""
    return torch.log_softmax(logits, dim=-1)
