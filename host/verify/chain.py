# SPDX-License-Identifier: Apache-2.0
"""Verify a chain of L drafts, token by token or as a block: exact in rationals, vectorised over V in float64.

Draft i is x_i, i = 1..L, drawn from q_i = q(. | x^(i-1)) with x^i = x_1..x_i; p_i = p(. | x^i), i = 0..L, is the target
behind i drafts. Some number tau of drafts is accepted; one token comes behind them, recovered where tau < L, the bonus
token where tau = L. What is emitted, continued by the target, has the target's joint law.

token by token   x_i passes with min(1, p_(i-1)(x_i) / q_i(x_i)); tau is the first refusal; its token comes from
                 (p_tau - q_(tau+1))+ (Leviathan et al., arXiv:2211.17192; Chen et al., arXiv:2302.01318)
as a block       w_0 = 1, w_i = min(1, w_(i-1) p_(i-1)(x_i) / q_i(x_i)); x^i passes with h_i = S_i / (S_i + 1 - w_i),
                 S_i = sum_x (w_i p_i(x) - q_(i+1)(x))+, h_L = w_L; tau is the *last* that passes; its token comes from
                 (w_tau p_tau - q_(tau+1))+ (Sun et al., Block Verification, ICLR 2025, arXiv:2403.10444)

Token by token a refusal ends the chain; a block may still accept behind one. It never accepts less on average, and no
rule that knows p and q along the chain alone accepts more (Sun et al., theorem 2).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from host.psi.law import DraftLaw
from hw.spec.errors import SpecError

from .draw import draw_index
from .single import Number, accept_probability, check_rows, correction, draw_from, residual

Floats = npt.NDArray[np.float64]

METHODS = ("block", "token")
"""How a chain is verified, by name; the first is the default."""


@dataclass(frozen=True, kw_only=True)
class ChainVerified:
    """Outcome of a chain.

    Parameters
    ----------
    accepted : int
        tau, in [0, L]: drafts that are emitted.
    token : int
        What comes behind them: recovered where tau < L, the bonus token where tau = L.
    """

    accepted: int
    token: int


# --- scalar reference -------------------------------------------------------------------------------------------------


def token_acceptance(
    drafts: Sequence[int], p: Sequence[Sequence[Number]], q: Sequence[Sequence[Number]]
) -> list[Number]:
    """Probability that each draft passes, given that those before it did."""
    return [accept_probability(p_i[x], q_i[x]) for x, p_i, q_i in zip(drafts, p, q, strict=False)]


def block_weights(drafts: Sequence[int], p: Sequence[Sequence[Number]], q: Sequence[Sequence[Number]]) -> list[Number]:
    """w_0, ..., w_L."""
    weights: list[Number] = [p[0][0] - p[0][0] + 1]  # a one of the number type
    for x, p_i, q_i in zip(drafts, p, q, strict=False):
        weights.append(accept_probability(weights[-1] * p_i[x], q_i[x]))
    return weights


def block_acceptance(
    drafts: Sequence[int], p: Sequence[Sequence[Number]], q: Sequence[Sequence[Number]]
) -> list[Number]:
    """h_1, ..., h_L; where S_i and 1 - w_i are both 0 no draw can end at i, and h_i is 1."""
    weights = block_weights(drafts, p, q)
    passes: list[Number] = []
    for i in range(1, len(drafts)):
        left = sum(residual([weights[i] * p_x for p_x in p[i]], q[i]), weights[0] - weights[0])
        spare = left + 1 - weights[i]
        passes.append(left / spare if spare > 0 else weights[0])
    passes.append(weights[-1])
    return passes


def verify_chain(
    *,
    drafts: Sequence[int],
    p: Sequence[Sequence[Number]],
    q: Sequence[Sequence[Number]],
    u: Sequence[Number],
    v: Number,
    method: str = METHODS[0],
) -> ChainVerified:
    """Verify one chain.

    Parameters
    ----------
    drafts : sequence of L ints, L >= 1
        x_i, of probability q_i(x_i) > 0.
    p : L + 1 sequences of V numbers
        Target behind 0, ..., L drafts.
    q : L sequences of V numbers
        Draft laws behind 0, ..., L - 1 drafts, of the same number type.
    u : sequence of L numbers in [0, 1)
        Of the decisions.
    v : number in [0, 1)
        Of the token behind.
    method : str
        One of `METHODS`.

    Raises
    ------
    SpecError
        The method is unknown.
    """
    if check_method(method) == "token":
        passed: list[bool] = _passed(u, token_acceptance(drafts, p, q))
        accepted = [*passed, False].index(False)
        weight = p[0][0] - p[0][0] + 1
    else:
        passed = _passed(u, block_acceptance(drafts, p, q))
        accepted = max((i for i, ok in enumerate(passed, 1) if ok), default=0)
        weight = block_weights(drafts, p, q)[accepted]
    if accepted == len(drafts):
        return ChainVerified(accepted=accepted, token=draw_from(p[accepted], v))
    masses = correction([weight * p_x for p_x in p[accepted]], q[accepted])
    return ChainVerified(accepted=accepted, token=draw_from(masses, v))


def _passed(u: Sequence[Number], passes: Sequence[Number]) -> list[bool]:
    return [u_i < chance for u_i, chance in zip(u, passes, strict=True)]


def check_method(method: object) -> str:
    """Return the name, or raise `SpecError` unless it is one of `METHODS`."""
    if not isinstance(method, str) or method not in METHODS:
        raise SpecError("method", method, "one of " + ", ".join(METHODS))
    return method


# --- vectorised form --------------------------------------------------------------------------------------------------


class ChainVerifier:
    """Verifies one chain of drafts over a large vocabulary.

    Parameters
    ----------
    p : float64 ndarray of shape (L + 1, vocab_size)
        Target behind 0, ..., L drafts; each row sums to 1, zeros allowed.
    laws : sequence of L DraftLaw
        Integer laws that the drafts were drawn from, in their order.
    method : str
        One of `METHODS`.

    Raises
    ------
    SpecError
        The method is unknown, or numbers or sizes do not fit.
    """

    def __init__(self, *, p: npt.NDArray[np.float64], laws: Sequence[DraftLaw], method: str = METHODS[0]) -> None:
        self._method = check_method(method)
        if not laws or p.ndim != 2 or len(p) != len(laws) + 1:
            raise SpecError("shape of p", p.shape, f"(L + 1, V) for L = {len(laws)} laws, at least one")
        sizes = {law.vocab_size for law in laws}
        if sizes != {p.shape[1]}:
            raise SpecError("shape of p", p.shape, f"(L + 1, V) for laws over V = {', '.join(map(str, sorted(sizes)))}")
        self._p, self.laws = check_rows(p), tuple(laws)

    def decide(self, drafts: Sequence[int], uniforms: npt.NDArray[np.float64]) -> ChainVerified:
        """Verify drafts with given uniform numbers of shape (L + 1,): decisions, and the token behind.

        Raises
        ------
        SpecError
            There are not L drafts, or one has probability 0 in its law.
        """
        if len(drafts) != len(self.laws) or uniforms.shape != (len(self.laws) + 1,):
            raise SpecError("drafts", len(drafts), f"{len(self.laws)} drafts and one uniform number more")
        numbers: list[float] = uniforms.tolist()
        if self._method == "token":
            accepted, masses = self._token(drafts, numbers)
        else:
            accepted, masses = self._block(drafts, numbers)
        return ChainVerified(accepted=accepted, token=draw_index(masses, numbers[-1]))

    def _ratio(self, i: int, draft: int) -> float:
        """p_i(x) / q_(i+1)(x) of draft i + 1."""
        q = self.laws[i].probability(draft)
        if q == 0.0:
            raise SpecError("draft", draft, "a token that its law can draw")
        return float(self._p[i, draft]) / q

    def _excess(self, i: int, weight: float) -> Floats:
        """(w p_i - q_(i+1))+."""
        return self.laws[i].excess(self._p[i] if weight == 1.0 else weight * self._p[i])

    def _behind(self, i: int, left: Floats) -> Floats:
        """Masses of the token behind i drafts: `left`, or p_i where it is 0 (`host.verify.single.correction`)."""
        return left if left.any() else self._p[i]

    def _token(self, drafts: Sequence[int], uniforms: Sequence[float]) -> tuple[int, Floats]:
        """tau, and masses of the token behind."""
        ratios = [self._ratio(i, draft) for i, draft in enumerate(drafts)]
        for i, ratio in enumerate(ratios):
            if not uniforms[i] < min(1.0, ratio):
                return i, self._behind(i, self._excess(i, 1.0))
        return len(drafts), self._p[-1]

    def _block(self, drafts: Sequence[int], uniforms: Sequence[float]) -> tuple[int, Floats]:
        """The same. h_i is at most w_i, because S_i is: a number that is not below w_i needs no sum over V."""
        weights = [1.0]
        for i, draft in enumerate(drafts):
            weights.append(min(1.0, weights[-1] * self._ratio(i, draft)))
        if uniforms[len(drafts) - 1] < weights[-1]:
            return len(drafts), self._p[-1]
        for i in range(len(drafts) - 1, 0, -1):  # the last that passes decides
            if uniforms[i - 1] < (weight := weights[i]):
                left = self._excess(i, weight)
                mass = float(left.sum())
                spare = mass + 1 - weight
                if uniforms[i - 1] < (mass / spare if spare > 0 else 1.0):
                    return i, self._behind(i, left)
        return 0, self._behind(0, self._excess(0, 1.0))
