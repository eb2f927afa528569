# SPDX-License-Identifier: Apache-2.0
"""Draw the drafts of one text: psi of a level's contexts from the proposer, drafts from the TSU, and on to the next."""

import time

import numpy as np
import numpy.typing as npt

from host.plan.shape import TreeShape
from host.propose.base import Proposer, ProposerState
from host.psi.schema import Psi
from host.targets.base import Contexts
from host.tsu.base import Tsu

from .tree import DraftTree, GrowingTree, LazyLaw


def draft_tree(
    *,
    proposer: Proposer,
    state: ProposerState,
    context: npt.NDArray[np.int64],
    shape: TreeShape,
    tsu: Tsu,
    mode: str,
) -> DraftTree:
    """Draw the drafts of a shape.

    Parameters
    ----------
    proposer : Proposer
    state : ProposerState
        Of one text, which ends with the context; it is left as it is.
    context : int64 ndarray of shape (length,)
        The text so far.
    shape : TreeShape
        At most `proposer.horizon` levels.
    tsu : Tsu
    mode : str
        Weight mode of the TSU.
    """
    growing, proposer_s, tsu_s = GrowingTree(shape), 0.0, 0.0
    level, contexts = [0], context[None]
    while level:
        begin = time.perf_counter()
        psis = _psis(proposer, state, contexts, [growing.drafts(node) for node in level])
        crafted = time.perf_counter()
        parents, below = [], []
        for row, (node, psi) in enumerate(zip(level, psis, strict=True)):
            draws = tsu.sample(psi, growing.drafts(node))
            for child in growing.add(node, draws, LazyLaw(psi=psi, config=tsu.config, mode=mode)):
                if growing.drafts(child):
                    parents.append(row)
                    below.append(child)
        drawn = time.perf_counter()
        level = below
        if level:
            tokens = np.array([growing.token(node) for node in level], dtype=np.int64)
            contexts = np.concatenate([contexts[parents], tokens[:, None]], axis=1)
            state = state.take(parents)
            state.advance(tokens)
        proposer_s += crafted - begin + time.perf_counter() - drawn
        tsu_s += drawn - crafted
    return growing.finish(proposer_s=proposer_s, tsu_s=tsu_s)


def _psis(proposer: Proposer, state: ProposerState, contexts: Contexts, counts: list[int]) -> list[Psi]:
    """psi of each context, made for so many drafts of it."""
    if len(set(counts)) == 1:
        return list(proposer.emit(state, contexts, counts[0]))
    found: dict[int, Psi] = {}
    for drafts in dict.fromkeys(counts):
        rows = [row for row, count in enumerate(counts) if count == drafts]
        found |= zip(rows, proposer.emit(state.take(rows), contexts[rows], drafts), strict=True)
    return [found[row] for row in range(len(counts))]
