# SPDX-License-Identifier: Apache-2.0
"""Speculative decoding of many texts by blocks: chains, several drafts of a position, trees.

Target and proposer look at the last few tokens only (`order`), so what is known of a context is kept: its row of p, and
for each number of drafts its psi, their law, and the verifier. Texts at the same context share these, and the draws of
one request. A step gives a text one token or several; texts therefore differ in length, up to the one they all end at.
What a text has more than that when its last step is done is cut off: the texts have the target's law, and no length
depends on what was drawn.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from host.draft.drafting import Drafting
from host.draft.tree import DraftTree, GrowingTree, LazyLaw, Place
from host.propose.base import Proposer
from host.targets.base import Target, check_contexts
from host.tsu.base import Draws, Tsu
from host.verify.siblings import SiblingVerifier
from host.verify.single import check_draws
from host.verify.walk import Judged, default_method, walk
from hw.spec.errors import SpecError, check_int

from .one_text import check_pair

Context = tuple[int, ...]


@dataclass(kw_only=True, eq=False)
class KnownContext:
    """What is kept of a context.

    Parameters
    ----------
    context : tuple of int
        The tokens that decide, oldest first.
    p : float64 ndarray of shape (vocab_size,)
        Target.
    laws : dict of int to LazyLaw
        Of the drafts, by their number.
    verifiers : dict
        By number of drafts and rule.
    """

    context: Context
    p: npt.NDArray[np.float64]
    laws: dict[int, LazyLaw] = field(default_factory=dict)
    verifiers: dict[tuple[int, str], SiblingVerifier] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockStep:
    """One step of one text.

    Parameters
    ----------
    text : int
        Its place in the batch.
    position : int
        Its tokens before the step.
    contexts : list of KnownContext
        At which each emitted token stands.
    judged : list of Judged
        The tokens, without those beyond the end.
    accepted : int
        Accepted drafts, those beyond the end included.
    tree : DraftTree
    tsu_s, verifier_s : float
        Seconds, those of all texts shared out evenly.
    """

    text: int
    position: int
    contexts: list[KnownContext]
    judged: list[Judged]
    accepted: int
    tree: DraftTree
    tsu_s: float = 0.0
    verifier_s: float = 0.0


class BlockLoop:
    """Draft, verify, append: one step of every text that is not at its end.

    Parameters
    ----------
    tsu : Tsu
    target : Target
    proposer : Proposer
        Both have an `order`.
    begin : integer array of shape (texts, length)
        How the texts begin: at least as many tokens as the larger order.
    end : int
        Length of the texts at their end.
    mode : str
        Weight mode of the TSU: "table" or "exp2".
    rng : Generator
        Of the verifier's decisions; independent of the TSU's noise.
    drafting : Drafting
        How many drafts there are, and where.
    method : str or None
        One of `host.verify.walk.METHODS`; None: what suits the shape.
    seed : int
        Of the noise of "gumbel"; each text has a stream of its own.

    Raises
    ------
    SpecError
        Vocabularies differ, a token is outside of them, there is no order, or a text begins too short or too long.
    """

    def __init__(
        self,
        *,
        tsu: Tsu,
        target: Target,
        proposer: Proposer,
        begin: npt.ArrayLike,
        end: int,
        mode: str,
        rng: np.random.Generator,
        drafting: Drafting,
        method: str | None = None,
        seed: int = 0,
    ) -> None:
        check_pair(target, proposer)
        if target.order is None or proposer.order is None:
            raise SpecError("order", None, "a number of last tokens, of target and proposer")
        self._tsu, self._target, self._proposer = tsu, target, proposer
        self._mode, self._rng, self._seed = mode, rng, seed
        self._drafting, self._method = drafting, method
        self._order = max(target.order, proposer.order)
        tokens = check_contexts(begin, target.vocab_size)
        check_int("tokens that texts begin with", tokens.shape[1], self._order, end - 1)
        self.end = end
        self.texts: list[list[int]] = tokens.tolist()
        """Token ids of every text."""
        self._state = proposer.start(1)
        self._known: dict[Context, KnownContext] = {}
        self._tsu_s = 0.0  # of the step that is being done

    def steps(self) -> Iterator[list[BlockStep]]:
        """Steps of all texts that are not at their end, until all of them are.

        Raises
        ------
        TsuError, NoiseAlarm, LawMismatchError
            The TSU failed, or reported integers that are not the law's.
        """
        while open_ := [text for text, tokens in enumerate(self.texts) if len(tokens) < self.end]:
            yield self._step(open_)

    def _step(self, open_: list[int]) -> list[BlockStep]:
        shape = self._drafting.shape
        method = self._method or default_method(chain=shape.is_chain)
        growing = [GrowingTree(shape) for _ in open_]
        contexts = [[self._context(self.texts[text])] for text in open_]  # by node
        level = [(place, 0) for place in range(len(open_))]
        while level:
            level = self._draw(level, growing, contexts)
        tsu_s, self._tsu_s = self._tsu_s, 0.0
        self._look_up([context for nodes in contexts for context in nodes])
        walked = []
        begin = time.perf_counter()
        for text, tree, nodes in zip(open_, growing, contexts, strict=True):
            walked.append(self._walk(text, tree.finish(), [self._known[context] for context in nodes], method))
        verifier_s = time.perf_counter() - begin
        return [replace(step, tsu_s=tsu_s / len(open_), verifier_s=verifier_s / len(open_)) for step in walked]

    def _draw(
        self, level: list[tuple[int, int]], growing: list[GrowingTree], contexts: list[list[Context]]
    ) -> list[tuple[int, int]]:
        """Drafts of a level, given as (tree, node), context by context; returns the nodes that are to have drafts."""
        groups: dict[tuple[Context, int], list[tuple[int, int]]] = {}
        for tree, node in level:
            groups.setdefault((contexts[tree][node], growing[tree].drafts(node)), []).append((tree, node))
        below = []
        laws = self._laws(sorted(groups))
        begin = time.perf_counter()
        for (context, drafts), lazy in laws.items():
            members = groups[context, drafts]
            draws = self._tsu.sample(lazy.psi, drafts * len(members))
            check_draws(draws, lazy.value)
            for number, (tree, node) in enumerate(members):
                for child in growing[tree].add(node, _part(draws, number * drafts, drafts), lazy):
                    contexts[tree].append(self._context((*context, growing[tree].token(child))))
                    if growing[tree].drafts(child):
                        below.append((tree, child))
        self._tsu_s += time.perf_counter() - begin
        return sorted(below)

    def _walk(self, text: int, tree: DraftTree, nodes: list[KnownContext], method: str) -> BlockStep:
        tokens = self.texts[text]
        position = len(tokens)

        def judge(place: Place, p: npt.NDArray[np.float64], rule: str) -> SiblingVerifier:
            kept, key = nodes[place.node].verifiers, (len(place.children), rule)
            if key not in kept:
                kept[key] = SiblingVerifier(p=p, law=place.law, drafts=len(place.children), method=rule)
            return kept[key]

        judged = walk(
            tree, lambda node: nodes[node].p, method=method, rng=self._rng, judge=judge,
            seed=self._seed, position=text << 32 | position,
        )  # fmt: skip
        accepted = sum(found.accepted for found in judged)
        judged = judged[: self.end - position]
        contexts = []
        for depth, found in enumerate(judged):
            contexts.append(self._known[self._context(tokens)])
            tokens.append(found.token)
            if found.place is not None:
                self._drafting.observe(found.p, found.place.law, depth)
        return BlockStep(text=text, position=position, contexts=contexts, judged=judged, accepted=accepted, tree=tree)

    def _context(self, tokens: list[int] | Context) -> Context:
        return tuple(tokens[len(tokens) - self._order :])

    def _look_up(self, contexts: list[Context]) -> None:
        """Make known what is not."""
        new = [context for context in dict.fromkeys(contexts) if context not in self._known]
        if new:
            rows = np.exp(self._target.logprobs(np.array(new, dtype=np.int64).reshape(len(new), self._order)))
            self._known |= {context: KnownContext(context=context, p=p) for context, p in zip(new, rows, strict=True)}

    def _laws(self, keys: list[tuple[Context, int]]) -> dict[tuple[Context, int], LazyLaw]:
        """Laws of contexts and numbers of drafts."""
        self._look_up([context for context, _ in keys])
        for drafts in sorted({drafts for _, drafts in keys}):
            new = [context for context, n in keys if n == drafts and drafts not in self._known[context].laws]
            if new:
                rows = np.array(new, dtype=np.int64).reshape(len(new), self._order)
                for context, psi in zip(new, self._proposer.emit(self._state, rows, drafts), strict=True):
                    lazy = LazyLaw(psi=psi, config=self._tsu.config, mode=self._mode)
                    self._known[context].laws[drafts] = lazy
        return {(context, drafts): self._known[context].laws[drafts] for context, drafts in keys}


def _part(draws: Draws, start: int, count: int) -> Draws:
    """Some of the draws."""
    part = slice(start, start + count)
    return Draws(tokens=draws.tokens[part], weights=draws.weights[part], spreads=draws.spreads[part], total=draws.total)
