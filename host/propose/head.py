# SPDX-License-Identifier: Apache-2.0
"""A proposer that reads the target's mind: a head (host/models/head.py) on the hidden states of the last pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from host.models.config import DESCRIPTION, HeadConfig
from host.models.extra import check_train_extra
from host.psi.batch import craft_among
from host.psi.craft import check_craft
from host.psi.schema import Psi
from host.targets.base import Contexts, Target, check_contexts
from hw.spec.errors import SpecError

from .base import ProposerState, Stateless

if TYPE_CHECKING:
    from torch import Tensor

    from host.models.head import Head
    from host.targets.llama import LlamaTarget


class HeadProposer:
    """psi of the head's distribution at the target's temperature, over the tokens that the head knows.

    It needs the hidden and the middle state of the token before the newest one. Behind a step of
    `host.decode.one_text` the target's last pass has left them there; at the start of a text the target runs the
    prompt. What it looks at of the newest token stands in tables.

    Parameters
    ----------
    model : Head
    target : LlamaTarget
        The language model that the head was trained on.
    k : int
        Most top-K ids of a psi.
    tau : float
        Temperature of the law.
    eps : float or "auto"
        Floor of a tail token; see `craft_psi`.

    Raises
    ------
    SpecError
        An argument is outside its range, or the target has other sizes than the head's.
    """

    order = None
    horizon: int | None = 1
    """A second token would need a pass over the first."""

    def __init__(
        self,
        *,
        model: Head,
        target: LlamaTarget,
        k: int,
        tau: float = 1.0,
        eps: float | str = "auto",
    ) -> None:
        from host.models.head import ByteHead, shortlist_size  # torch: only where it is used

        config = model.config
        check_fits(config, target)
        check_craft(vocab_size=config.kept, k=k, tau=tau, eps=eps)
        self.vocab_size = config.vocab_size
        self._target = target
        self._model = model.eval()
        self._fast = ByteHead(model)
        target.remember(config.middle)
        self._newest = target.token_table(config.alone)
        self._tokens: npt.NDArray[np.int64] = model.token_ids.numpy()
        self._output = target.output_weights[model.token_ids]
        self._count = shortlist_size(config, k)
        self._craft = (k, tau, eps)

    @classmethod
    def load(cls, folder: Path, *, target: Target, k: int, tau: float = 1.0, eps: float | str = "auto") -> Self:
        """The proposer that `python -m host.train head` left in a folder.

        Raises
        ------
        SpecError
            The folder holds no head or one of another language model, torch is not installed, or an argument is
            outside its range.
        """
        check_train_extra("proposer", str(folder))
        from host.models.head import TARGET_DIGEST, Head, model_digest  # torch: only where it is used
        from host.models.store import load_model, read_json
        from host.targets.llama import LlamaTarget

        model, config = load_model(folder)
        if not isinstance(config, HeadConfig) or not isinstance(model, Head):
            raise SpecError("proposer", str(folder), "the folder of a head")
        if not isinstance(target, LlamaTarget):
            raise SpecError(
                "target", type(target).__name__, "a Llama through the lean pass, for the proposer of a head"
            )
        proposer = cls(model=model, target=target, k=k, tau=tau, eps=eps)
        if read_json(folder / DESCRIPTION).get(TARGET_DIGEST) != model_digest(target.output_weights):
            raise SpecError("proposer", str(folder), "a head that was trained on the target's own states")
        return proposer

    def start(self, batch: int) -> ProposerState:
        """Nothing is remembered: the target does."""
        return Stateless()

    def emit(self, state: ProposerState, contexts: Contexts, drafts: int = 1) -> Sequence[Psi]:
        """A psi for each context of at least one token, the same for any number of drafts.

        What is left of the head's law is spread over so many tokens that a tail made for more drafts would only take
        drafts away from the ids: with 8 of them acceptance falls (docs/reference/lm.md).
        """
        contexts = check_contexts(contexts, self.vocab_size)
        return [self._psi(context) for context in contexts]

    def _psi(self, context: npt.NDArray[np.int64]) -> Psi:
        import torch

        with torch.inference_mode():
            y = self._fast.state(self.states(context)[None])
            best, q, rest = self._model.law(
                y, self._fast.rough(y), self._output, temperature=self._target.temperature, count=self._count
            )
        (psi,) = craft_among(q.numpy(), self._tokens[best[0].numpy()], self.vocab_size, *self._craft, rest=rest.numpy())
        return psi

    def states(self, context: npt.NDArray[np.int64]) -> Tensor:
        """What the head looks at behind a context, float32 of shape (INPUTS width,); see `host.models.head.joined`."""
        from host.models.head import joined

        target = self._target
        newest = self._newest[int(context[-1])]
        if len(context) == 1:
            nothing = newest.new_zeros(target.width)
            return joined(nothing, nothing, newest)
        hidden, middle = target.states(context[:-1], behind=(self._model.config.middle,))
        return joined(hidden[-1], middle[-1], newest)


def check_fits(config: HeadConfig, target: LlamaTarget) -> None:
    """Raise `SpecError` unless the head's sizes are the target's."""
    sizes = (("vocab_size", config.vocab_size, target.vocab_size), ("width", config.width, target.width))
    for name, found, wanted in sizes:
        if found != wanted:
            raise SpecError(f"{name} of the head", found, f"{wanted}, the target's")
    for name, layers in (("alone", config.alone), ("middle", config.middle)):
        if layers > target.layers:
            raise SpecError(f"{name} layers of the head", layers, f"at most the target's {target.layers}")
