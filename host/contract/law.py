# SPDX-License-Identifier: Apache-2.0
"""What a TSU draws: the law that it reports, token by token, in the tail, for rare tokens, from draw to draw."""

import math
from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi
from host.soundness import POWER

from . import cases
from .errors import NotApplicable, Violation
from .evidence import TEST_ALPHA, LawTest, RateTest, draws_for_rate
from .subject import Subject, histogram, in_batches

LAW_DRAWS = 10_000_000
"""Draws of one psi where its law is tested."""

PAIR_DRAWS = 4_000_000
"""Draws whose pairs are tested."""

RARE_FACTOR = 0.5
"""A rare token that comes half as often as is due is seen with power 0.99."""

_RARE_MOST = 1 << 28
_RARE_SLACK = 0.1
_RARE_LARGEST_Q = 2.0**-23
_RANGES = 256


def _seen(tests: list[LawTest], draws: int, what: str = "draws") -> str:
    most = max(test.detectable_tv for test in tests)
    return f"{len(tests)} x {draws:,} {what}; a total variation of {most:.2g} is seen with probability {POWER}"


def _require_psi(subject: Subject, psi: Psi, mode: str, seed: int, where: str) -> LawTest:
    with subject.open(seed=seed, mode=mode) as tsu:
        counts = histogram(tsu, psi, subject.draws(LAW_DRAWS))
    return subject.require_law(f"{where} in {mode} mode", counts, subject.law(psi, mode).probabilities())


def law(subject: Subject) -> str:
    """Draws follow F_hw(psi): few ids with a tail, and K = V = k_max, a cell for every token, in every weight mode."""
    psis = {"few ids": cases.small(subject.config), "K = V": cases.whole(subject.config)}
    tests = [
        _require_psi(subject, psi, mode, 110 + number, f"the draws do not follow F_hw(psi): {name}")
        for number, (mode, (name, psi)) in enumerate(product(subject.modes, psis.items()))
    ]
    return _seen(tests, subject.draws(LAW_DRAWS))


def corners(subject: Subject) -> str:
    """The smallest psi: the only token always, K = V, K = 1 with a tail, a single tail token."""
    with subject.open(seed=12) as tsu:
        draws = tsu.sample(cases.one_token(), 1000)
        if draws.tokens.any() or (draws.weights != draws.total).any():
            raise Violation("V = 1: another token than 0 came, or its q is not 1")
    psis = {
        "K = V": cases.all_ids(subject.config),
        "K = 1": cases.one_id(subject.config),
        "V = K + 1": cases.one_tail_token(subject.config),
    }
    tests = [
        _require_psi(subject, psi, subject.modes[0], 121 + number, f"the draws do not follow F_hw(psi): {name}")
        for number, (name, psi) in enumerate(psis.items())
    ]
    return _seen(tests, subject.draws(LAW_DRAWS))


def reported_q(subject: Subject) -> str:
    """The q handed over is the q sampled: counts against what the draws themselves report, and nothing else."""
    psi, n = cases.small(subject.config), subject.draws(LAW_DRAWS)
    counts = np.zeros(psi.vocab_size, dtype=np.int64)
    weights, shares = np.zeros(psi.vocab_size, dtype=np.uint64), np.zeros(psi.vocab_size, dtype=np.uint64)
    with subject.open(seed=13) as tsu:
        for draws in in_batches(tsu, psi, n):
            fresh = counts == 0
            counts += np.bincount(draws.tokens, minlength=psi.vocab_size)
            share = draws.spreads.astype(np.uint64) * np.uint64(draws.total)
            for known, column in ((weights, draws.weights), (shares, share)):
                known[draws.tokens] = np.where(fresh[draws.tokens], column, known[draws.tokens])
                wrong = np.flatnonzero(known[draws.tokens] != column)
                if wrong.size:
                    raise Violation(f"token {draws.tokens[wrong[0]]} was reported with one q and later with another")
    came = np.flatnonzero(counts)
    if not shares[came].all():
        raise Violation(f"token {came[shares[came] == 0][0]} was reported with spread or total 0")
    claimed = [Fraction(int(weights[token]), int(shares[token])) for token in came]
    if sum(claimed) > 1:
        raise Violation(f"the q reported for the tokens that came add up to {float(sum(claimed)):.6g}")
    q = np.zeros(psi.vocab_size + 1)
    q[came] = [float(value) for value in claimed]
    q[-1] = float(1 - sum(claimed))  # of all tokens that never came
    return _seen([subject.require_law("q handed over is not the q sampled", np.append(counts, 0), q)], n)


def tail(subject: Subject) -> str:
    """Tail tokens are uniform over V - K: one by one around crowded ids, and by range and low bits at the largest V."""
    near, far = cases.crowded(subject.config), cases.largest(subject.config)
    if near.spread < 2:
        raise NotApplicable(f"no psi has two tail tokens: vocab_max = {subject.config.vocab_max}")
    n, others = subject.draws(LAW_DRAWS), np.setdiff1d(np.arange(near.vocab_size), near.ids)
    with subject.open(seed=14) as tsu:
        counts = histogram(tsu, near, n)[others]
        tests = [
            subject.require_law(
                "the tail is not uniform",
                counts,
                np.full(near.spread, 1 / near.spread),
                cell=lambda i: f"tail token {others[i]}",
            )
        ]
        size = -(-far.spread // _RANGES)
        ranges, residues = np.zeros(_RANGES, dtype=np.int64), np.zeros(_RANGES, dtype=np.int64)
        for draws in in_batches(tsu, far, n):
            tokens = draws.tokens[~np.isin(draws.tokens, far.ids)].astype(np.int64)
            rank = tokens - np.searchsorted(far.ids, tokens)
            ranges += np.bincount(rank // size, minlength=_RANGES)
            residues += np.bincount(rank % _RANGES, minlength=_RANGES)
    number = np.arange(far.spread)
    for name, found, cell in (
        (f"range of {size:,} tokens, number", ranges, number // size),
        ("rank with low byte", residues, number % _RANGES),
    ):
        due = np.bincount(cell, minlength=_RANGES) / far.spread
        tests.append(
            subject.require_law(
                f"the tail of V = {far.vocab_size} is not uniform", found, due, cell=partial("{} {}".format, name)
            )
        )
    return _seen(tests, n)


def rare_events(subject: Subject) -> str:
    """Ids of q = 2^-24 come at their rate."""
    psi = cases.rare(subject.config)
    notes = []
    for number, mode in enumerate(subject.modes):
        exact = subject.law(psi, mode).probabilities()
        best = int(exact.argmax())
        others = np.delete(exact, best)
        if not others.size or others.max() > _RARE_LARGEST_Q:
            raise NotApplicable(f"no token of this TSU is as rare as 2^{cases.RARE_LOG2}")
        rate = float(others.sum())
        slack = min(subject.capabilities.bound, _RARE_SLACK * rate)
        n = subject.draws(min(draws_for_rate(rate, RARE_FACTOR, slack=slack), _RARE_MOST))
        test = RateTest(draws=n, rate=rate, slack=slack)
        if test.power(0.0) < 1.0:
            raise NotApplicable(
                f"{n:,} draws do not tell a rare token that never comes: {math.log(2 / TEST_ALPHA) / rate:,.0f} would"
            )
        hits = 0
        with subject.open(seed=150 + number, mode=mode) as tsu:
            for draws in in_batches(tsu, psi, n):
                hits += int(np.count_nonzero(draws.tokens != best))
        subject.tests += 1
        if test.p_value(hits) < TEST_ALPHA:
            raise Violation(
                f"rare tokens come at the wrong rate: {len(others)} ids of q = {others.mean():.3g} came {hits} times "
                f"in {n:,} draws, {n * rate:.1f} were due (p = {test.p_value(hits):.2g}), {mode} mode"
            )
        notes.append(f"{hits} of {n * rate:.1f} due ({mode})")
    low, high = test.factor_seen(above=False), test.factor_seen(above=True)
    return f"{', '.join(notes)}: below {low:.2f} or above {high:.2f} times the rate is seen with probability {POWER}"


def independence(subject: Subject) -> str:
    """Two draws, one after the other or one round of lanes apart, are independent."""
    psi, n = cases.small(subject.config), subject.draws(PAIR_DRAWS)
    with subject.open(seed=16) as tsu:
        tokens = np.concatenate([draws.tokens for draws in in_batches(tsu, psi, n)])
    single = subject.law(psi, subject.modes[0]).probabilities()
    tests = []
    for lag in sorted({1, subject.config.all_lanes}):
        what = f"pairs of draws that are {lag} apart do not follow q(a) q(b)"
        tests.append(require_pairs(subject, what, tokens, single, lag))
    return _seen(tests, n // 2, "pairs")


def require_pairs(
    subject: Subject, what: str, tokens: npt.NDArray[np.uint32], single: npt.NDArray[np.float64], lag: int = 1
) -> LawTest:
    """Test the pairs (i, i + lag), each draw in one of them, against the product law."""
    rows = tokens[: len(tokens) // (2 * lag) * (2 * lag)].reshape(-1, 2, lag).astype(np.int64)
    vocab = len(single)
    pairs = np.bincount((rows[:, 0] * vocab + rows[:, 1]).ravel(), minlength=vocab**2)
    return subject.require_law(
        what, pairs, np.outer(single, single).ravel(), cell=lambda i: f"token {i // vocab} before token {i % vocab}"
    )
