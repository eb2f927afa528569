# SPDX-License-Identifier: Apache-2.0
"""Speculative decoding of one text: drafts, a pass of the target over all of them, and the tokens that come of it.

The drafts (`host.draft`: one, a chain, several of a position, a tree) are drawn before the target is asked. One pass
then gives what follows the text and what follows each draft (`host.targets.block`), and the walk through the drafts
(`host.verify.walk`) the tokens: accepted drafts, and behind them a recovered token or a bonus token, which needs
neither a draft nor a pass (Leviathan et al., arXiv:2211.17192). The text has the target's law, whatever the proposer:
the drafts take no part in p.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.draft.drafting import Drafting, FixedDrafting
from host.draft.draw import draft_tree
from host.draft.tree import DraftTree
from host.plan.shape import TreeShape
from host.propose.base import Proposer
from host.targets.base import Target
from host.targets.block import Rows, block_rows
from host.tsu.base import Tsu
from host.verify.walk import Judged, default_method, walk
from hw.spec.errors import SpecError

from .texts import Texts, started


@dataclass(frozen=True, kw_only=True, eq=False)
class TextStep:
    """Drafts of one position of a text, and what came of them.

    Parameters
    ----------
    position : int
        Tokens of the text before this step.
    judged : tuple of Judged
        The tokens emitted, one after the other.
    tree : DraftTree
        The drafts.
    proposer_s, target_s, law_s, tsu_s, verifier_s : float
        Seconds spent on psi, on the rows of p, on the laws of the drafts, in the TSU, and on the decisions.
    """

    position: int
    judged: tuple[Judged, ...]
    tree: DraftTree
    proposer_s: float
    target_s: float
    law_s: float
    tsu_s: float
    verifier_s: float

    @property
    def tokens(self) -> tuple[int, ...]:
        """What was emitted."""
        return tuple(judged.token for judged in self.judged)

    @property
    def accepted(self) -> int:
        """Accepted drafts."""
        return sum(judged.accepted for judged in self.judged)


ONE_DRAFT = FixedDrafting(TreeShape.chain(1))
"""A draft, and no other."""


class OneTextLoop:
    """Draft, verify, append.

    A proposer that asks the target itself (`host.propose`) does so in `emit`, before the pass of the step.

    Parameters
    ----------
    tsu : Tsu
    target : Target
    proposer : Proposer
    begin : int64 ndarray of shape (length,)
        How the text begins.
    mode : str
        Weight mode of the TSU: "table" or "exp2".
    rng : Generator
        Of the verifier's decisions; independent of the TSU's noise.
    drafting : Drafting
        How many drafts there are, and where.
    method : str or None
        How they are verified, one of `host.verify.walk.METHODS`; None: what suits the shape.
    seed : int
        Of the noise of "gumbel".
    end : int or None
        Length at which the text is full: no pass looks behind its last token.
    end_ids : frozenset of int
        Tokens that end the text: none comes behind them.
    positions : int or None
        Tokens, text and drafts together, that the target has room for.

    Raises
    ------
    SpecError
        Vocabularies differ, or a token is outside of them.
    """

    def __init__(
        self,
        *,
        tsu: Tsu,
        target: Target,
        proposer: Proposer,
        begin: npt.NDArray[np.int64],
        mode: str,
        rng: np.random.Generator,
        drafting: Drafting = ONE_DRAFT,
        method: str | None = None,
        seed: int = 0,
        end: int | None = None,
        end_ids: frozenset[int] = frozenset(),
        positions: int | None = None,
    ) -> None:
        check_pair(target, proposer)
        self._drafting, self._method = drafting, method
        self._tsu, self._target, self._proposer = tsu, target, proposer
        self._mode, self._rng, self._seed, self._end_ids = mode, rng, seed, end_ids
        self._end, self._positions = end, positions
        self._texts = Texts(begin=begin[None], vocab_size=target.vocab_size, order=None)
        self._state = started(proposer, begin[None])

    @property
    def tokens(self) -> npt.NDArray[np.int64]:
        """The whole text so far, int64 of shape (length,). A view."""
        text: npt.NDArray[np.int64] = self._texts.contexts[0]
        return text

    def step(self) -> TextStep:
        """One more token, or several.

        Raises
        ------
        TsuError, NoiseAlarm, LawMismatchError
            The TSU failed, or reported integers that are not the law's.
        """
        context, position = self.tokens, self._texts.position
        shape, ahead = self._shape_at(position)
        tree = draft_tree(
            proposer=self._proposer, state=self._state, context=context, shape=shape, tsu=self._tsu, mode=self._mode
        )
        clock = _Clock()
        known = tree.size if ahead else 0
        rows = _Timed(block_rows(self._target, context, tree.tokens[:known], tree.parents[:known]))
        target_s = clock.lap()
        judged = walk(
            tree,
            rows.row,
            method=self._method or default_method(chain=shape.is_chain),
            rng=self._rng,
            seed=self._seed,
            position=position,
            bonus=ahead,
        )
        ends = [place for place, found in enumerate(judged, 1) if found.token in self._end_ids]
        judged = judged[: min([len(judged), *ends])]
        law_s = sum(place.lazy.seconds for place in tree.places.values())
        verifier_s = clock.lap() - rows.seconds - law_s
        for found in judged:
            self._append(found.token)
        self._observe(judged)
        return TextStep(
            position=position, judged=tuple(judged), tree=tree, proposer_s=tree.proposer_s + clock.lap(),
            target_s=target_s + rows.seconds, law_s=law_s, tsu_s=tree.tsu_s, verifier_s=verifier_s,
        )  # fmt: skip

    def _shape_at(self, position: int) -> tuple[TreeShape, bool]:
        """Drafts for which there is room, and whether their rows are wanted; at least one is drawn."""
        shape = self._drafting.shape
        depth = shape.depth if self._end is None else min(shape.depth, self._end - position - 1)
        nodes = shape.nodes if self._positions is None else min(shape.nodes, self._positions - position)
        return shape.cut(depth=max(1, depth), nodes=max(1, nodes)), depth > 0 and nodes > 0

    def _observe(self, judged: Sequence[Judged]) -> None:
        for depth, found in enumerate(judged):
            if found.place is not None:
                self._drafting.observe(found.p, found.place.law, depth)

    def _append(self, token: int) -> None:
        tokens = np.array([token], dtype=np.int64)
        self._texts.append(tokens)
        self._state.advance(tokens)


def check_pair(target: Target, proposer: Proposer) -> None:
    """Raise `SpecError` unless the proposer has the target's vocabulary."""
    if proposer.vocab_size != target.vocab_size:
        raise SpecError("vocab_size of the proposer", proposer.vocab_size, f"{target.vocab_size}, the target's")


class _Clock:
    """Seconds from lap to lap."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()

    def lap(self) -> float:
        begin, self._begin = self._begin, time.perf_counter()
        return self._begin - begin


class _Timed:
    """Rows as probabilities, and the seconds that they took."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._known: dict[int, npt.NDArray[np.float64]] = {}
        self.seconds = 0.0

    def row(self, node: int) -> npt.NDArray[np.float64]:
        if node not in self._known:
            clock = _Clock()
            self._known[node] = self._rows.p(node)
            self.seconds += clock.lap()
        return self._known[node]
