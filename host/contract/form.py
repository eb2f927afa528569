# SPDX-License-Identifier: Apache-2.0
"""What a TSU says and hands over: its promises, shapes and dtypes, and the integers of q."""

import numpy as np

from host.golden.exact import MODES
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.tsu.base import Draws, Tsu
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError

from . import cases
from .errors import Violation
from .subject import Subject, check_vocabulary

_DRAWS = 1000
_COLUMNS = {"tokens": np.uint32, "weights": np.uint64, "spreads": np.uint32}


def capabilities(subject: Subject) -> str:
    """Promises that are complete and stay the same; SPEC_ID is that of the configuration."""
    promised = subject.capabilities
    if not isinstance(promised.name, str) or not promised.name:
        raise Violation(f"capabilities.name = {promised.name!r} is no name")
    for field in ("exact", "bit_true", "counts_cycles", "reproducible", "blocks"):
        if not isinstance(getattr(promised, field), bool):
            raise Violation(f"capabilities.{field} = {getattr(promised, field)!r} is neither True nor False")
    with subject.open(seed=2) as tsu:
        tsu.sample(cases.small(subject.config), 1)
        if tsu.capabilities != promised or tsu.config != subject.config:
            raise Violation("capabilities or config changed between two TSUs of the same opener")
        if tsu.spec_id != spec_id(tsu.config):
            raise Violation(f"spec_id = {tsu.spec_id:#x}; layouts and config have {spec_id(tsu.config):#018x}")
    law = "exact" if promised.exact else f"within {promised.bound:g} of exact"
    return f"{promised.name}: {law}, {'' if promised.bit_true else 'not '}bit-true"


def shapes(subject: Subject) -> str:
    """Arrays of n draws with the promised dtypes, for n = 0 too; a later call leaves earlier draws alone."""
    psi = cases.small(subject.config)
    with subject.open(seed=3) as tsu:
        kept: list[tuple[Draws, list[bytes]]] = []
        for n in (0, 1, 2, 3, 1000, 1):
            draws = tsu.sample(psi, n)
            _check_form(draws, n)
            kept.append((draws, [getattr(draws, name).tobytes() for name in _COLUMNS]))
        for draws, before in kept:
            if [getattr(draws, name).tobytes() for name in _COLUMNS] != before:
                raise Violation(f"the draws of a call of {len(draws)} changed when sample was called again")
    return "n = 0, 1, 2, 3 and 1000"


def _check_form(draws: Draws, n: int) -> None:
    if not isinstance(draws, Draws):
        raise Violation(f"sample gives a {type(draws).__name__}, not a host.tsu.base.Draws")
    for name, dtype in _COLUMNS.items():
        column = getattr(draws, name)
        if not isinstance(column, np.ndarray) or column.dtype != dtype:
            found = column.dtype if isinstance(column, np.ndarray) else type(column).__name__
            raise Violation(f"{name} are {found}, not {np.dtype(dtype)}")
        if column.shape != (n,):
            raise Violation(f"{name} of {n} draws have shape {column.shape}, not ({n},)")
    if isinstance(draws.total, bool) or not isinstance(draws.total, int) or draws.total < 1:
        raise Violation(f"total = {draws.total!r} of {n} draws is no positive int")


def integers(subject: Subject) -> str:
    """Every draw bears the integers of F_hw(psi), at the limits of what a psi may be, in every weight mode."""
    psis = cases.corners(subject.config)
    for mode in subject.modes:
        laws = {name: subject.law(psi, mode) for name, psi in psis.items()}
        with subject.open(seed=4, mode=mode) as tsu:
            for n in (_DRAWS, 1, 0):  # psi in turn: those of one shape must not be taken for each other
                for name, psi in psis.items():
                    _check_integers(tsu, psi, laws[name], n, f"{name}, {mode} mode")
    return f"{len(psis)} psi in {' and '.join(subject.modes)} mode, {_DRAWS:,} draws each"


def _check_integers(tsu: Tsu, psi: Psi, law: DraftLaw, n: int, where: str) -> None:
    draws = tsu.sample(psi, n)
    _check_form(draws, n)
    check_vocabulary(draws, psi)
    if draws.total != law.total:
        raise Violation(
            f"{where}: q handed over is wrong: total {draws.total} was reported, Z of F_hw(psi) is {law.total}"
        )
    for name, reported, exact in (
        ("weight", draws.weights, law.weight_of(draws.tokens)),
        ("spread", draws.spreads, law.spread_of(draws.tokens)),
    ):
        wrong = np.flatnonzero(reported != exact)
        if wrong.size:
            i = wrong[0]
            raise Violation(
                f"{where}: q handed over is wrong: {name} {reported[i]} was reported for token {draws.tokens[i]}, that "
                f"of F_hw(psi) is {exact[i]} ({wrong.size:,} of {n:,} draws)"
            )
    if n and not draws.weights.all():
        raise Violation(f"{where}: token {draws.tokens[draws.weights == 0][0]} came, which has probability 0")


def modes(subject: Subject) -> str:
    """Each weight mode gives the total of its law; a mode that the TSU lacks, or that no TSU has, is refused."""
    psi = cases.whole(subject.config)
    totals = {mode: subject.law(psi, mode).total for mode in subject.modes}
    for mode, total in totals.items():
        with subject.open(seed=5, mode=mode) as tsu:
            found = tsu.sample(psi, 1).total
        if found != total:
            taken = [other for other in totals if other != mode and totals[other] == found]
            hint = f", which is that of {taken[0]} mode: mode is ignored" if taken else ""
            raise Violation(f"a TSU opened in {mode} mode reports total {found} where Z is {total}{hint}")
    for mode in sorted({*MODES, "log"} - set(subject.modes)):
        try:
            tsu = subject.fresh(seed=5, mode=mode)
        except SpecError:
            continue
        tsu.close()
        raise Violation(f"mode = {mode!r} was accepted; SpecError was due")
    return " and ".join(subject.modes)


def cycles(subject: Subject) -> str:
    """`cycles` advances by at least a cycle for each draw of a lane, or stays 0 where it is not promised to count."""
    psi, lanes = cases.small(subject.config), subject.config.all_lanes
    with subject.open(seed=6) as tsu:
        before = tsu.cycles
        for n in (1, 100, 3000):
            tsu.sample(psi, n)
            after = tsu.cycles
            if not subject.capabilities.counts_cycles and (before or after):
                raise Violation(f"cycles = {after} after {n} draws, and counts_cycles is False; 0 was due")
            if subject.capabilities.counts_cycles and after - before < -(-n // lanes):
                raise Violation(
                    f"counts_cycles is True, and cycles advanced by {after - before:,} for {n:,} draws of {lanes} lanes"
                )
            before = after
    if not subject.capabilities.counts_cycles:
        return "0 throughout: counts_cycles is False"
    return f"{before:,} cycles for 3,101 draws"
