# SPDX-License-Identifier: Apache-2.0
"""How probably each of n drafts of one position is the accepted one: given, or from the laws that are drawn from."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from host.golden.exact import draft_law
from host.psi.craft import craft_psi
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.verify.multi import k_seq_gamma, optimal_acceptance, recursive_acceptance
from host.verify.race import fit_race
from host.verify.siblings import METHODS
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError, check_int

from .checks import CHILDREN_MAX, check_number

Rows = npt.NDArray[np.float64]
"""Distributions, float64 of shape (B, V)."""

ROUNDING = 1e-9
"""How far a sum of shares may be above 1."""


@dataclass(frozen=True, kw_only=True)
class AcceptanceTable:
    """Acceptance of n drafts of one position, n = 0, 1, ..., up to 16.

    Parameters
    ----------
    shares : tuple of tuples of floats
        shares[n] has n entries: the probability that it is draft k (of n) that is accepted. They add up to a_n.

    Raises
    ------
    SpecError
        A length or a number is outside its range.
    """

    shares: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        check_int("len(shares)", len(self.shares), 1, CHILDREN_MAX + 1)
        for n, row in enumerate(self.shares):
            check_int(f"len(shares[{n}])", len(row), n, n)
            for k, share in enumerate(row):
                check_number(f"shares[{n}][{k}]", share, 0.0, 1.0)
            check_number(f"sum of shares[{n}]", math.fsum(row), 0.0, 1.0 + ROUNDING)

    @classmethod
    def symmetric(cls, acceptances: Sequence[float]) -> "AcceptanceTable":
        """The table of a rule that treats its drafts alike (optimum, race): each of n is accepted with a_n / n.

        Parameters
        ----------
        acceptances : sequence of floats in [0, 1]
            a_0 = 0, a_1, a_2, ...
        """
        _check_acceptances(acceptances)
        return cls(shares=tuple((a / max(n, 1),) * n for n, a in enumerate(acceptances)))

    @classmethod
    def sequential(cls, acceptances: Sequence[float]) -> "AcceptanceTable":
        """The table of a rule that goes draft by draft, from one law: draft k is accepted with a_k - a_(k-1).

        Parameters
        ----------
        acceptances : sequence of floats in [0, 1]
            a_0 = 0, a_1, a_2, ..., not decreasing.
        """
        _check_acceptances(acceptances)
        for n, (before, after) in enumerate(pairwise(acceptances), 1):
            if after < before:
                raise SpecError(f"acceptances[{n}]", after, f"at least acceptances[{n - 1}] = {before}")
        steps = [after - before for before, after in pairwise(acceptances)]
        return cls(shares=tuple(tuple(steps[:n]) for n in range(len(acceptances))))

    @property
    def children_max(self) -> int:
        """Most drafts of one position that the table knows."""
        return len(self.shares) - 1

    @cached_property
    def acceptances(self) -> tuple[float, ...]:
        """a_n: probability that one of n drafts is accepted, n = 0, ..., `children_max`."""
        return tuple(min(1.0, math.fsum(row)) for row in self.shares)


def _check_acceptances(acceptances: Sequence[float]) -> None:
    """Raise `SpecError` unless these are a_0 = 0, a_1, ..., of at most 16 drafts."""
    check_int("len(acceptances)", len(acceptances), 1, CHILDREN_MAX + 1)
    for n, acceptance in enumerate(acceptances):
        check_number(f"acceptances[{n}]", acceptance, 0.0, 1.0 if n else 0.0)


# --- from distributions -----------------------------------------------------------------------------------------------


def tsu_config(k: int) -> TsuConfig:
    """The TSU that plans are made for: room for K, else the default."""
    return TsuConfig(k_max=max(64, 1 << (check_int("K", k, 1, 1024) - 1).bit_length()))


def psi_and_law(p: npt.NDArray[np.float64], *, k: int, drafts: int) -> tuple[Psi, DraftLaw]:
    """The psi of p for `drafts` drafts, and the exact law that they are drawn from."""
    psi = craft_psi(p, min(k, len(p)), drafts=drafts)
    return psi, draft_law(psi, tsu_config(k), "table")


def _optimal(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> list[float]:
    return [optimal_acceptance(p, q, n) / n] * n


def _race(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> list[float]:
    return [fit_race(p, q, n).acceptance(p) / n] * n


def _recursive(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> list[float]:
    upto = [recursive_acceptance(p, q, count) for count in range(n + 1)]
    return [max(0.0, after - before) for before, after in pairwise(upto)]


def _k_seq(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64], n: int) -> list[float]:
    beta = float(np.minimum(q, p / k_seq_gamma(p, q, n)).sum())
    return [beta * (1 - beta) ** k for k in range(n)]


RULES: dict[str, Callable[[npt.NDArray[np.float64], npt.NDArray[np.float64], int], list[float]]] = {
    "optimal": _optimal,
    "race": _race,
    "rrs": _recursive,
    "kseq": _k_seq,
}
"""Shares of n drafts by the name of the rule: the most that any rule can accept (`optimal`), and rules that exist, by
their names in `host.verify.siblings`."""

VERIFIED = tuple(name for name in RULES if name in METHODS)
"""Those that exist."""


def check_rule(rule: object) -> str:
    """Return the name, or raise `SpecError` unless it is one of `RULES`."""
    if not isinstance(rule, str) or rule not in RULES:
        raise SpecError("rule", rule, "one of " + ", ".join(RULES))
    return rule


def acceptance_table(
    *,
    targets: Rows,
    proposals: Rows | None = None,
    k: int,
    rule: str = "optimal",
    children_max: int = CHILDREN_MAX,
    drafts: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> AcceptanceTable:
    """Acceptance of drafts that are drawn from the exact law of a psi, averaged over contexts.

    Parameters
    ----------
    targets : float64 ndarray of shape (B, V)
        p of each context, a row sums to 1.
    proposals : float64 ndarray of shape (B, V), or None
        What the proposer holds for p, from which psi is made; None: p itself.
    k : int
        Most top-K ids of a psi, in [1, min(V, 1024)].
    rule : str
        One of `RULES`.
    children_max : int
        Most drafts of one position, in [1, 16].
    drafts : int or None
        Drafts that the tail of every psi is made for, in [1, 64]; None: as many as are drawn of it.
    progress : callable or None
        Called with 1, 2, ..., `children_max` as rows of the table are done.

    Raises
    ------
    SpecError
        An argument is outside its range, or shapes differ.
    """
    check_rule(rule)
    if targets.ndim != 2 or not len(targets):
        raise SpecError("targets.shape", targets.shape, "(B, V), at least one row")
    proposals = targets if proposals is None else proposals
    if proposals.shape != targets.shape:
        raise SpecError("proposals.shape", proposals.shape, f"that of targets, {targets.shape}")
    check_int("K", k, 1, min(targets.shape[1], 1024))
    shares: list[tuple[float, ...]] = [()]
    for n in range(1, check_int("children_max", children_max, 1, CHILDREN_MAX) + 1):
        rows = [
            RULES[rule](p, psi_and_law(held, k=k, drafts=n if drafts is None else drafts)[1].probabilities(), n)
            for p, held in zip(targets, proposals, strict=True)
        ]
        shares.append(_means(rows))
        if progress is not None:
            progress(n)
    return AcceptanceTable(shares=tuple(shares))


def _means(rows: Iterable[Sequence[float]]) -> tuple[float, ...]:
    return tuple(math.fsum(column) / len(column) for column in zip(*rows, strict=True))
