# SPDX-License-Identifier: Apache-2.0
"""A target trained here: a small causal transformer (host/models/transformer.py)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from host.models.config import TransformerConfig
from host.models.extra import check_train_extra
from hw.spec.errors import SpecError

from .base import Contexts, LogProbs, check_contexts

if TYPE_CHECKING:
    from torch import Tensor

    from host.models.transformer import Transformer

ROW_ENTRIES = 1 << 22
"""Logits of one pass, about: what bounds its memory."""


class TransformerTarget:
    """p of a trained transformer, a function of the last `order` tokens.

    Logits are computed in float32 and normalised in float64. The same call gives the same bits; a context in a
    batch of another shape may differ by float32 rounding (about 1e-6), since sums are then taken in another order.

    Parameters
    ----------
    model : Transformer
        Its weights are used as they are, without gradients.
    """

    def __init__(self, *, model: Transformer) -> None:
        self.vocab_size: int = model.config.vocab_size
        self.order: int = model.config.window
        self.model = model.eval().requires_grad_(False)
        """The network, without gradients."""

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The target that `python -m host.train target` left in a folder.

        Raises
        ------
        SpecError
            The folder holds no transformer, or torch is not installed.
        """
        check_train_extra("target", str(folder))
        from host.models.store import load_model  # torch: only where it is used
        from host.models.transformer import Transformer

        model, config = load_model(folder)
        if not isinstance(config, TransformerConfig) or not isinstance(model, Transformer):
            raise SpecError("target", str(folder), "the folder of a transformer")
        return cls(model=model)

    def logprobs(self, contexts: Contexts) -> LogProbs:
        """ln p of the next token, float64 of shape (batch, vocab_size); see `Target.logprobs`."""
        contexts = check_contexts(contexts, self.vocab_size)
        ends = contexts[:, max(0, contexts.shape[1] - self.order) :]
        logs = np.empty((len(ends), self.vocab_size))
        for part in self._parts(len(ends), ends.shape[1] + 1):
            logs[part] = self._pass(ends[part])[:, -1]
        return logs

    def logprobs_along(self, texts: Contexts) -> npt.NDArray[np.float64]:
        """ln p behind every prefix of each text, in one pass: entry [b, i] is that of the context texts[b, :i].

        Parameters
        ----------
        texts : int64 ndarray of shape (batch, length)

        Returns
        -------
        float64 ndarray of shape (batch, length + 1, vocab_size)

        Raises
        ------
        SpecError
            The shape or a token is not legal.
        """
        texts = check_contexts(texts, self.vocab_size)
        logs = np.empty((len(texts), texts.shape[1] + 1, self.vocab_size))
        for part in self._parts(len(texts), texts.shape[1] + 1):
            logs[part] = self._pass(texts[part])
        return logs

    def laws(self, texts: Tensor) -> Tensor:
        """p behind every prefix, float32 (batch, length + 1, vocab_size), as training wants it; int64 texts."""
        import torch

        with torch.no_grad():
            return torch.softmax(self.model(texts), dim=-1)

    def _pass(self, texts: Contexts) -> npt.NDArray[np.float64]:
        import torch

        with torch.no_grad():
            logits = self.model(torch.from_numpy(np.ascontiguousarray(texts)))
            logs: npt.NDArray[np.float64] = torch.log_softmax(logits.double(), dim=-1).numpy()
            return logs

    def _parts(self, rows: int, positions: int) -> list[slice]:
        """Slices of `rows` texts, each of about `ROW_ENTRIES` logits."""
        step = max(1, ROW_ENTRIES // (positions * self.vocab_size))
        return [slice(first, min(first + step, rows)) for first in range(0, rows, step)]
