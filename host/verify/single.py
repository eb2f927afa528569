# SPDX-License-Identifier: Apache-2.0
"""Accept or correct one draft token per position (L = 1): exact in rationals, vectorised in float64.

Glossary
--------
draft      token x that the TSU drew with probability q(x)
accepted   the draft is emitted: u < min(1, p(x) / q(x)), a strict comparison, so that p(x) = 0 never passes
recovered  the draft was refused and a token from the residual (p - q)+, normalised, is emitted in its place
overlap    sum_x min(p(x), q(x)): expected acceptance rate; the residual mass is 1 - overlap

The emitted token has law p exactly: q(x) min(1, p/q) = min(p, q), and the refused mass 1 - overlap is spread as
(p - q)+ / (1 - overlap); the sum of both is p (Leviathan et al., ICML 2023; Chen et al., 2023).

Uniform numbers of the vectorised form are j 2^-53 (NumPy's `Generator.random`), so an acceptance probability a
is realised as ceil(a 2^53) / 2^53: an excess below 2^-53 = 1.1e-16, and none where a = 0 or a = 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from host.psi.law import DraftLaw
from host.tsu.base import Draws, TsuError
from hw.spec.errors import SpecError

Number = TypeVar("Number", float, Fraction)
"""The scalar reference runs in float64, or in `Fraction` where every step is exact."""

FEW_DRAFTS = 16
"""Fewer drafts than these are verified without working out every token's ratio first."""

SUM_TOLERANCE = 1e-9
"""Largest |sum(p) - 1| of a target given to a verifier."""


class LawMismatchError(TsuError):
    """A TSU reported a (weight, spread, total) that is not the one of the law it was asked to sample."""


# --- scalar reference ---------------------------------------------------------------------------------------------


def accept_probability(p_x: Number, q_x: Number) -> Number:
    """min(1, p(x) / q(x)) of a draft x; q(x) must be positive, because x was drawn."""
    if p_x >= q_x:
        return q_x / q_x
    return p_x / q_x


def residual(p: Sequence[Number], q: Sequence[Number]) -> list[Number]:
    """(p - q)+ per token, not normalised; the sum is the residual mass."""
    return [p_x - q_x if p_x > q_x else p_x - p_x for p_x, q_x in zip(p, q, strict=True)]


def correction(p: Sequence[Number], q: Sequence[Number]) -> list[Number]:
    """Masses of the recovered token: the residual, or p where no residual is left.

    In rationals a zero residual means p = q, and then nothing is ever refused. In float64 a refusal of probability
    below 2^-52 can remain; p keeps tokens with p = 0 out of reach.
    """
    masses = residual(p, q)
    return masses if any(mass > 0 for mass in masses) else list(p)


def draw_from(masses: Sequence[Number], v: Number) -> int:
    """Invert the cumulative sum: the first i with v * sum(masses) < masses[0] + ... + masses[i], for v in [0, 1)."""
    cumulative: list[Number] = []
    for mass in masses:
        cumulative.append(cumulative[-1] + mass if cumulative else mass)
    threshold = v * cumulative[-1]
    for index, bound in enumerate(cumulative):
        if threshold < bound:
            return index
    return max(index for index, mass in enumerate(masses) if mass > 0)  # v * sum rounded up to sum in float64


def verify_one(*, draft: int, p: Sequence[Number], q: Sequence[Number], u: Number, v: Number) -> tuple[int, bool]:
    """Verify one draft: the emitted token, and whether it is the draft.

    Parameters
    ----------
    draft : int
        Token that was drawn with probability q[draft] > 0.
    p, q : sequences of V numbers
        Target and draft law, both of one number type.
    u, v : number in [0, 1)
        Uniform numbers of the decision and of the recovered token.
    """
    if u < accept_probability(p[draft], q[draft]):
        return draft, True
    return draw_from(correction(p, q), v), False


# --- vectorised form ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Verified:
    """Outcome of n verified drafts.

    Parameters
    ----------
    tokens : uint32 ndarray of shape (n,)
        Emitted tokens: the draft where accepted, else the recovered token.
    accepted : bool ndarray of shape (n,)
    """

    tokens: npt.NDArray[np.uint32]
    accepted: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def accepted_count(self) -> int:
        """Accepted drafts."""
        return int(np.count_nonzero(self.accepted))


def expected_acceptance(p: npt.NDArray[np.float64], law: DraftLaw) -> float:
    """Overlap sum_x min(p(x), q(x)), the expected acceptance rate; the residual mass is 1 - overlap."""
    overlap: np.float64 = np.minimum(check_target(p, law.vocab_size), law.probabilities()).sum()
    return float(min(overlap, 1.0))


def check_target(p: npt.NDArray[np.float64], vocab_size: int) -> npt.NDArray[np.float64]:
    """Return p, or raise `SpecError` unless it is a distribution over `vocab_size` tokens."""
    if p.shape != (vocab_size,):
        raise SpecError("shape of p", p.shape, f"({vocab_size},), one probability per token of the law")
    return check_rows(p)


def check_rows(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return p, or raise `SpecError` unless its rows, along the last axis, are distributions.

    A number that is not finite makes its row's least entry or its sum one that does not pass.
    """
    totals = np.atleast_1d(p.sum(axis=-1))
    off = np.abs(totals - 1)
    if p.min() >= 0 and off.max() <= SUM_TOLERANCE:
        return p
    wrong = p[~(p >= 0) | np.isinf(p)]
    if wrong.size:
        raise SpecError("p", float(wrong[0]), "finite probabilities, none below 0")
    raise SpecError("sum of p", float(totals[off.argmax()]), f"1 within {SUM_TOLERANCE:g}")


Integers = Callable[[npt.NDArray[np.intp]], tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]]
"""Weights and spreads of tokens."""


def check_draws(draws: Draws, law: DraftLaw, integers: Integers | None = None) -> None:
    """Raise `LawMismatchError` unless every integer that a TSU reported is the law's.

    Parameters
    ----------
    draws : Draws
    law : DraftLaw
    integers : callable or None
        Of the law's tokens, where they are known already.
    """
    if draws.total != law.total:
        raise LawMismatchError(f"the TSU reported total = {draws.total}, the law of this psi has {law.total}")
    if len(draws) == 0:
        return
    if int(draws.tokens.max()) >= law.vocab_size:
        raise LawMismatchError(f"the TSU drew token {int(draws.tokens.max())}, vocab_size is {law.vocab_size}")
    drafts = draws.tokens.astype(np.intp)
    weights, spreads = integers(drafts) if integers is not None else (law.weight_of(drafts), law.spread_of(drafts))
    for name, reported, expected in (("weight", draws.weights, weights), ("spread", draws.spreads, spreads)):
        if not np.array_equal(reported, expected):
            i = int(np.flatnonzero(reported != expected)[0])
            raise LawMismatchError(
                f"draw {i} (token {drafts[i]}): the TSU reported {name} = {reported[i]}, "
                f"the law of this psi has {expected[i]}"
            )
    if not weights.all():
        raise LawMismatchError(f"the TSU drew token {drafts[~weights.astype(bool)][0]} of weight 0")


class SingleVerifier:
    """Verifies batches of drafts from one law against one target.

    The acceptance ratio and the residual come from the integers of `law`, and every batch must report those same
    integers (weight and spread of each draft, total Z), else it is refused: the q claimed is the q used.
    Cost per draft does not depend on V, except for the binary search of a recovered token.

    Parameters
    ----------
    p : float64 ndarray of shape (vocab_size,)
        Target, sums to 1; zeros allowed.
    law : DraftLaw
        Integer law F_hw(psi) of the drafts.

    Raises
    ------
    SpecError
        p is no distribution over the vocabulary of `law`.
    """

    def __init__(self, *, p: npt.NDArray[np.float64], law: DraftLaw) -> None:
        self.law = law
        self._p = check_target(p, law.vocab_size)

    @cached_property
    def _integers(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
        """Weight and spread of every token."""
        law = self.law
        weights, spreads = (
            np.full(law.vocab_size, law.tail_weight, np.uint64),
            np.full(law.vocab_size, law.spread, np.uint32),
        )
        weights[law.ids], spreads[law.ids] = law.weights, 1
        return weights, spreads

    def _integers_of(
        self, tokens: npt.NDArray[np.intp] | slice
    ) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
        """Weights and spreads of some tokens; for few of them the arrays of all are not made."""
        if isinstance(tokens, slice) or len(tokens) >= FEW_DRAFTS:
            weights, spreads = self._integers
            return weights[tokens], spreads[tokens]
        return self.law.weight_of(tokens), self.law.spread_of(tokens)

    @cached_property
    def accept_ratio(self) -> npt.NDArray[np.float64]:
        """min(1, p/q) per token, 0 where the law never draws the token; float64 of shape (vocab_size,)."""
        return self._ratios(slice(None))

    def _ratios(self, tokens: npt.NDArray[np.intp] | slice) -> npt.NDArray[np.float64]:
        """`accept_ratio` of some tokens, the same bits."""
        p, (weights, spreads) = self._p[tokens], self._integers_of(tokens)
        ratios = np.zeros(p.shape)
        scale = float(self.law.total) * spreads.astype(np.float64)
        np.divide(p * scale, weights.astype(np.float64), out=ratios, where=weights > 0)
        return np.minimum(ratios, 1.0)

    @cached_property
    def _masses(self) -> npt.NDArray[np.float64]:
        """Masses of the recovered token, not normalised. They are worked out when a draft is refused."""
        masses = self.law.excess(self._p)
        return masses if masses.any() else self._p

    @cached_property
    def support(self) -> npt.NDArray[np.uint32]:
        """Tokens a refused draft can be replaced by, ascending; p > 0 for each of them."""
        return np.flatnonzero(self._masses).astype(np.uint32)

    @cached_property
    def residual_cdf(self) -> npt.NDArray[np.float64]:
        """Cumulative law of the recovered token over `support`, float64; the last entry is 1."""
        cumulative = np.cumsum(self._masses[self.support].astype(np.longdouble))
        cdf: npt.NDArray[np.float64] = (cumulative / cumulative[-1]).astype(np.float64)
        cdf[-1] = 1.0
        return cdf

    def verify(self, draws: Draws, rng: np.random.Generator) -> Verified:
        """Verify n drafts; takes 2n uniform numbers from `rng`, so the outcome does not depend on batch splits.

        Parameters
        ----------
        draws : Draws
            Drafts with the exact integers the TSU reported.
        rng : Generator
            Source of the decisions; independent of the TSU's noise.

        Raises
        ------
        LawMismatchError
            A reported token, weight, spread or total is not the law's.
        """
        return self.decide(draws, rng.random((len(draws), 2)))

    def decide(self, draws: Draws, uniforms: npt.NDArray[np.float64]) -> Verified:
        """Verify n drafts with given uniform numbers of shape (n, 2): decision, recovered token."""
        self.check(draws)
        drafts = draws.tokens.astype(np.intp)
        ratios = self._ratios(drafts) if len(drafts) < FEW_DRAFTS else self.accept_ratio[drafts]
        accepted: npt.NDArray[np.bool_] = uniforms[:, 0] < ratios
        refused = np.flatnonzero(~accepted)
        tokens = draws.tokens.astype(np.uint32)
        if len(refused):
            where = np.searchsorted(self.residual_cdf, uniforms[refused, 1], side="right")
            tokens[refused] = self.support[where]
        return Verified(tokens=tokens, accepted=accepted)

    def check(self, draws: Draws) -> None:
        """Raise `LawMismatchError` unless every reported integer is the law's."""
        check_draws(draws, self.law, self._integers_of)
