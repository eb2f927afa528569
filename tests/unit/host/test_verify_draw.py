# SPDX-License-Identifier: Apache-2.0
"""Inversion of cumulated masses: the token is the one whose interval holds u, whatever the number of blocks."""

from fractions import Fraction

import numpy as np
import pytest

from host.verify import draw
from host.verify.draw import BLOCK, draw_index, draw_token
from host.verify.single import draw_from
from hw.spec.errors import SpecError

LAST = 1 - 2.0**-53


@pytest.mark.parametrize("size", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7])
def test_index_is_that_of_the_scalar_reference(size: int) -> None:
    """Masses are multiples of 2^-20, so that every sum is exact and ends of intervals are hit."""
    rng = np.random.default_rng(size)
    counts = rng.multinomial(1 << 20, rng.dirichlet(np.full(size, 0.2)))
    masses, exact = counts / 2**20, [Fraction(int(count), 1 << 20) for count in counts]
    ends = np.cumsum(counts)[rng.integers(0, size, 40)] / 2**20
    for u in (0.0, LAST, *rng.random(60), *ends[ends < 1], *np.maximum(ends - 2.0**-53, 0.0)):
        index = draw_index(masses, float(u))
        assert index == draw_from(exact, Fraction(float(u)))
        assert counts[index] > 0


def test_reference_sees_sums_of_blocks_that_begin_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded bug: what is below a block is taken without the first block."""
    masses, whole = np.full(4 * BLOCK, 1 / (4 * BLOCK)), draw._first_above

    def late(cumulative: np.ndarray, threshold: float, part: np.ndarray) -> int:
        return whole(cumulative - (cumulative[0] if len(part) == 4 else 0.0), threshold, part)

    monkeypatch.setattr(draw, "_first_above", late)
    wrong = [draw_index(masses, u) != int(u * 4 * BLOCK) for u in np.linspace(0, 0.99, 50)]
    assert sum(wrong) > 10


def test_masses_of_zero_at_the_end_are_not_drawn() -> None:
    for size in (5, 3 * BLOCK):
        masses = np.zeros(size)
        masses[2] = 0.3
        for u in (0.0, 0.5, LAST):
            assert draw_index(masses, u) == 2


def test_frequencies_are_the_masses() -> None:
    """Of evenly spread u, every token gets its share to one step."""
    p = np.random.default_rng(1).dirichlet(np.ones(2 * BLOCK + 3))
    steps = 20_000
    counts = np.bincount([draw_token(p, (i + 0.5) / steps) for i in range(steps)], minlength=len(p))
    assert np.abs(counts - p * steps).max() <= 1 + 1e-6


@pytest.mark.parametrize("u", [1.0, -1e-9, float("nan")])
def test_numbers_outside_their_range_are_refused(u: float) -> None:
    with pytest.raises(SpecError, match=r"^u = "):
        draw_index(np.ones(3), u)


@pytest.mark.parametrize("entry", [float("nan"), float("inf"), -0.5])
def test_targets_that_are_no_distributions_are_refused(entry: float) -> None:
    with pytest.raises(SpecError, match=r"^p = "):
        draw_token(np.array([0.5, entry, 0.5]), 0.5)
