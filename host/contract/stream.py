# SPDX-License-Identifier: Apache-2.0
"""How draws follow one another: seeds, calls of every size, another psi at each call, and the stream of the model."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from host import stats
from host.psi.schema import Psi
from host.tsu.base import Draws, Tsu
from host.tsu.model import ModelTsu

from . import cases
from .errors import NotApplicable, Violation
from .evidence import TEST_ALPHA
from .law import require_pairs
from .subject import Subject, check_vocabulary

SPLIT_DRAWS = 100_000
"""Draws in calls of many sizes."""

MATCH_DRAWS = 20_000
"""Draws of two seeds that are compared."""

_SHORTEST, _SHORT_CALLS = 3, 3000
_SIZES = (7, 64, 250, 1000)
_LONG = 200
_SHIFTS = range(-8, 9)
_SEEDS = (0, 1, 2, (1 << 32) + 1, (1 << 63) + 1, (1 << 64) - 1)
_SHORT = 500


def _tokens(tsu: Tsu, psi: Psi, n: int) -> npt.NDArray[np.uint32]:
    draws = tsu.sample(psi, n)
    if len(draws.tokens) != n:
        raise Violation(f"{len(draws.tokens):,} draws came where {n:,} were asked for")
    check_vocabulary(draws, psi)
    return draws.tokens


def seeds(subject: Subject) -> str:
    """The same seed gives the same stream, opened with it or reseeded; another seed, another stream."""
    if not subject.capabilities.reproducible:
        raise NotApplicable("reproducible is False: its stream cannot be started again")
    psi, streams = cases.largest(subject.config, tail=1.0), {}
    for seed in _SEEDS:
        with subject.open(seed=seed) as tsu:
            streams[seed] = _tokens(tsu, psi, _SHORT)
    for number, seed in enumerate(_SEEDS):
        for other in _SEEDS[:number]:
            if np.array_equal(streams[seed], streams[other]):
                raise Violation(
                    f"seed {seed} gives the draws of seed {other}: the seed, or a part of its bits, is ignored"
                )
    with subject.open(seed=_SEEDS[0]) as tsu:
        for number, seed in enumerate(_SEEDS):
            if number:
                tsu.reseed(seed)
            found = _tokens(tsu, psi, _SHORT)
            how = "after reseed" if number else "when opened again"
            if not np.array_equal(found, streams[seed]):
                first = int(np.flatnonzero(found != streams[seed])[0])
                raise Violation(f"seed {seed} gives other draws {how}, from draw {first} on")
            tsu.sample(psi, number)  # the next seed comes at another place of the stream
    _require_unrelated(subject)
    return f"{len(_SEEDS)} seeds up to 2^64 - 1, opened and reseeded; seeds 1 and 2 are unrelated"


def _require_unrelated(subject: Subject) -> None:
    """Streams of neighbouring seeds agree as often as independent draws do, at every shift up to 8."""
    psi, n = cases.small(subject.config), subject.draws(MATCH_DRAWS)
    with subject.open(seed=1) as tsu:
        one = _tokens(tsu, psi, n)
    with subject.open(seed=2) as tsu:
        two = _tokens(tsu, psi, n)
    agree = float(np.sum(subject.law(psi, subject.modes[0]).probabilities() ** 2))
    subject.tests += 1
    for shift in _SHIFTS:
        left, right = one[max(shift, 0) : n + min(shift, 0)], two[max(-shift, 0) : n - max(shift, 0)]
        matches = int(np.count_nonzero(left == right))
        if stats.binomial_p_value(matches, len(left), agree) < TEST_ALPHA / len(_SHIFTS):
            raise Violation(
                f"seeds 1 and 2 give related streams: shifted by {shift}, {matches:,} of {len(left):,} draws agree, "
                f"{agree * len(left):,.1f} were due"
            )


def batches(subject: Subject) -> str:
    """Calls continue one stream: odd sizes follow the law, repeat nothing, and where reproducible change no draw."""
    psi, n = cases.small(subject.config), subject.draws(SPLIT_DRAWS)
    sizes = _sizes(n)
    with subject.open(seed=21) as tsu:
        parts = [_tokens(tsu, psi, size) for size in sizes]
    long = [part for part in parts if len(part) >= _LONG]
    if any(np.array_equal(one[:_LONG], other[:_LONG]) for one, other in pairwise(long)):
        raise Violation(f"a call begins with the {_LONG} draws of the call before it: calls do not continue one stream")
    split = np.concatenate(parts)
    with subject.open(seed=21) as tsu:
        whole = _tokens(tsu, psi, n)
    wrong = np.flatnonzero(split != whole)
    if subject.capabilities.reproducible and wrong.size:
        i = int(wrong[0])
        raise Violation(
            f"reproducible is True, and draw {i} depends on how the stream is split into calls: token {split[i]} in "
            f"{len(sizes)} calls, {whole[i]} in one; {wrong.size:,} of {n:,} draws differ"
        )
    law = subject.law(psi, subject.modes[0]).probabilities()
    short = np.concatenate([part for part in parts if len(part) <= _SHORTEST])
    for what, tokens in ((f"{len(sizes)} calls", split), (f"calls of at most {_SHORTEST} draws", short)):
        counts = np.bincount(tokens, minlength=psi.vocab_size)
        subject.require_law(f"the draws of {what} do not follow F_hw(psi)", counts, law)
    require_pairs(subject, f"pairs of draws in {len(sizes)} calls do not follow q(a) q(b)", split, law)
    same = "the draws of one call" if not wrong.size else "not those of one call, but of the same law"
    return f"{n:,} draws in {len(sizes):,} calls: {same}"


def _sizes(n: int) -> list[int]:
    """Sizes of calls that make n draws: thousands of the shortest, and longer ones among them."""
    rng = np.random.default_rng(17)
    sizes = rng.integers(0, _SHORTEST + 1, min(_SHORT_CALLS, n // 4)).tolist()
    while sum(sizes) < n:
        sizes.append(min(int(rng.choice(_SIZES)), n - sum(sizes)))
    return [sizes[i] for i in rng.permutation(len(sizes))]


def switches(subject: Subject) -> str:
    """Another psi at each call: every draw is of the psi of its call, though psi come and go and differ in little."""
    vocab = subject.config.vocab_max
    k = min(3, subject.config.k_max, vocab // 2)
    rng = np.random.default_rng(18)
    before = None
    with subject.open(seed=22) as tsu:
        for call in range(150):
            base = int(rng.integers(vocab - k + 1))
            psi = cases.make_psi(range(base, base + k), rng.permutation([90, 50, 10][:k]), vocab_size=vocab)
            law = subject.law(psi, subject.modes[0])
            draws = tsu.sample(psi, int(rng.choice((1, 2, 5))))
            wrong = draws.tokens[~np.isin(draws.tokens, psi.ids)]
            if wrong.size:
                older = before is not None and wrong[0] in before.ids
                raise Violation(
                    f"call {call} returned token {wrong[0]}, to which its psi gives probability 0"
                    + (", and the psi of the call before does not" if older else "")
                )
            if draws.total != law.total or (draws.weights != law.weight_of(draws.tokens)).any():
                raise Violation(f"call {call} reports the integers of another psi than its own")
            before = psi
            del psi  # its object goes, and its id() may come again
    return "150 calls, each of another psi"


def bit_true(subject: Subject) -> str:
    """The stream of `model` of the same configuration and seed: psi in turn, odd sizes, reseeded, every weight mode."""
    if not subject.capabilities.bit_true:
        raise NotApplicable("bit_true is False")
    psis = [*cases.corners(subject.config).values(), cases.crowded(subject.config)]
    compared = 0
    for mode in subject.modes:
        streams = []
        with subject.open(seed=_SEEDS[-1], mode=mode) as tsu:
            if type(tsu) is ModelTsu:
                raise NotApplicable("this is the model itself: tests/unit/host/test_model_tsu.py compares it")
            streams.append(_tour(tsu, psis))
        with ModelTsu(config=subject.config, seed=_SEEDS[-1], mode=mode) as model:
            streams.append(_tour(model, psis))
        for mine, theirs in zip(*streams, strict=True):
            if (len(mine), mine.total) != (len(theirs), theirs.total):
                raise Violation(
                    f"bit_true is True, and total {mine.total} in {mode} mode is {theirs.total} in the model"
                )
            for name in ("tokens", "weights", "spreads"):
                wrong = np.flatnonzero(getattr(mine, name) != getattr(theirs, name))
                if wrong.size:
                    i = wrong[0]
                    raise Violation(
                        f"bit_true is True, and draw {compared + i} of {mode} mode differs from the model's: {name} "
                        f"{getattr(mine, name)[i]}, the model has {getattr(theirs, name)[i]}"
                    )
            compared += len(mine)
    return f"{compared:,} draws equal the model's"


def _tour(tsu: Tsu, psis: list[Psi]) -> list[Draws]:
    """Some draws of each psi, in calls of many sizes, reseeded on the way."""
    rng = np.random.default_rng(19)
    found = [tsu.sample(psis[i], int(rng.choice((1, 2, 5, 200)))) for i in rng.permutation(np.arange(90) % len(psis))]
    tsu.reseed(1)
    return found + [tsu.sample(psi, 33) for psi in psis]
