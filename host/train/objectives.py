# SPDX-License-Identifier: Apache-2.0
"""What is minimised at each position: a number from the target's law p and the drafter's law q.

    alpha = sum_x min(p(x), q(x))           acceptance of one draft (Leviathan et al., arXiv:2211.17192, section 3)
    kl    = sum_x p(x) ln(p(x) / q(x))      forward KL: distillation
    tv    = 1 - alpha                       total variation
    nla   = -ln alpha
    lk    = lambda kl + (1 - lambda) tv     lambda = exp(-3 alpha), held fixed in the gradient

kl has a gradient wherever q is wrong, but also pays for tokens that are accepted anyway; tv counts acceptance alone,
but its gradient vanishes where q has next to no mass. Hence lk, and kl first with tv after it.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from hw.spec.errors import SpecError

LK_RATE = 3.0
"""Rate of lambda = exp(-rate alpha)."""

ALPHA_MIN = 1e-6
"""Floor of alpha in `nla`; laws that touch less than this give no gradient."""


def overlap(p: Tensor, log_q: Tensor) -> Tensor:
    """alpha = sum_x min(p, q) of each row: (..., V) and (..., V) give (...)."""
    return torch.minimum(p, log_q.exp()).sum(dim=-1)


def kl(p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p, q) in nats of each row; p ln p is 0 at p = 0."""
    return (torch.xlogy(p, p) - p * log_q).sum(dim=-1)


def tv(p: Tensor, log_q: Tensor) -> Tensor:
    """1 - alpha of each row."""
    return 1 - overlap(p, log_q)


def nla(p: Tensor, log_q: Tensor) -> Tensor:
    """-ln alpha of each row."""
    return -overlap(p, log_q).clamp_min(ALPHA_MIN).log()


def lk(p: Tensor, log_q: Tensor) -> Tensor:
    """lambda kl + (1 - lambda) tv of each row, each with its own lambda = exp(-3 alpha)."""
    distance = tv(p, log_q)
    share = torch.exp(-LK_RATE * (1 - distance.detach()))
    return share * kl(p, log_q) + (1 - share) * distance


Objective = Callable[[Tensor, Tensor], Tensor]
"""(p, log_q), both (..., V), give (...)."""

PLAIN: dict[str, Objective] = {"kl": kl, "tv": tv, "nla": nla, "lk": lk}
"""Objectives by name."""

SCHEDULES: dict[str, tuple[str, str]] = {"kl-tv": ("kl", "tv"), "kl-nla": ("kl", "nla"), "kl-lk": ("kl", "lk")}
"""Two objectives, one after the other, by name."""

OBJECTIVES = (*PLAIN, *SCHEDULES)
"""Everything that `objective_at` knows."""


def check_objective(name: object) -> str:
    """Return the name, or raise `SpecError` unless it is one of `OBJECTIVES`."""
    if not isinstance(name, str) or name not in OBJECTIVES:
        raise SpecError("objective", name, "one of " + ", ".join(OBJECTIVES))
    return name


def objective_at(name: str, *, progress: float, kl_share: float) -> Objective:
    """What to minimise after a share `progress` in [0, 1) of the steps; schedules begin with a share `kl_share` of KL.

    Raises
    ------
    SpecError
        The name is unknown.
    """
    check_objective(name)
    if name in SCHEDULES:
        first, second = SCHEDULES[name]
        name = first if progress < kl_share else second
    return PLAIN[name]


def log_softmax(logits: Tensor) -> Tensor:
    """ln softmax over the last axis."""
    return torch.log_softmax(logits, dim=-1)
