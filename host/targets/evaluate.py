# SPDX-License-Identifier: Apache-2.0
"""How well a target predicts a text that it was not counted in."""

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError, check_int

from .base import Target, check_tokens

BATCH_DEFAULT = 1024
"""Contexts of one call of the target; one of V = 1024 takes 8 KiB."""


def cross_entropy(*, target: Target, tokens: npt.ArrayLike, batch: int = BATCH_DEFAULT) -> float:
    """Mean of -ln p(token | tokens before it) over a text, in nats per token; its exponential is the perplexity.

    Parameters
    ----------
    target : Target
        With an `order`; the first tokens of the text have shorter contexts.
    tokens : integer array of shape (length,), length >= 1
    batch : int
        Contexts of one call of `logprobs`.

    Returns
    -------
    float
        inf where the target gives a token of the text probability 0.

    Raises
    ------
    SpecError
        The target has no order, or a token or the batch is not legal.
    """
    if target.order is None:
        raise SpecError("target.order", None, "a number of last tokens that decide the distribution")
    text = check_tokens(tokens, target.vocab_size)
    check_int("len(tokens)", len(text), 1, 1 << 40)
    check_int("batch", batch, 1, 1 << 30)
    short = min(target.order, len(text))
    total = -sum(float(target.logprobs(text[None, :i])[0, text[i]]) for i in range(short))
    if short < len(text):
        windows = np.lib.stride_tricks.sliding_window_view(text, target.order + 1)
        for start in range(0, len(windows), batch):
            rows = windows[start : start + batch]
            total -= float(target.logprobs(rows[:, :-1])[np.arange(len(rows)), rows[:, -1]].sum())
    return total / len(text)
