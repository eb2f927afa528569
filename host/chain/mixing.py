# SPDX-License-Identifier: Apache-2.0
"""How block Gibbs sampling approaches the law of a chain: the exact law after every sweep, by enumeration."""

from collections.abc import Iterator
from itertools import islice

import numpy as np
import numpy.typing as npt

from .model import ChainModel, Floats

GOOD_ENOUGH = (1e-1, 1e-2, 1e-3)
"""Total variations for which the number of sweeps is looked for."""

SEARCH_SWEEPS = 10_000
"""Sweeps after which the search is given up."""


def sweep_order(length: int) -> list[int]:
    """Nodes in the order of one sweep: even ones first, then odd ones. No two of a block are neighbours."""
    return [*range(0, length, 2), *range(1, length, 2)]


def laws_by_sweep(model: ChainModel) -> Iterator[Floats]:
    """The law of a chain started in uniform states, after 1, 2, ... sweeps; arrays of the shape of `model.joint()`.

    One update of node i replaces P(x) by P(x without x_i) P(x_i | its neighbours). The nodes of a block do not see one
    another, so that one after the other is the same as all at once.
    """
    logs = model.every_log_weight()
    conditionals = []
    for node in range(model.length):
        weights = np.exp(logs - logs.max(axis=node, keepdims=True))
        conditionals.append(weights / weights.sum(axis=node, keepdims=True))
    law: Floats = np.full_like(logs, 1 / logs.size)
    while True:
        for node in sweep_order(model.length):
            law = law.sum(axis=node, keepdims=True) * conditionals[node]
        yield law


def total_variation(p: npt.NDArray[np.floating], q: npt.NDArray[np.floating]) -> float:
    """Half the sum of |p - q|."""
    return float(np.abs(p - q).sum() / 2)


def sweeps_needed(model: ChainModel) -> tuple[int | None, ...]:
    """Sweeps until the law of Gibbs draws is within each of `GOOD_ENOUGH` of the joint, by enumeration."""
    joint = model.joint()
    needed: dict[float, int | None] = dict.fromkeys(GOOD_ENOUGH)
    for sweeps, law in enumerate(islice(laws_by_sweep(model), SEARCH_SWEEPS), start=1):
        distance = total_variation(law, joint)
        for bound in GOOD_ENOUGH:
            if needed[bound] is None and distance <= bound:
                needed[bound] = sweeps
        if needed[GOOD_ENOUGH[-1]] is not None:
            break
    return tuple(needed.values())


def frequencies(states: npt.NDArray[np.integer], k: int) -> Floats:
    """Share of each joint state among `states` of shape (n, L); float64 of shape (K, K, ..., K)."""
    shape = (k,) * states.shape[1]
    counts = np.bincount(np.ravel_multi_index(tuple(states.T.astype(np.int64)), shape), minlength=k ** states.shape[1])
    shares: Floats = (counts / len(states)).reshape(shape)
    return shares
