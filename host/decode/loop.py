# SPDX-License-Identifier: Apache-2.0
"""Speculative decoding with one draft per position (L = 1), for a batch of texts.

Each step gives every text one token: the proposer turns contexts into psi, the TSU draws a draft for each text, the
verifier accepts or corrects it against the target. Texts at the same context share psi, law and draws of one request,
where both target and proposer look at the last few tokens only (`order`); what is known of a context is kept.
"""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.golden.exact import draft_law
from host.propose.base import Proposer
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.targets.base import Contexts, Target
from host.tsu.base import Draws, Tsu
from host.verify.single import SingleVerifier, Verified
from hw.spec.errors import SpecError

from .texts import Texts, started

KEPT_BYTES = 1 << 30
"""Memory for what is known of contexts."""

_BYTES_PER_TOKEN = 56
"""Of one context: target, draft law, weights, spreads, acceptance, residual."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ContextLaw:
    """All that a step needs to know of one context.

    Parameters
    ----------
    context : tuple of int
        The last tokens that decide, oldest first.
    p : float64 ndarray of shape (vocab_size,)
        Target.
    psi : Psi
        Payload of the proposer.
    law : DraftLaw
        F_hw(psi), the exact law of the drafts.
    verifier : SingleVerifier
        Of `law` against `p`.
    """

    context: tuple[int, ...]
    p: npt.NDArray[np.float64]
    psi: Psi
    law: DraftLaw
    verifier: SingleVerifier


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """What one step did for the texts at one context.

    Parameters
    ----------
    at : ContextLaw
    texts : intp ndarray of shape (n,)
        Their places in the batch.
    position : int
        Tokens of each text before this one.
    draws : Draws
        n drafts.
    verified : Verified
        n outcomes.
    tsu_s, verifier_s : float
        Seconds spent.
    """

    at: ContextLaw
    texts: npt.NDArray[np.intp]
    position: int
    draws: Draws
    verified: Verified
    tsu_s: float
    verifier_s: float


class DraftLoop:
    """Draft, verify, append: one token for each text and step.

    Parameters
    ----------
    tsu : Tsu
    target : Target
    proposer : Proposer
    texts : integer array of shape (batch, length)
        How the texts begin.
    mode : str
        Weight mode of the TSU: "table" or "exp2".
    rng : Generator
        Of the verifier's decisions; independent of the TSU's noise.
    kept_bytes : int
        Memory for what is known of contexts; the ones unused for longest go first.

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
        texts: npt.ArrayLike,
        mode: str,
        rng: np.random.Generator,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        if proposer.vocab_size != target.vocab_size:
            raise SpecError("vocab_size of the proposer", proposer.vocab_size, f"{target.vocab_size}, the target's")
        self._tsu, self._target, self._proposer = tsu, target, proposer
        self._mode, self._rng = mode, rng
        orders = (target.order, proposer.order)
        self._order = None if None in orders else max(order for order in orders if order is not None)
        self.texts = Texts(begin=texts, vocab_size=target.vocab_size, order=self._order)
        self._state = started(proposer, texts)
        self._room = max(1, kept_bytes // (_BYTES_PER_TOKEN * target.vocab_size))
        self._kept: OrderedDict[tuple[int, ...], ContextLaw] = OrderedDict()
        self._ended = False

    def step(self, count: int | None = None) -> list[Group]:
        """One token for each text, or for the first `count` only, which ends the loop.

        Returns
        -------
        list of Group
            In ascending order of the contexts; the order in which the TSU drew.

        Raises
        ------
        TsuError, NoiseAlarm, LawMismatchError
            The TSU failed, or reported integers that are not the law's.
        """
        if self._ended:
            raise ValueError("the loop has ended: its texts differ in length")
        count = len(self.texts) if count is None else count
        groups = self._groups(count)
        tokens = np.empty(count, dtype=np.int64)
        done = []
        for at, members in groups:
            begin = time.perf_counter()
            draws = self._tsu.sample(at.psi, len(members))
            drawn = time.perf_counter()
            verified = at.verifier.verify(draws, self._rng)
            tokens[members] = verified.tokens
            tsu_s, verifier_s = drawn - begin, time.perf_counter() - drawn
            done.append(
                Group(
                    at=at, texts=members, position=self.texts.position, draws=draws, verified=verified,
                    tsu_s=tsu_s, verifier_s=verifier_s,
                )
            )  # fmt: skip
        if count < len(self.texts):
            self._ended = True
        else:
            self.texts.append(tokens)
            self._state.advance(tokens)
        return done

    def look_up(self, contexts: Contexts) -> list[ContextLaw]:
        """What is known of different contexts of shape (n, at most `order`); made anew where it was not kept.

        Only for a target and a proposer that have an `order`.
        """
        keys = [tuple(row) for row in contexts.tolist()]
        missing = [index for index, key in enumerate(keys) if key not in self._kept]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        if missing:
            rows = contexts[missing]
            made = self._make(rows, self._proposer.emit(self._state, rows))
            found |= {law.context: law for law in made}
        for key in keys:
            self._kept[key] = found[key]
            self._kept.move_to_end(key)
        while len(self._kept) > self._room:
            self._kept.popitem(last=False)
        return [found[key] for key in keys]

    def _groups(self, count: int) -> list[tuple[ContextLaw, npt.NDArray[np.intp]]]:
        """Laws of the first `count` texts, with the texts at each."""
        if self._order is None:
            contexts = self.texts.contexts
            laws = self._make(contexts[:count], list(self._proposer.emit(self._state, contexts))[:count])
            return [(law, np.array([text])) for text, law in enumerate(laws)]
        contexts, members = self.texts.alike(count)
        return list(zip(self.look_up(contexts), members, strict=True))

    def _make(self, contexts: Contexts, payloads: Sequence[Psi]) -> list[ContextLaw]:
        targets = np.exp(self._target.logprobs(contexts))
        laws = []
        for row, p, psi in zip(contexts.tolist(), targets, payloads, strict=True):
            law = draft_law(psi, self._tsu.config, self._mode)
            verifier = SingleVerifier(p=p, law=law)
            laws.append(ContextLaw(context=tuple(row), p=p, psi=psi, law=law, verifier=verifier))
        return laws
