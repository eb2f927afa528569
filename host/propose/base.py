# SPDX-License-Identifier: Apache-2.0
"""What every proposer offers: a psi for each context, and a state that follows what was emitted."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi
from host.targets.base import Contexts


class ProposerState(Protocol):
    """What a proposer remembers of a batch of texts."""

    def reset(self) -> None:
        """Back to the start of every text."""
        ...

    def advance(self, tokens: npt.NDArray[np.int64]) -> None:
        """Every text got one more token; int64 ndarray of shape (batch,)."""
        ...

    def take(self, texts: Sequence[int]) -> "ProposerState":
        """A state of some of the texts, in this order, any of them several times; this one is left as it is."""
        ...


class Proposer(Protocol):
    """Turns contexts into payloads for the TSU."""

    @property
    def vocab_size(self) -> int:
        """V."""
        ...

    @property
    def order(self) -> int | None:
        """Number of last tokens that decide the psi; None where all may, or the state does."""
        ...

    @property
    def horizon(self) -> int | None:
        """Longest chain of drafts that it can propose; None for any."""
        ...

    def start(self, batch: int) -> ProposerState:
        """State of `batch` texts at their start."""
        ...

    def emit(self, state: ProposerState, contexts: Contexts, drafts: int = 1) -> Sequence[Psi]:
        """A psi for the next token of each text.

        Equal contexts may be given the same object: the TSU then draws for all of them from one payload.

        Parameters
        ----------
        state : ProposerState
            Of as many texts as there are contexts; a proposer with an `order` does not look at it.
        contexts : int64 ndarray of shape (batch, length)
            See `host.targets.base`.
        drafts : int
            Drafts that are drawn from each psi; see `craft_psi`.
        """
        ...


class Stateless:
    """State of a proposer that looks at the contexts only."""

    def reset(self) -> None:
        """Nothing is remembered."""

    def advance(self, tokens: npt.NDArray[np.int64]) -> None:
        """Nothing is remembered."""

    def take(self, texts: Sequence[int]) -> "Stateless":
        """Nothing is remembered."""
        return self
