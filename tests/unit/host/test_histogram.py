# SPDX-License-Identifier: Apache-2.0
"""The picture's bins partition the ranks."""

from pathlib import Path

import numpy as np
import pytest

from host.psi.law import DraftLaw
from host.report.figure import check_plot
from host.report.histogram import LINEAR_POINTS, plot_run, rank_bins
from host.telemetry.summary import Tally, summarise
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


def test_picture_of_a_run_without_steps(tmp_path: Path) -> None:
    """Interrupted before the first batch: there is still a target to draw."""
    pytest.importorskip("matplotlib")
    law = DraftLaw(
        ids=np.array([1], dtype=np.uint32), weights=np.array([5], dtype=np.uint64), tail_weight=4, vocab_size=3
    )
    p, tally = np.array([0.2, 0.5, 0.3]), Tally(3)
    facts = {"backend": "model", "vocab_size": 3, "k": 1}
    summary = summarise(tally, p=p, law=law, psi_bytes=20, complete=False, facts=facts)
    plot_run(tmp_path / "a.png", p=p, law=law, tally=tally, summary=summary)
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_unknown_ending() -> None:
    with pytest.raises(SpecError, match=r"plot = 'a\.doc'"):
        check_plot(Path("a.doc"))
