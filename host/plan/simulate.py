# SPDX-License-Identifier: Apache-2.0
"""Monte Carlo of a token tree on a fixed target, with the rules that verify drafts; NumPy draws in place of a TSU.

Only the accepted path is followed: what the other subtrees drew does not change which draft is accepted. Every token
that is emitted behind a node with children has law p, whatever came before it, so their counts show a rule that is not
exact, and their mean number per call one that does not accept what was predicted.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.stats import pooled_chi2
from host.verify.siblings import SiblingVerifier
from host.verify.single import check_target
from hw.spec.errors import SpecError, check_int

from .acceptance import VERIFIED, psi_and_law
from .shape import TreeShape

ROUNDS_MAX = 1 << 32
"""Most target calls of one simulation."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TreeSample:
    """What a simulated tree gave.

    Parameters
    ----------
    rounds : int
        Target calls.
    reached : int64 ndarray of shape (nodes + 1,)
        Calls that reached each node: all reached the root, and a draft is reached when it is accepted.
    counts : int64 ndarray of shape (V,)
        Tokens emitted behind nodes with children, accepted or recovered.
    p_value : float
        Of `counts` against the target: pooled chi-squared (`host.stats`).
    tokens_per_call : float
    standard_error : float
        Of `tokens_per_call`.
    """

    rounds: int
    reached: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    p_value: float
    tokens_per_call: float
    standard_error: float


def simulate_tree(
    shape: TreeShape,
    *,
    target: npt.NDArray[np.float64],
    k: int,
    rounds: int,
    rng: np.random.Generator,
    rule: str = "race",
    drafts: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> TreeSample:
    """Decode `rounds` times with a tree of this shape where every context has the target p.

    Parameters
    ----------
    shape : TreeShape
    target : float64 ndarray of shape (V,)
        p, sums to 1.
    k : int
        Most top-K ids of psi.
    rounds : int
        Target calls, in [1, 2^32].
    rng : Generator
        Draws drafts, and the uniform numbers of the rule.
    rule : str
        One of `host.plan.acceptance.VERIFIED`.
    drafts : int or None
        Drafts that the tail of every psi is made for; None: as many as a node has children.
    progress : callable or None
        Called with the number of nodes that are done.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    if rule not in VERIFIED:
        raise SpecError("rule", rule, "one of " + ", ".join(VERIFIED))
    check_target(target, target.size)
    reached = np.zeros(shape.nodes + 1, dtype=np.int64)
    reached[0] = check_int("rounds", rounds, 1, ROUNDS_MAX)
    counts = np.zeros(target.size, dtype=np.int64)
    made: dict[int, tuple[npt.NDArray[np.float64], SiblingVerifier]] = {}
    for node, n in enumerate(shape.children):
        calls = int(reached[node])
        if n and calls:
            if n not in made:
                law = psi_and_law(target, k=k, drafts=drafts or n)[1]
                verifier = SiblingVerifier(p=target, law=law, drafts=n, method=rule)
                made[n] = np.cumsum(law.probabilities()), verifier
            places, tokens = _node(*made[n], n=n, calls=calls, rng=rng)
            counts += np.bincount(tokens, minlength=target.size)
            first = shape.first_child[node]
            reached[first : first + n] = np.bincount(places[places >= 0], minlength=n)
        if progress is not None:
            progress(node + 1)
    return _sample(shape, reached, counts, target)


def deviation_bound(*, deviation: float, span: float, rounds: int, alpha: float) -> float:
    """Distance from its expectation that the mean of `rounds` calls has with a chance of at most alpha.

    Bernstein's inequality, which holds for every number of calls: 2 exp(-N t^2 / (2 sigma^2 + 2 M t / 3)) = alpha,
    solved for t.

    Parameters
    ----------
    deviation : float
        sigma: standard deviation of the tokens of one call (`host.plan.tree.deviation_of_shape`).
    span : float
        M: most tokens of a call, less one.
    rounds : int
        N, at least 1.
    alpha : float
        In (0, 1).
    """
    log = math.log(2 / alpha)
    half = span * log / (3 * rounds)
    return half + math.sqrt(half**2 + 2 * deviation**2 * log / rounds)


def _node(
    cumulative: npt.NDArray[np.float64], verifier: SiblingVerifier, *, n: int, calls: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Place of the accepted draft, -1 where none is, and the emitted token, of each call."""
    places, tokens = np.empty(calls, dtype=np.intp), np.empty(calls, dtype=np.intp)
    for call in range(calls):
        drafts = np.searchsorted(cumulative, rng.random(n) * cumulative[-1], side="right")
        done = verifier.verify(drafts.tolist(), rng)
        places[call], tokens[call] = -1 if done.accepted is None else done.accepted, done.token
    return places, tokens


def _sample(
    shape: TreeShape,
    reached: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    target: npt.NDArray[np.float64],
) -> TreeSample:
    """Mean and standard error from the number of calls that ended at each depth."""
    ended = reached.copy()
    np.subtract.at(ended, np.array(shape.parents[1:], dtype=np.intp), reached[1:])
    rounds, tokens = int(reached[0]), np.array(shape.depths) + 1.0
    mean = float(ended @ tokens) / rounds
    variance = float(ended @ (tokens - mean) ** 2) / max(rounds - 1, 1)
    return TreeSample(
        rounds=rounds,
        reached=reached,
        counts=counts,
        p_value=pooled_chi2(counts, target).p_value if counts.any() else 1.0,
        tokens_per_call=mean,
        standard_error=math.sqrt(variance / rounds),
    )
