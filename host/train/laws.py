# SPDX-License-Identifier: Apache-2.0
"""A target's laws behind every prefix of a text, as training wants them."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from host.targets.base import Target
from host.targets.transformer import TransformerTarget
from hw.spec.errors import SpecError


def laws_along(target: Target, texts: Tensor) -> Tensor:
    """p behind every prefix: entry [b, i] belongs to the context texts[b, :i].

    A transformer gives all of them in one pass; another target is asked once for the different ends of `order` tokens.

    Parameters
    ----------
    target : Target
    texts : int64 Tensor of shape (batch, length)

    Returns
    -------
    float32 Tensor of shape (batch, length + 1, vocab_size)

    Raises
    ------
    SpecError
        The target states no `order`.
    """
    if isinstance(target, TransformerTarget):
        return target.laws(texts)
    if target.order is None:
        raise SpecError("order of the target", None, "a number of last tokens that decide the distribution")
    array, order = texts.numpy(), target.order
    batch, length = array.shape
    laws = torch.empty(batch, length + 1, target.vocab_size)
    for i in range(min(order, length + 1)):  # prefixes shorter than the order
        laws[:, i] = _asked(target, array[:, :i])
    if length >= order:
        whole = np.stack([array[:, i - order : i] for i in range(order, length + 1)], axis=1)
        laws[:, order:] = _asked(target, whole.reshape(batch * (length + 1 - order), order)).view(
            batch, -1, target.vocab_size
        )
    return laws


def _asked(target: Target, contexts: npt.NDArray[np.int64]) -> Tensor:
    """p of each context, float32; contexts that are equal are asked for once."""
    if contexts.shape[1] == 0:
        unique, places = contexts[:1], np.zeros(len(contexts), dtype=np.intp)
    else:
        unique, places = np.unique(contexts, axis=0, return_inverse=True)
    return torch.from_numpy(np.exp(target.logprobs(unique))).float()[torch.from_numpy(places.reshape(-1))]
