# SPDX-License-Identifier: Apache-2.0
"""A bigram proposer of low rank: r numbers describe a context, q(. | c) = softmax(U[c] W + b)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from host.models.config import LowRankConfig
from host.models.extra import check_train_extra
from host.psi.batch import craft_batch
from host.psi.craft import check_craft
from host.psi.schema import Psi
from host.targets.base import Contexts, check_contexts
from host.targets.bigram import VOCAB_MAX
from hw.spec.errors import SpecError, check_int

from .base import ProposerState, Stateless


class LowRankProposer:
    """psi of softmax(U[c] W + b) for the last token c; all V + 1 are crafted at once for a number of drafts, and kept.

    Parameters
    ----------
    contexts : float array of shape (V + 1, r)
        U; its last row is the start of a text.
    tokens : float array of shape (r, V)
        W.
    bias : float array of shape (V,)
        b.
    k : int
        Most top-K ids of a psi.
    tau : float
        Temperature of the law.
    eps : float or "auto"
        Floor of a tail token; see `craft_psi`.

    Raises
    ------
    SpecError
        A shape does not fit, a number is not finite, or an argument is outside its range.
    """

    order = 1
    horizon = None

    def __init__(
        self,
        *,
        contexts: npt.ArrayLike,
        tokens: npt.ArrayLike,
        bias: npt.ArrayLike,
        k: int,
        tau: float = 1.0,
        eps: float | str = "auto",
    ) -> None:
        u, w, b = (np.asarray(array, dtype=np.float64) for array in (contexts, tokens, bias))
        if b.ndim != 1:
            raise SpecError("bias.shape", b.shape, "(V,)")
        self.vocab_size = check_int("V = len(bias)", len(b), 1, VOCAB_MAX)
        check_craft(vocab_size=self.vocab_size, k=k, tau=tau, eps=eps)
        if w.ndim != 2 or w.shape[1] != self.vocab_size:
            raise SpecError("tokens.shape", w.shape, f"(r, {self.vocab_size})")
        if u.shape != (self.vocab_size + 1, len(w)):
            raise SpecError("contexts.shape", u.shape, f"({self.vocab_size + 1}, {len(w)})")
        logits = u @ w + b
        if not np.all(np.isfinite(logits)):
            raise SpecError("U W + b", float(logits[~np.isfinite(logits)][0]), "finite numbers")
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.laws: npt.NDArray[np.float64] = weights / weights.sum(axis=1, keepdims=True)
        """q behind every token and, in the last row, at the start: float64 of shape (V + 1, V), before psi."""
        self._craft = (k, tau, eps)
        self._psis = {1: craft_batch(self.laws, *self._craft)}  # by number of drafts

    @classmethod
    def load(cls, folder: Path, *, k: int, tau: float = 1.0, eps: float | str = "auto") -> Self:
        """The proposer that `python -m host.train proposer` left in a folder.

        Raises
        ------
        SpecError
            The folder holds none, torch is not installed, or an argument is outside its range.
        """
        check_train_extra("proposer", str(folder))
        from host.models.store import load_model  # torch: only where it is used

        model, config = load_model(folder)
        if not isinstance(config, LowRankConfig):
            raise SpecError("proposer", str(folder), "the folder of a low-rank bigram")
        arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
        return cls(**arrays, k=k, tau=tau, eps=eps)

    def start(self, batch: int) -> ProposerState:
        """Nothing is remembered."""
        return Stateless()

    def emit(self, state: ProposerState, contexts: Contexts, drafts: int = 1) -> Sequence[Psi]:
        """A psi for each context: the same object wherever the last token is the same."""
        contexts = check_contexts(contexts, self.vocab_size)
        last = contexts[:, -1] if contexts.shape[1] else np.full(len(contexts), self.vocab_size)
        if drafts not in self._psis:
            self._psis[drafts] = craft_batch(self.laws, *self._craft, drafts)
        return [self._psis[drafts][c] for c in last.tolist()]
