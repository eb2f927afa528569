# SPDX-License-Identifier: Apache-2.0
"""Verify a tree of drafts: which path of it is emitted, and the token behind.

Position by position the drafts of a node are verified by a rule for n drafts (`host.verify.siblings`). Where one of
them is accepted the walk goes on with its own drafts, else with no more: the recovered token is the last one. Behind an
accepted draft without drafts the bonus token is the last one. Given the text before it each token has the target's law,
whatever was drawn elsewhere in the tree: so has the text. How many drafts a node has may depend on the drafts above it.

A chain may also be verified as a block (`host.verify.chain`): the law of the text is the same, more is accepted.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.draft.tree import DraftTree, Place
from hw.spec.errors import SpecError

from .chain import METHODS as CHAIN_METHODS
from .chain import ChainVerifier
from .draw import draw_token
from .gumbel import gumbel_token
from .siblings import METHODS as SIBLING_METHODS
from .siblings import SiblingVerifier
from .single import check_draws

METHODS = (*CHAIN_METHODS, *SIBLING_METHODS)
"""How drafts are verified, by name: a chain as a block or token by token, or a rule for n drafts."""

BLOCK, GUMBEL = "block", "gumbel"

Row = Callable[[int], npt.NDArray[np.float64]]
"""p of what follows a node, float64 of shape (vocab_size,), sums to 1."""


Judge = Callable[[Place, npt.NDArray[np.float64], str], SiblingVerifier]


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """One token that is emitted.

    Parameters
    ----------
    token : int
    p : float64 ndarray of shape (vocab_size,)
        Target.
    place : Place or None
        Drafts that it was chosen with; None for a bonus token.
    accepted : bool
        Whether it is one of the drafts, and verified as such.
    verifier : SiblingVerifier or None
        What judged the drafts; None for a bonus token, and for a block, where no place is judged by itself.
    """

    token: int
    p: npt.NDArray[np.float64]
    place: Place | None = None
    accepted: bool = False
    verifier: SiblingVerifier | None = None


def default_method(*, chain: bool) -> str:
    """What suits best: the block for a chain, the race for several drafts of a position."""
    return CHAIN_METHODS[0] if chain else SIBLING_METHODS[0]


def check_walk_method(method: object, *, chain: bool) -> str:
    """Return the name, or raise `SpecError` unless it is one of `METHODS` that suits a chain, or a tree."""
    legal = METHODS if chain else SIBLING_METHODS
    if not isinstance(method, str) or method not in legal:
        raise SpecError("verify", method, "one of " + ", ".join(legal) + ("" if chain else ", for several drafts"))
    return method


def walk(
    tree: DraftTree,
    row: Row,
    *,
    method: str,
    rng: np.random.Generator,
    seed: int,
    position: int,
    bonus: bool = True,
    judge: Judge | None = None,
) -> list[Judged]:
    """What a tree of drafts gives: at least one token.

    Parameters
    ----------
    tree : DraftTree
    row : callable
        Target by node; asked only for nodes whose row matters.
    method : str
        One of `METHODS`; "token" and, for one draft, "block" are the rule of `host.verify.single`.
    rng : Generator
        Of the decisions, but for "gumbel".
    seed, position : int
        By "gumbel" a token is a function of p, the seed, and its position: the text before the drafts is `position`
        tokens long.
    bonus : bool
        Whether there is a row behind the last drafts, of a tree of one level.
    judge : callable or None
        Where verifiers of a place are kept, and the integers that a TSU reported have been checked: gives the verifier
        by place, p and rule.

    Raises
    ------
    LawMismatchError
        The TSU reported integers that are not the law's.
    """
    if method == BLOCK and len(tree.places) > 1:
        return _block(tree, row, rng, checked=judge is not None)
    rule = SIBLING_METHODS[0] if method in CHAIN_METHODS else method
    node = 0
    done: list[Judged] = []
    while node in tree.places:
        place, p = tree.places[node], row(node)
        verifier = (judge or new_judge)(place, p, rule)
        if rule == GUMBEL:
            verified = verifier.decide_at(place.drafts, seed=seed, position=position + len(done))
        else:
            verified = verifier.verify(place.drafts, rng)
        chosen = verified.accepted
        done.append(Judged(token=verified.token, p=p, place=place, accepted=chosen is not None, verifier=verifier))
        if chosen is None:
            return done
        node = place.children[chosen]
    if bonus:
        p, at = row(node), position + len(done)
        token = gumbel_token(p, seed=seed, position=at) if rule == GUMBEL else draw_token(p, rng.random())
        done.append(Judged(token=token, p=p))
    return done


def new_judge(place: Place, p: npt.NDArray[np.float64], rule: str) -> SiblingVerifier:
    """A verifier of this place. Raises LawMismatchError unless the integers reported are the law's."""
    check_draws(place.draws, place.law)
    return SiblingVerifier(p=p, law=place.law, drafts=len(place.children), method=rule)


def _block(tree: DraftTree, row: Row, rng: np.random.Generator, *, checked: bool) -> list[Judged]:
    """The walk of a chain that is verified as a block."""
    places = [tree.places[node] for node in range(len(tree.places))]
    if not checked:
        for place in places:
            check_draws(place.draws, place.law)
    rows = np.stack([row(node) for node in range(len(places) + 1)])
    drafts = [place.drafts[0] for place in places]
    verifier = ChainVerifier(p=rows, laws=[place.law for place in places], method=BLOCK)
    verified = verifier.decide(drafts, rng.random(len(drafts) + 1))
    tokens = [*drafts[: verified.accepted], verified.token]
    return [
        Judged(
            token=token,
            p=rows[node],
            place=places[node] if node < len(places) else None,
            accepted=node < verified.accepted,
        )
        for node, token in enumerate(tokens)
    ]
