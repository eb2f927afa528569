# SPDX-License-Identifier: Apache-2.0
"""A proposer over a small model of the text: each context's psi is crafted once and kept."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from host.psi.craft import check_craft, craft_psi
from host.psi.schema import Psi
from host.targets.base import Contexts, Target, check_contexts
from hw.spec.errors import SpecError, check_int

from .base import ProposerState, Stateless

CACHE_DEFAULT = 1 << 16
"""Psi that are kept; one of K = 64 takes about 1 KiB."""


class TableProposer:
    """psi of a model's own distribution, by `craft_psi`.

    Parameters
    ----------
    model : Target
        Bigram, n-gram, or any other with an `order`: the context decides the psi.
    k : int
        Most top-K ids of a psi.
    tau : float
        Temperature of the law.
    eps : float or "auto"
        Floor of a tail token; see `craft_psi`.
    cache : int
        Psi that are kept; the one unused for longest goes first.

    Raises
    ------
    SpecError
        An argument is outside its range, or the model has no `order`.
    """

    def __init__(
        self, *, model: Target, k: int, tau: float = 1.0, eps: float | str = "auto", cache: int = CACHE_DEFAULT
    ) -> None:
        if model.order is None:
            raise SpecError("model.order", None, "a number of last tokens that decide the distribution")
        check_craft(vocab_size=model.vocab_size, k=k, tau=tau, eps=eps)
        self.order: int = model.order
        self.vocab_size = model.vocab_size
        self._model = model
        self._craft = (k, tau, eps)
        self._room = check_int("cache", cache, 1, 1 << 30)
        self.horizon = None
        self._kept: OrderedDict[tuple[int, ...], Psi] = OrderedDict()  # by number of drafts and context

    def start(self, batch: int) -> ProposerState:
        """Nothing is remembered."""
        return Stateless()

    def emit(self, state: ProposerState, contexts: Contexts, drafts: int = 1) -> Sequence[Psi]:
        """A psi for each context; the same object for contexts that end alike, while it is kept."""
        contexts = check_contexts(contexts, self.vocab_size)
        ends = contexts[:, max(0, contexts.shape[1] - self.order) :]
        keys = [(drafts, *row) for row in ends.tolist()]
        missing = list(dict.fromkeys(key for key in keys if key not in self._kept))
        found = {key: self._kept[key] for key in keys if key in self._kept}
        if missing:
            rows = np.array(missing, dtype=np.int64)[:, 1:]
            for key, logs in zip(missing, self._model.logprobs(rows), strict=True):
                found[key] = craft_psi(np.exp(logs), *self._craft, drafts)
        for key in dict.fromkeys(keys):
            self._kept[key] = found[key]
            self._kept.move_to_end(key)
        while len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return [found[key] for key in keys]
