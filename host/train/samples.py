# SPDX-License-Identifier: Apache-2.0
"""Texts that a target writes itself: the contexts that a proposer meets in use."""

import numpy as np
import torch

from host.targets.base import Contexts, Target
from host.targets.transformer import TransformerTarget
from hw.spec.errors import SpecError, check_int

from .data import Tokens


def sample_texts(target: Target, *, batch: int, length: int, rng: np.random.Generator) -> Contexts:
    """Texts drawn from a target token by token, from their start.

    Parameters
    ----------
    target : Target
        Its `order` must be stated.
    batch, length : int
        How many texts, and of how many tokens.
    rng : Generator
        One uniform number per token, turned into a token by inversion of the cumulated law.

    Returns
    -------
    int64 ndarray of shape (batch, length)

    Raises
    ------
    SpecError
        A size is outside its range, or the target states no `order`.
    """
    check_int("batch", batch, 1, 1 << 20)
    check_int("length", length, 1, 1 << 24)
    if isinstance(target, TransformerTarget):
        return _sample_by_steps(target, batch=batch, length=length, rng=rng)
    if target.order is None:
        raise SpecError("order of the target", None, "a number of last tokens that decide the distribution")
    texts = np.empty((batch, length), dtype=np.int64)
    for i in range(length):
        texts[:, i] = _drawn(np.exp(target.logprobs(texts[:, max(0, i - target.order) : i])), rng)
    return texts


def sampled_tokens(target: Target, *, texts: int, length: int, heldout: float, seed: int) -> Tokens:
    """Samples as a text in two parts, to train and to measure on; whole texts go to either part.

    Parameters
    ----------
    target : Target
    texts, length : int
        How many texts, at least 2, and of how many tokens.
    heldout : float
        Share of the texts that is held out, at least one text, and not all.
    seed : int
    """
    check_int("texts", texts, 2, 1 << 20)
    rng = np.random.Generator(np.random.PCG64(check_int("seed", seed, 0, (1 << 64) - 1)))
    drawn = sample_texts(target, batch=texts, length=length, rng=rng)
    cut = min(max(1, round(texts * (1 - heldout))), texts - 1)
    return Tokens(train=drawn[:cut].reshape(-1), heldout=drawn[cut:].reshape(-1), vocab_size=target.vocab_size)


def _sample_by_steps(target: TransformerTarget, *, batch: int, length: int, rng: np.random.Generator) -> Contexts:
    """The same with keys and values kept: a token costs one position instead of a window."""
    texts = np.empty((batch, length), dtype=np.int64)
    with torch.no_grad():
        logits, kept = target.model.start(batch)
        for i in range(length):
            texts[:, i] = _drawn(torch.softmax(logits.double(), dim=-1).numpy(), rng)
            logits, kept = target.model.step(torch.from_numpy(texts[:, i].copy()), kept)
    return texts


def _drawn(p: np.ndarray[tuple[int, ...], np.dtype[np.float64]], rng: np.random.Generator) -> Contexts:
    """A token of each row of p, int64 (batch,); a token of probability 0 is never drawn."""
    cumulated = p.cumsum(axis=1)
    u = rng.random(len(p)) * cumulated[:, -1]
    tokens: Contexts = np.minimum((cumulated <= u[:, None]).sum(axis=1), p.shape[1] - 1)
    return tokens
