# SPDX-License-Identifier: Apache-2.0
"""The TSU that is held against the contract: how it is opened, what it promises, how many draws may be asked of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import numpy.typing as npt

from host.golden.exact import MODES, draft_law
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.tsu.base import Capabilities, Draws, Tsu
from hw.spec.config import TsuConfig
from hw.spec.errors import check_int

from .errors import Violation
from .evidence import LawTest, require_law

MEMBERS = ("capabilities", "config", "spec_id", "cycles", "sample", "reseed", "close", "__enter__", "__exit__")
"""What a TSU must have: the members of `host.tsu.base.Tsu`."""

DRAWS_FEWEST = 4096
"""Smallest `max_draws`: the checks that are no statistics take so many."""

_CHUNK = 1 << 20


class Opener(Protocol):
    """Gives an open, seeded TSU: the class of an adapter, or a `functools.partial` of it or of `open_tsu`."""

    def __call__(self, *, seed: int, mode: str | None) -> Tsu: ...


class Subject:
    """One TSU under test; opened and closed once when this is made, to learn what it promises.

    Parameters
    ----------
    open_tsu : Opener
        Called with keywords `seed` and `mode`; never called again before the TSU of the last call is closed.
    max_draws : int or None
        Most draws that one test may ask for, at least 4096; None lets each have what its power analysis asks for.

    Raises
    ------
    SpecError, TsuError
        The TSU cannot be opened, or `max_draws` is not legal.
    Violation
        What was opened is no TSU.
    """

    def __init__(self, open_tsu: Opener, *, max_draws: int | None = None) -> None:
        if max_draws is not None:
            check_int("max_draws", max_draws, DRAWS_FEWEST, 1 << 40)
        self._open_tsu = open_tsu
        self._max_draws = max_draws
        self.tests = 0
        """Statistical tests so far."""
        with self.open(seed=1) as tsu:
            self.capabilities: Capabilities = tsu.capabilities
            self.config: TsuConfig = tsu.config
        if not isinstance(self.capabilities, Capabilities):
            raise Violation(f"capabilities is a {type(self.capabilities).__name__}, not a host.tsu.base.Capabilities")
        if not isinstance(self.config, TsuConfig):
            raise Violation(f"config is a {type(self.config).__name__}, not a hw.spec.config.TsuConfig")

    @contextmanager
    def open(self, *, seed: int, mode: str | None = None) -> Iterator[Tsu]:
        """An open TSU, closed at the end of the `with` block; the TSU's own `with` is left to the check of it."""
        tsu = self.fresh(seed=seed, mode=mode)
        try:
            yield tsu
        finally:
            tsu.close()

    def fresh(self, *, seed: int, mode: str | None = None) -> Tsu:
        """Open the TSU; to be closed before the next is opened."""
        tsu = self._open_tsu(seed=seed, mode=mode)
        missing = [name for name in MEMBERS if not hasattr(type(tsu), name) and not hasattr(tsu, name)]
        if missing:
            raise Violation(f"a {type(tsu).__name__} is no TSU: it lacks {', '.join(missing)}")
        return tsu

    @property
    def modes(self) -> tuple[str, ...]:
        """Weight modes that the TSU is built with: "table", "exp2" or both."""
        built = {"table": self.config.has_table, "exp2": self.config.has_exp2}
        return tuple(mode for mode in MODES if built[mode])

    def law(self, psi: Psi, mode: str) -> DraftLaw:
        """F_hw(psi) of this TSU."""
        return draft_law(psi, self.config, mode)

    def draws(self, wanted: int) -> int:
        """How many of the draws that a test wants it may have."""
        return wanted if self._max_draws is None else min(wanted, self._max_draws)

    def require_law(
        self,
        what: str,
        counts: npt.NDArray[np.int64],
        law: npt.NDArray[np.float64],
        *,
        cell: Callable[[int], str] = "token {}".format,
    ) -> LawTest:
        """`evidence.require_law` within the bound that this TSU states."""
        self.tests += 1
        return require_law(what, counts, law, bound=self.capabilities.bound, cell=cell)


def in_batches(tsu: Tsu, psi: Psi, n: int) -> Iterator[Draws]:
    """`n` draws of one psi in calls of at most 2^20; every token is checked to be in the vocabulary."""
    while n:
        draws = tsu.sample(psi, min(n, _CHUNK))
        if len(draws.tokens) != min(n, _CHUNK):
            raise Violation(f"{len(draws.tokens):,} draws came where {min(n, _CHUNK):,} were asked for")
        check_vocabulary(draws, psi)
        n -= len(draws.tokens)
        yield draws


def check_vocabulary(draws: Draws, psi: Psi) -> None:
    """`Violation` where a token is outside [0, V)."""
    if len(draws.tokens) and int(draws.tokens.max()) >= psi.vocab_size:
        raise Violation(f"token {int(draws.tokens.max())} is outside the vocabulary: V = {psi.vocab_size}")


def histogram(tsu: Tsu, psi: Psi, n: int) -> npt.NDArray[np.int64]:
    """How often each token comes in `n` draws, int64 of shape (V,)."""
    counts = np.zeros(psi.vocab_size, dtype=np.int64)
    for draws in in_batches(tsu, psi, n):
        counts += np.bincount(draws.tokens, minlength=psi.vocab_size)
    return counts
