# SPDX-License-Identifier: Apache-2.0
"""The picture's bins partition the ranks."""

from pathlib import Path

import numpy as np
import pytest

from host.report.histogram import LINEAR_POINTS, check_plot, rank_bins
from hw.spec.errors import SpecError


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("samples", [0, 5000, 10**7])
@pytest.mark.parametrize("vocab_size", [1, 2, 49, 50, 51, 999, 1000, 1001, 50_000, 2**20])
def test_bins_partition_the_ranks(vocab_size: int, samples: int, log: bool) -> None:
    """First rank 0, last edge V, no empty bin, few enough points to draw, widths that never shrink but for the last."""
    edges = rank_bins(vocab_size, samples, log=log)
    width = np.diff(edges)
    assert edges[0] == 0
    assert edges[-1] == vocab_size
    assert width.min() >= 1
    assert len(width) <= LINEAR_POINTS[1]
    assert np.all(np.diff(width[:-1]) >= 0)
    if vocab_size <= 50:
        assert width.max() == 1


def test_log_bins_are_single_ranks_at_the_head() -> None:
    """The first 100 ranks stand alone; beyond, a bin spans at most 2 % of its rank."""
    edges = rank_bins(50_000, 10**6, log=True)
    assert edges[:101].tolist() == list(range(101))
    assert np.all(np.diff(edges)[100:] <= 0.02 * edges[100:-1])


def test_unknown_ending() -> None:
    with pytest.raises(SpecError, match=r"plot = 'a\.doc'"):
        check_plot(Path("a.doc"))
