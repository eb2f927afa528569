# SPDX-License-Identifier: Apache-2.0
"""Plain sampling of one text, a pass of the target for every token: what speculative decoding is compared with."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from host.targets.base import Target
from host.targets.block import block_rows
from host.verify.draw import draw_token

from .texts import Texts


def plain_text(*, target: Target, begin: npt.NDArray[np.int64], tokens: int, rng: np.random.Generator) -> Iterator[int]:
    """The next `tokens` tokens behind `begin`, int64 ndarray of shape (length,), one after the other.

    Raises
    ------
    SpecError
        A token of `begin` is not legal.
    """
    text = Texts(begin=begin[None], vocab_size=target.vocab_size, order=target.order)
    no_drafts, no_parents = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.intp)
    for _ in range(tokens):
        token = draw_token(block_rows(target, text.contexts[0], no_drafts, no_parents).p(0), rng.random())
        text.append(np.array([token], dtype=np.int64))
        yield token
