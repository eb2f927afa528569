# SPDX-License-Identifier: Apache-2.0
"""A proposer with a memory: a recurrent network (host/models/gru.py) whose state follows each text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from host.models.config import GruConfig
from host.models.extra import check_train_extra
from host.psi.batch import craft_batch
from host.psi.craft import check_craft
from host.psi.schema import Psi
from host.targets.base import Contexts, check_contexts, check_tokens
from hw.spec.errors import SpecError, check_int

from .base import ProposerState

if TYPE_CHECKING:
    from torch import Tensor

    from host.models.gru import Gru


class GruState:
    """What the network remembers of `batch` texts.

    Parameters
    ----------
    model : Gru
    batch : int
    """

    def __init__(self, *, model: Gru, batch: int) -> None:
        self._model = model
        self.batch = check_int("batch", batch, 1, 1 << 20)
        self.reset()

    def reset(self) -> None:
        """Back to the start of every text."""
        import torch

        self.length = 0
        with torch.no_grad():
            self.hidden: Tensor = self._model.start(self.batch)

    def advance(self, tokens: npt.NDArray[np.int64]) -> None:
        """Every text got one more token; int64 ndarray of shape (batch,).

        Raises
        ------
        SpecError
            The number of tokens is not `batch`, or a token is not legal.
        """
        import torch

        text = check_tokens(tokens, self._model.config.vocab_size)
        if len(text) != self.batch:
            raise SpecError("len(tokens)", len(text), f"batch = {self.batch}")
        with torch.no_grad():
            self.hidden = self._model.advance(self.hidden, torch.from_numpy(np.array(text)))
        self.length += 1

    def take(self, texts: Sequence[int]) -> GruState:
        """A state that goes on from here by itself: drafts that are rejected leave this one as it was."""
        other = GruState(model=self._model, batch=len(texts))
        other.hidden, other.length = self.hidden[list(texts)], self.length
        return other


class GruProposer:
    """psi of the network's own distribution, cut to K by `craft_batch`.

    Parameters
    ----------
    model : Gru
        Its weights are used as they are, without gradients.
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

    order = None
    horizon = None

    def __init__(self, *, model: Gru, k: int, tau: float = 1.0, eps: float | str = "auto") -> None:
        self.vocab_size: int = model.config.vocab_size
        check_craft(vocab_size=self.vocab_size, k=k, tau=tau, eps=eps)
        self._model = model.eval().requires_grad_(False)
        self._craft = (k, tau, eps)

    @classmethod
    def load(cls, folder: Path, *, k: int, tau: float = 1.0, eps: float | str = "auto") -> Self:
        """The proposer that `python -m host.train proposer` left in a folder.

        Raises
        ------
        SpecError
            The folder holds no GRU, torch is not installed, or an argument is outside its range.
        """
        check_train_extra("proposer", str(folder))
        from host.models.gru import Gru  # torch: only where it is used
        from host.models.store import load_model

        model, config = load_model(folder)
        if not isinstance(config, GruConfig) or not isinstance(model, Gru):
            raise SpecError("proposer", str(folder), "the folder of a GRU")
        return cls(model=model, k=k, tau=tau, eps=eps)

    def start(self, batch: int) -> GruState:
        """State of `batch` texts at their start."""
        return GruState(model=self._model, batch=batch)

    def emit(self, state: ProposerState, contexts: Contexts, drafts: int = 1) -> Sequence[Psi]:
        """A psi for each text, from the state alone.

        Raises
        ------
        SpecError
            The state is no `GruState`, or has seen another number of texts or tokens than `contexts` shows.
        """
        import torch

        if not isinstance(state, GruState):
            raise SpecError("state", type(state).__name__, "the state of a GruProposer")
        contexts = check_contexts(contexts, self.vocab_size)
        if contexts.shape != (state.batch, state.length):
            raise SpecError("contexts.shape", contexts.shape, f"what the state saw, {(state.batch, state.length)}")
        with torch.no_grad():
            q = torch.softmax(self._model.project(state.hidden).double(), dim=-1).numpy()
        return craft_batch(q, *self._craft, drafts)
