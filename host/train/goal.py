# SPDX-License-Identifier: Apache-2.0
"""What a proposer is trained for: an objective, and acceptance of the draws from its quantised psi."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from host.models.config import GruConfig, LowRankConfig
from host.models.store import build
from host.psi.batch import craft_laws, overlaps
from host.psi.craft import check_craft
from host.targets.base import Target
from host.verify.multi import optimal_acceptance
from host.verify.siblings import DRAFTS_MAX
from hw.spec.errors import SpecError, check_int

from .data import Tokens
from .loop import SCORE
from .objectives import PLAIN, carried_law, check_objective, kl, log_softmax, name_at, overlap
from .settings import check_number


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a proposer is trained for.

    Parameters
    ----------
    objective : str
        One of `host.train.objectives.OBJECTIVES`.
    kl_share : float
        In a schedule, the share of the steps that minimise KL, in [0, 1].
    k, tau, eps
        How psi are made of the proposer's distributions; see `craft_psi`.
    whole : bool
        Objectives see the proposer's whole distribution instead of the law that its psi carries.
    drafts : int
        n, in [1, 64]: acceptance is that of n drafts of a position, alpha*_n. psi keep the tail of one draft.

    Raises
    ------
    SpecError
        A field is outside its range.
    """

    objective: str = "kl-tv"
    kl_share: float = 0.6
    k: int = 32
    tau: float = 1.0
    eps: float | str = "auto"
    whole: bool = False
    drafts: int = 1

    def __post_init__(self) -> None:
        check_int("drafts", self.drafts, 1, DRAFTS_MAX)
        check_objective(self.objective)
        check_number("kl_share", self.kl_share, low=0.0, high=1.0)

    def check_vocab(self, vocab_size: int) -> None:
        """Raise `SpecError` unless psi can be made for this many tokens."""
        check_craft(vocab_size=vocab_size, k=self.k, tau=self.tau, eps=self.eps)

    def loss(self, p: Tensor, logits: Tensor, progress: float) -> Tensor:
        """The objective of each row at this point of the training: (..., V) and (..., V) give (...)."""
        name = name_at(self.objective, progress=progress, kl_share=self.kl_share)
        log_q = log_softmax(logits)
        if name == "kl":
            return kl(p, log_q)
        if self.whole:
            return PLAIN[name](p, log_q, log_q.exp(), self.drafts)
        _, tau, floor = check_craft(vocab_size=p.shape[-1], k=self.k, tau=self.tau, eps=self.eps)
        return PLAIN[name](p, log_q, carried_law(log_q, k=self.k, tau=tau, floor=floor), self.drafts)

    def accepted(self, p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Acceptance of the drafts through the quantised psi of each row of q."""
        if self.drafts == 1:
            return overlaps(p, q, self.k, self.tau, self.eps)
        laws = craft_laws(q, self.k, self.tau, self.eps)
        return np.array([optimal_acceptance(row, law, self.drafts) for row, law in zip(p, laws, strict=True)])


class HeldOut:
    """Means over held-out contexts, gathered part by part.

    Parameters
    ----------
    goal : Goal
        How psi are made.
    """

    def __init__(self, goal: Goal) -> None:
        self._goal = goal
        self._accepted: list[npt.NDArray[np.float64]] = []
        self._raw: list[Tensor] = []
        self._divergence: list[Tensor] = []

    def add(self, p: Tensor, log_q: Tensor) -> None:
        """Laws of the target, float32 (n, V), and ln of the proposer's, float64 (n, V)."""
        q = log_q.exp()
        self._accepted.append(self._goal.accepted(normalised(p), q.numpy()))
        self._raw.append(overlap(p, q))
        self._divergence.append(kl(p, log_q))

    def figures(self) -> dict[str, float]:
        """acceptance through psi (the score), the overlap without psi, KL in nats."""
        return figures(
            float(np.concatenate(self._accepted).mean()),
            float(torch.cat(self._raw).mean()),
            float(torch.cat(self._divergence).mean()),
        )


def figures(acceptance: float, raw: float, divergence: float) -> dict[str, float]:
    """The row of a measurement."""
    return {"acceptance": acceptance, "overlap": raw, "kl": divergence, SCORE: acceptance}


def seeded_models(config: GruConfig | LowRankConfig, seed: int, count: int = 1) -> list[nn.Module]:
    """New models whose numbers follow from the seed; torch's own generator stays where it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return [build(config) for _ in range(count)]


def check_vocab_sizes(vocab_size: int, target: Target, tokens: Tokens) -> None:
    """Raise `SpecError` unless model, target and text agree on V."""
    for name, found in (("model", vocab_size), ("target", target.vocab_size)):
        if found != tokens.vocab_size:
            raise SpecError(f"vocab_size of the {name}", found, f"that of the tokens, {tokens.vocab_size}")


def normalised(p: Tensor) -> npt.NDArray[np.float64]:
    """float32 rows as float64 that sum to 1."""
    rows = p.numpy().astype(np.float64)
    normal: npt.NDArray[np.float64] = rows / rows.sum(axis=1, keepdims=True)
    return normal
