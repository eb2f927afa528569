# SPDX-License-Identifier: Apache-2.0
"""The target as its own proposer: the acceptance that psi's K ids and 8-bit scores allow, and no proposer exceeds."""

from collections.abc import Sequence

import numpy as np

from host.psi.batch import craft_batch
from host.psi.craft import check_craft
from host.psi.schema import Psi
from host.targets.base import Contexts, Target

from .base import ProposerState, Stateless


class OwnProposer:
    """psi of the target's own distribution at each context, by `craft_batch`.

    It saves no pass of the target. It is there to check the path through the TSU, and as a bound.

    Parameters
    ----------
    target : Target
        One that remembers its last answer is asked once a position.
    k : int
        Most top-K ids of a psi.
    tau : float
        Temperature of the law.
    eps : float or "auto"
        Floor of a tail token; see `craft_psi`.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """

    def __init__(self, *, target: Target, k: int, tau: float = 1.0, eps: float | str = "auto") -> None:
        check_craft(vocab_size=target.vocab_size, k=k, tau=tau, eps=eps)
        self.vocab_size = target.vocab_size
        self.order = target.order
        self.horizon = None
        self._target = target
        self._craft = (k, tau, eps)

    def start(self, batch: int) -> ProposerState:
        """Nothing is remembered."""
        return Stateless()

    def emit(self, state: ProposerState, contexts: Contexts, drafts: int = 1) -> Sequence[Psi]:
        """A psi for each context."""
        return craft_batch(np.exp(self._target.logprobs(contexts)), *self._craft, drafts)
