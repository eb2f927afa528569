# SPDX-License-Identifier: Apache-2.0
"""What a chain of L drafts gives on contexts of a text, verified token by token and as a block: means over chains.

Of a chain x_1 ... x_L that was drawn, at least i drafts are accepted with probability

    token by token   prod_(j <= i) min(1, p_j(x_j) / q_j(x_j))
    as a block       w_i,  w_0 = 1,  w_i = min(1, w_(i-1) p_i(x_i) / q_i(x_i))

(Sun et al., Block Verification, ICLR 2025, arXiv:2403.10444: the block's is theorem 1's coupling, drafts given). So the
decisions need not be drawn, and both means come from the same chains: their difference is far more certain than either.
Block efficiency is 1 + the mean of the accepted drafts.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from host.psi.batch import craft_laws
from host.targets.base import Contexts, Target, check_contexts
from hw.spec.errors import SpecError, check_int

from .checks import NODES_MAX

CONFIDENCE = 0.95
"""Of the interval of a gain."""

PART = 256
"""Chains that are drawn at a time."""


@dataclass(frozen=True, kw_only=True)
class ChainGain:
    """Block efficiency of both ways.

    Parameters
    ----------
    token, block : float
        Tokens of a target call, token by token and as a block.
    low, high : float
        Interval of block / token - 1, by the delta method over chains.
    chains : int
    """

    token: float
    block: float
    low: float
    high: float
    chains: int

    @property
    def gain(self) -> float:
        """block / token - 1."""
        return self.block / self.token - 1


def chain_gain(
    *,
    target: Target,
    proposer: Target,
    contexts: Contexts,
    length: int,
    k: int,
    tau: float = 1.0,
    rng: np.random.Generator,
    progress: Callable[[int], object] | None = None,
) -> ChainGain:
    """Draw a chain behind each context, and what comes of it.

    Parameters
    ----------
    target, proposer : Target
        p, and the law that psi is made of; both look at so many last tokens as the contexts have, or at fewer.
    contexts : int64 ndarray of shape (n, tokens), n >= 2
    length : int
        L, in [1, 256].
    k, tau
        Of psi; see `craft_psi`.
    rng : Generator
        Of the drafts.
    progress : callable or None
        Called with the number of chains that were drawn.

    Raises
    ------
    SpecError
        Vocabularies differ, or an argument is outside its range.
    """
    if proposer.vocab_size != target.vocab_size:
        raise SpecError("vocab_size of the proposer", proposer.vocab_size, f"{target.vocab_size}, the target's")
    check_int("L", length, 1, NODES_MAX)
    contexts = check_contexts(contexts, target.vocab_size)
    check_int("contexts", len(contexts), 2, 1 << 30)
    token, block = np.empty(len(contexts)), np.empty(len(contexts))
    for start in range(0, len(contexts), PART):
        part = slice(start, start + PART)
        token[part], block[part] = _accepted(target, proposer, contexts[part], length, k, tau, rng)
        if progress is not None:
            progress(min(start + PART, len(contexts)))
    t, b = 1 + float(token.mean()), 1 + float(block.mean())
    deviation = float(np.std((1 + block) / t - (1 + token) * b / t**2, ddof=1)) / math.sqrt(len(contexts))
    half = float(special.ndtri((1 + CONFIDENCE) / 2)) * deviation
    return ChainGain(token=t, block=b, low=b / t - 1 - half, high=b / t - 1 + half, chains=len(contexts))


def _accepted(
    target: Target, proposer: Target, contexts: Contexts, length: int, k: int, tau: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Expected accepted drafts of a chain behind each context, token by token and as a block."""
    count = np.arange(len(contexts))
    passed, weight = np.ones(len(contexts)), np.ones(len(contexts))
    token, block = np.zeros(len(contexts)), np.zeros(len(contexts))
    for _ in range(length):
        p = np.exp(target.logprobs(contexts))
        q = craft_laws(np.exp(proposer.logprobs(contexts)), k, tau)
        cumulated = np.cumsum(q, axis=1)
        drafts = (cumulated <= rng.random(len(contexts))[:, None] * cumulated[:, -1:]).sum(axis=1)
        ratio = p[count, drafts] / q[count, drafts]
        passed *= np.minimum(1.0, ratio)
        weight = np.minimum(1.0, weight * ratio)
        token += passed
        block += weight
        contexts = np.concatenate([contexts[:, 1:], drafts[:, None]], axis=1)
    return token, block
