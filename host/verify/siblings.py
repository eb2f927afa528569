# SPDX-License-Identifier: Apache-2.0
"""Verify n drafts of one position against one target, by any of four rules, over a large vocabulary.

    verifier = SiblingVerifier(p=p, law=law, drafts=4, method="race")
    verifier.decide_at([17, 5, 17, 902], seed=11, position=0)      # -> MultiVerified(token, accepted)

race     `host.verify.race`: within 1e-3 of what any rule can accept
rrs      recursive rejection, `host.verify.multi`
kseq     k-SEQ, `host.verify.multi`
gumbel   `host.verify.gumbel`: the token is a function of seed and position, whatever the drafter; the drafts save the
         target's pass where it is among them

What is emitted has law p. With one draft, race, rrs and kseq are the rule of `host.verify.single`.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from host.psi.law import DraftLaw
from hw.spec.errors import SpecError, check_int

from .draw import draw_index
from .gumbel import check_uniforms, gumbel_acceptance, position_uniforms, race_winner
from .multi import MultiVerified, k_seq_gamma, optimal_acceptance, recursive_acceptance
from .race import CellRace, Race, fit_race_of_law, verify_race
from .single import check_target

METHODS = ("race", "rrs", "kseq", "gumbel")
"""How drafts of one position are verified, by name; the first is the default."""

DRAFTS_MAX = 64
"""Most drafts of a position."""

Floats = npt.NDArray[np.float64]


class SiblingVerifier:
    """Verifies n drafts that one law drew independently for one position.

    What a method prepares over the V tokens (the weights of the race, gamma of k-SEQ, a residual) it works out when a
    decision first needs it.

    Parameters
    ----------
    p : float64 ndarray of shape (vocab_size,)
        Target, sums to 1; zeros allowed, and never emitted.
    law : DraftLaw
        Integer law F_hw(psi) of the drafts.
    drafts : int
        n, in [1, 64].
    method : str
        One of `METHODS`.

    Raises
    ------
    SpecError
        A parameter is outside its range, or p is no distribution over the vocabulary of `law`.
    """

    def __init__(self, *, p: Floats, law: DraftLaw, drafts: int, method: str = METHODS[0]) -> None:
        self.method = check_sibling_method(method)
        self.drafts = check_int("drafts", drafts, 1, DRAFTS_MAX)
        self.law = law
        self._p = check_target(p, law.vocab_size)
        self._rule: _Rule = _RULES[self.method](self._p, law, self.drafts)

    @cached_property
    def optimum(self) -> float:
        """alpha*_n: the most that any rule for n drafts of this law can accept."""
        return optimal_acceptance(self._p, self.law.probabilities(), self.drafts)

    @cached_property
    def acceptance(self) -> float:
        """Probability that one of n drafts is accepted by this method, before they are drawn."""
        return self._rule.acceptance()

    @property
    def uniforms(self) -> int:
        """How many uniform numbers one decision takes: a constant of method, n and V."""
        return self._rule.uniforms

    def decide(self, drafts: Sequence[int], uniforms: Floats) -> MultiVerified:
        """Verify n drafts with given uniform numbers.

        Parameters
        ----------
        drafts : sequence of n ints
            In the order in which they were drawn.
        uniforms : float64 ndarray of shape (self.uniforms,)
            In [0, 1), independent of the drafts.

        Raises
        ------
        SpecError
            A size is wrong, a draft has probability 0 in the law, or a number is outside its range.
        """
        if len(drafts) != self.drafts:
            raise SpecError("len(drafts)", len(drafts), f"n = {self.drafts}")
        numbers = check_uniforms(uniforms, self.uniforms)
        tokens = [check_int("draft", draft, 0, self.law.vocab_size - 1) for draft in drafts]
        chances = [self.law.probability(token) for token in tokens]
        if 0.0 in chances:
            raise SpecError("draft", tokens[chances.index(0.0)], "a token that its law can draw")
        return self._rule.decide(tokens, chances, numbers)

    def decide_at(self, drafts: Sequence[int], *, seed: int, position: int) -> MultiVerified:
        """Verify n drafts with the uniform numbers of (seed, position), both in [0, 2**64 - 1].

        The numbers are those of `host.verify.gumbel.position_uniforms`; by method gumbel the token is
        `gumbel_token(p, seed=seed, position=position)`.
        """
        return self.decide(drafts, position_uniforms(seed=seed, position=position, count=self.uniforms))

    def verify(self, drafts: Sequence[int], rng: np.random.Generator) -> MultiVerified:
        """Verify n drafts; takes `uniforms` numbers from `rng`, which is independent of the TSU's noise."""
        return self.decide(drafts, rng.random(self.uniforms))


def check_sibling_method(method: object) -> str:
    """Return the name, or raise `SpecError` unless it is one of `METHODS`."""
    if not isinstance(method, str) or method not in METHODS:
        raise SpecError("method", method, "one of " + ", ".join(METHODS))
    return method


class _Rule(Protocol):
    """A method for one (p, law, n)."""

    uniforms: int

    def acceptance(self) -> float: ...

    def decide(self, drafts: list[int], chances: list[float], uniforms: Floats) -> MultiVerified:
        """Verify drafts of probabilities `chances` > 0."""
        ...


class _Recursive:
    """Recursive rejection: the numbers of n decisions, and of a recovered token."""

    def __init__(self, p: Floats, law: DraftLaw, n: int) -> None:
        self._p, self._law, self._n = p, law, n
        self._left = [p]
        self.uniforms = n + 1

    def acceptance(self) -> float:
        return recursive_acceptance(self._p, self._law.probabilities(), self._n)

    def decide(self, drafts: list[int], chances: list[float], uniforms: Floats) -> MultiVerified:
        for place, (draft, q) in enumerate(zip(drafts, chances, strict=True)):
            if uniforms[place] < self._target(place)[draft] / q:
                return MultiVerified(token=draft, accepted=place)
        return MultiVerified(token=draw_index(self._target(self._n), float(uniforms[-1])), accepted=None)

    def _target(self, refused: int) -> Floats:
        """What the emitted token must follow behind so many refusals."""
        while len(self._left) <= refused:
            left = self._left[-1]
            masses = self._law.excess(left)
            mass = float(masses.sum())
            self._left.append(masses / mass if mass > 0 else left)  # see `host.verify.single.correction`
        return self._left[refused]


class _KSeq:
    """k-SEQ: the numbers of n decisions, and of a recovered token."""

    def __init__(self, p: Floats, law: DraftLaw, n: int) -> None:
        self._p, self._law, self._n = p, law, n
        self.uniforms = n + 1

    @cached_property
    def _gamma(self) -> float:
        return k_seq_gamma(self._p, self._law.probabilities(), self._n)

    @cached_property
    def _shares(self) -> Floats:
        """min(q, p / gamma), what one draft that is accepted comes from."""
        shares: Floats = np.minimum(self._law.probabilities(), self._p / self._gamma)
        return shares

    def acceptance(self) -> float:
        return 1 - (1 - float(self._shares.sum())) ** self._n

    def decide(self, drafts: list[int], chances: list[float], uniforms: Floats) -> MultiVerified:
        for place, (draft, q) in enumerate(zip(drafts, chances, strict=True)):
            if uniforms[place] < self._p[draft] / (self._gamma * q):
                return MultiVerified(token=draft, accepted=place)
        return MultiVerified(token=draw_index(self._masses, float(uniforms[-1])), accepted=None)

    @cached_property
    def _masses(self) -> Floats:
        """Masses of the recovered token; see `host.verify.multi.k_seq_masses`."""
        beta = float(self._shares.sum())
        if beta == 0.0:
            return self._p
        masses: Floats = np.maximum(self._p - self._shares * ((1 - (1 - beta) ** self._n) / beta), 0.0)
        return masses if masses.any() else self._p


class _Race:
    """The weighted race: the numbers of the choice, of the decision, and of a recovered token."""

    def __init__(self, p: Floats, law: DraftLaw, n: int) -> None:
        self._p, self._law, self._n = p, law, n
        self.uniforms = 3

    @cached_property
    def _race(self) -> Race | CellRace:
        return fit_race_of_law(self._p, self._law, self._n)

    def acceptance(self) -> float:
        return self._race.acceptance(self._p)

    def decide(self, drafts: list[int], chances: list[float], uniforms: Floats) -> MultiVerified:
        return verify_race(drafts=drafts, p=self._p, race=self._race, uniforms=uniforms)


class _Gumbel:
    """Drafter-invariant: a number for every token."""

    def __init__(self, p: Floats, law: DraftLaw, n: int) -> None:
        self._p, self._law, self._n = p, law, n
        self.uniforms = law.vocab_size

    def acceptance(self) -> float:
        return gumbel_acceptance(self._p, self._law, self._n)

    def decide(self, drafts: list[int], chances: list[float], uniforms: Floats) -> MultiVerified:
        token = race_winner(self._p, uniforms)
        return MultiVerified(token=token, accepted=drafts.index(token) if token in drafts else None)


_RULES: dict[str, Callable[[Floats, DraftLaw, int], _Rule]] = {
    "race": lambda p, law, n: _Race(p, law, n) if n > 1 else _Recursive(p, law, n),
    "rrs": _Recursive,
    "kseq": lambda p, law, n: _KSeq(p, law, n) if n > 1 else _Recursive(p, law, n),
    "gumbel": _Gumbel,
}
"""With one draft, recursive rejection is the rule of `host.verify.single`, and race and k-SEQ are the same."""
