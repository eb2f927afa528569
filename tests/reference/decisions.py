# SPDX-License-Identifier: Apache-2.0
"""Every outcome of a verifier's decision for given drafts, with its probability, by running `decide` alone."""

from collections.abc import Callable, Iterator

import numpy as np

from host.verify.siblings import SiblingVerifier

LAST = 1 - 2.0**-53
"""Largest uniform number: it refuses whatever can be refused."""


def pieces(label: Callable[[float], object]) -> list[tuple[object, float, float]]:
    """Label, beginning and length of the intervals of [0, 1) on which `label` is constant; each label has one."""
    found, start = [], 0.0
    while start < 1.0:
        here, low, high = label(start), start, 1.0
        if label(LAST) == here:
            return [*found, (here, start, 1.0 - start)]
        while (middle := (low + high) / 2) not in (low, high):
            low, high = (middle, high) if label(middle) == here else (low, middle)
        found.append((here, start, high - start))
        start = high
    return found


def decisions(verifier: SiblingVerifier, drafts: tuple[int, ...]) -> Iterator[tuple[int, int | None, float]]:
    """(token, place, probability) of each outcome for these drafts."""

    def run(*numbers: float):
        return verifier.decide(drafts, np.array(numbers))

    if verifier.method == "race" and verifier.drafts > 1:
        for place, u, share in pieces(lambda u: run(u, 0.0, 0.0).accepted):
            passes = sum(
                part
                for passed, _, part in pieces(lambda d, u=u, place=place: run(u, d, 0.0).accepted == place)
                if passed
            )
            yield drafts[place], place, share * passes
            for token, _, piece in pieces(lambda v, u=u: run(u, LAST, v).token) if passes < 1 else []:
                yield token, None, share * (1 - passes) * piece
        return
    still = 1.0
    for i, draft in enumerate(drafts):
        before, after = [LAST] * i, [0.0] * (len(drafts) - i)
        label = lambda u, i=i, before=before, after=after: run(*before, u, *after).accepted == i  # noqa: E731
        passes = sum(part for passed, _, part in pieces(label) if passed)
        yield draft, i, still * passes
        still *= 1 - passes
        if still == 0:
            return
    for token, _, piece in pieces(lambda v: run(*[LAST] * len(drafts), v).token):
        yield token, None, still * piece
