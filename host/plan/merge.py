# SPDX-License-Identifier: Apache-2.0
"""Nodes of a token tree that a target pass has to compute: the same token behind the same text is computed once.

Drafts are independent draws, so siblings may be the same token, and their children then follow the same text. Each
draft stays a draft of its own for the verifier; only the pass of the target is shorter.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.verify.single import check_target
from hw.spec.errors import check_int

from .acceptance import psi_and_law
from .shape import TreeShape

ROUNDS_MAX = 1 << 20
"""Most trees that are drawn."""


@dataclass(frozen=True, kw_only=True)
class DistinctNodes:
    """Nodes with different paths, of the drafts of a tree: mean over drawn trees, and its standard error."""

    mean: float
    standard_error: float


def distinct_nodes(
    shape: TreeShape,
    *,
    target: npt.NDArray[np.float64],
    k: int,
    rounds: int,
    rng: np.random.Generator,
    drafts: int | None = None,
) -> DistinctNodes:
    """Draw whole trees where every context has the target p, and count the paths that differ.

    Parameters
    ----------
    shape : TreeShape
    target : float64 ndarray of shape (V,)
        p, sums to 1.
    k : int
        Most top-K ids of psi.
    rounds : int
        Trees, in [1, 2^20].
    rng : Generator
    drafts : int or None
        Drafts that the tail of every psi is made for; None: as many as a node has children.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    check_target(target, target.size)
    count = check_int("rounds", rounds, 1, ROUNDS_MAX)
    laws = {
        n: np.cumsum(psi_and_law(target, k=k, drafts=drafts or n)[1].probabilities()) for n in set(shape.children) if n
    }
    parents, depths = np.array(shape.parents, dtype=np.intp), np.array(shape.depths)
    path = np.empty((count, shape.nodes + 1), dtype=np.int64)  # the same number within a level: the same path
    path[:, 0] = np.arange(count)
    found = np.zeros(count, dtype=np.int64)
    for depth in range(1, shape.depth + 1):
        level = np.flatnonzero(depths == depth)
        for node in level:
            law = laws[shape.children[parents[node]]]
            tokens = np.searchsorted(law, rng.random(count) * law[-1], side="right")
            path[:, node] = path[:, parents[node]] * target.size + tokens
        _, first, numbers = np.unique(path[:, level], return_index=True, return_inverse=True)
        path[:, level] = numbers.reshape(count, len(level))
        found += np.bincount(first // len(level), minlength=count)
    deviation = float(found.std(ddof=1)) if count > 1 else 0.0
    return DistinctNodes(mean=float(found.mean()), standard_error=deviation / math.sqrt(count))
