# SPDX-License-Identifier: Apache-2.0
"""Acceptance of proposers that are counted, on the held-out contexts on which trained ones are measured."""

from collections.abc import Iterator

import torch
from torch import Tensor

from host.targets.base import Target
from host.targets.ngram import NGRAM_SMOOTHINGS, NgramTarget
from hw.spec.errors import SpecError

from .data import Tokens, even_pieces
from .goal import Goal, HeldOut, check_vocab_sizes, normalised
from .laws import laws_along

MEASURED_PIECES = 20
"""Held-out pieces, at most."""

MEASURED_LENGTH = 4
"""Length of a held-out piece over that of a piece to learn from; the first quarter is not measured."""

MEASURED_BATCH = 5
"""Pieces of one pass."""

NGRAM = "ngram"
"""Name of a counted proposer: ngram:N, or ngram:N:SMOOTHING."""


def heldout_pieces(tokens: Tokens, *, length: int) -> Iterator[tuple[Tensor, int]]:
    """Batches of held-out pieces, int64 (at most `MEASURED_BATCH`, piece), and the prefixes of each that do not count.

    Parameters
    ----------
    tokens : Tokens
    length : int
        Tokens of a piece to learn from.
    """
    pieces = even_pieces(tokens.heldout, count=MEASURED_PIECES, length=MEASURED_LENGTH * length)
    for part in torch.split(torch.from_numpy(pieces), MEASURED_BATCH):
        yield part, pieces.shape[1] // 4


def counted_proposer(name: str, tokens: Tokens) -> NgramTarget:
    """The n-grams of the training text that `ngram:N` or `ngram:N:SMOOTHING` names.

    Raises
    ------
    SpecError
        The name is not of that form, or N or the smoothing is not legal.
    """
    kind, _, rest = name.partition(":")
    length, _, smoothing = rest.partition(":")
    if kind != NGRAM or not length.isdecimal():
        raise SpecError(
            "proposer", name, f"{NGRAM}:N or {NGRAM}:N:SMOOTHING, smoothing " + " or ".join(NGRAM_SMOOTHINGS)
        )
    return NgramTarget(
        tokens=tokens.train, vocab_size=tokens.vocab_size, n=int(length), smoothing=smoothing or NGRAM_SMOOTHINGS[0]
    )


def measure_counted(*, proposer: Target, target: Target, tokens: Tokens, goal: Goal, length: int) -> dict[str, float]:
    """What `host.train.sequence.SequenceTask.measure` gives for a network, for laws that stand in a table.

    Parameters
    ----------
    proposer : Target
        Its rows are the proposer's distributions.
    target : Target
    tokens : Tokens
    goal : Goal
        How psi are made.
    length : int
        Tokens of a piece that a network would have learned from.

    Raises
    ------
    SpecError
        Vocabularies differ, or a target states no `order`.
    """
    check_vocab_sizes(proposer.vocab_size, target, tokens)
    goal.check_vocab(tokens.vocab_size)
    heldout = HeldOut(goal)
    for pieces, skip in heldout_pieces(tokens, length=length):
        p, q = (laws_along(law, pieces)[:, skip:].flatten(0, 1) for law in (target, proposer))
        heldout.add(p, torch.from_numpy(normalised(q)).log())
    return heldout.figures()
