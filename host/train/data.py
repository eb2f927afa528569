# SPDX-License-Identifier: Apache-2.0
"""Token arrays: what a file holds, random pieces for training, a grid of pieces for measuring."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.targets.base import Contexts, check_tokens
from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

TOKENS_MIN = 2
"""Fewest tokens of a text."""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """A text in two parts.

    Parameters
    ----------
    train : integer array of shape (length,)
        What models learn from.
    heldout : integer array of shape (length,)
        What they are measured on.
    vocab_size : int
        V; every token is below it.

    Raises
    ------
    SpecError
        A part is no text of at least 2 tokens below `vocab_size`.
    """

    train: npt.NDArray[np.int64]
    heldout: npt.NDArray[np.int64]
    vocab_size: int

    def __post_init__(self) -> None:
        check_int("vocab_size", self.vocab_size, 1, VOCAB_LIMIT)
        for part in ("train", "heldout"):
            text = check_tokens(getattr(self, part), self.vocab_size)
            check_int(f"len({part})", len(text), TOKENS_MIN, 1 << 40)
            object.__setattr__(self, part, text)


def load_tokens(path: Path) -> Tokens:
    """Tokens of an .npz file that holds `train`, `heldout` and `vocab_size`.

    Raises
    ------
    SpecError
        The file cannot be read as that.
    """
    legal = "an .npz file of train, heldout (token ids) and vocab_size"
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ("train", "heldout", "vocab_size") if name not in file]
            if missing:
                raise SpecError("tokens", str(path), f"{legal}; {', '.join(missing)} is missing")
            train, heldout, vocab_size = file["train"], file["heldout"], file["vocab_size"]
    except SpecError:
        raise
    except (OSError, ValueError, TypeError) as error:
        raise SpecError("tokens", str(path), f"{legal}: {error}") from None
    if vocab_size.shape != ():
        raise SpecError("vocab_size", vocab_size.tolist(), "one integer")
    return Tokens(train=train, heldout=heldout, vocab_size=vocab_size.item())


def random_pieces(text: npt.NDArray[np.int64], *, batch: int, length: int, seed: int, step: int) -> Contexts:
    """Pieces at random places, int64 (batch, min(length, len(text))): decided by seed and step alone.

    Nothing else is remembered, so a run that goes on at a step sees what it would have seen.
    """
    length = min(length, len(text))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, step])))
    starts = rng.integers(0, len(text) - length + 1, size=batch)
    pieces: Contexts = text[starts[:, None] + np.arange(length)]
    return pieces


def even_pieces(text: npt.NDArray[np.int64], *, count: int, length: int) -> Contexts:
    """At most `count` pieces that do not overlap, evenly spread, int64 (pieces, min(length, len(text)))."""
    length = min(length, len(text))
    count = min(count, len(text) // length)
    starts = np.arange(count) * (len(text) // count)
    pieces: Contexts = text[starts[:, None] + np.arange(length)]
    return pieces
