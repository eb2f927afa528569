# SPDX-License-Identifier: Apache-2.0
"""Picture of a run: target against emitted histogram, drafts, and standardised residuals."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from host import stats
from host.psi.law import DraftLaw
from host.soundness import TEST_ALPHA
from host.telemetry.summary import Summary, Tally

from .figure import DRAFT_COLOUR, EMITTED_COLOUR, TARGET_COLOUR, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BAND_Z = 3.0
"""Half width of the binomial error band, in standard deviations."""

LINEAR_POINTS = (50, 1000)
"""Fewest and most bins on a linear axis, where the vocabulary has as many: equal runs of ranks."""

COUNTS_PER_POINT = 25
"""Between those limits, a bin on a linear axis holds about this many samples."""

LOG_STEP = 0.02
"""On a log axis, a bin spans this fraction of its rank, at least one rank."""

FEW_POINTS = 60
"""Up to this many bins, dots are drawn larger."""

LINEAR_RATIO = 30.0
"""Log axes are used when the largest p exceeds the median p by more than this."""


def rank_bins(vocab_size: int, samples: int, *, log: bool) -> npt.NDArray[np.intp]:
    """First rank (from 0) of each bin, and `vocab_size`: equal bins, or bins that widen with the rank."""
    if not log:
        low, high = LINEAR_POINTS
        width = -(-vocab_size // min(max(samples // COUNTS_PER_POINT, low), high))
        return np.append(np.arange(0, vocab_size, width), vocab_size)
    edges = [0]
    while edges[-1] < vocab_size:
        edges.append(min(edges[-1] + max(1, int(LOG_STEP * edges[-1])), vocab_size))
    return np.array(edges, dtype=np.intp)


def plot_run(path: Path, *, p: npt.NDArray[np.float64], law: DraftLaw, tally: Tally, summary: Summary) -> None:
    """Draw the picture of a run into `path` (.png, .svg or .pdf, by its ending).

    Upper panel: tokens by descending target probability; the target with a band of 3 binomial standard deviations,
    the emitted and the draft frequencies, each averaged per token within a bin. Lower panel: (observed - expected) /
    standard deviation of every bin whose expected count is at least 5.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    from matplotlib.ticker import MaxNLocator

    order = np.argsort(-p, kind="stable")
    log = bool(p.max() > LINEAR_RATIO * np.median(p)) and len(p) > 1
    edges = rank_bins(len(p), tally.steps, log=log)
    width = np.diff(edges)
    n = max(tally.steps, 1)
    target, emitted, drafts, q = (
        np.add.reduceat(values[order].astype(np.float64), edges[:-1])
        for values in (p, tally.emitted, tally.drafts, law.probabilities())
    )
    rank = (edges[:-1] + 1 + edges[1:]) / 2
    scale = 1 if len(rank) > FEW_POINTS else 4
    sigma = np.sqrt(target * (1 - target).clip(0) / n)
    values = summary.values

    with new_figure(height=6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        floor = 0.3 / n / width.max() if log else 0.0
        low, high = ((target + sign * BAND_Z * sigma) / width for sign in (-1, 1))
        upper.fill_between(
            rank, low.clip(floor), high, color=TARGET_COLOUR, alpha=0.16, lw=0, step="mid",
            label=f"target ± {BAND_Z:g} binomial standard deviations",
        )  # fmt: skip
        upper.step(rank, target / width, where="mid", color=TARGET_COLOUR, lw=1.1, label="target p")
        upper.step(rank, q / width, where="mid", color=DRAFT_COLOUR, lw=0.9, ls="--", label="draft law q = F_hw(psi)")
        _dots(upper, rank, drafts / n / width, DRAFT_COLOUR, "drafts from the TSU", size=5 * scale)
        _dots(upper, rank, emitted / n / width, EMITTED_COLOUR, "emitted after verification", size=8 * scale)
        if log:
            upper.set(xscale="log", yscale="log")
            positive = target[target > 0] / width[target > 0]
            upper.set_ylim(bottom=max(positive.min() / 5, 0.5 / n / width.max()))
        else:
            upper.set_ylim(bottom=0)
        upper.set_ylabel("probability per token")
        upper.legend(frameon=False, loc="best")
        upper.set_title(_title(values), loc="left", fontsize=9.5)

        shown = (n * target >= stats.MIN_EXPECTED) & (sigma > 0)
        score = (emitted[shown] / n - target[shown]) / sigma[shown]
        lower.axhspan(-BAND_Z, BAND_Z, color=TARGET_COLOUR, alpha=0.08, lw=0)
        lower.axhline(0, color=TARGET_COLOUR, lw=0.8)
        _dots(lower, rank[shown], score, EMITTED_COLOUR, None, size=8 * scale)
        extent = max(4.5, 1.1 * float(np.abs(score).max())) if len(score) else 4.5
        lower.set(ylim=(-extent, extent), ylabel="residual\n(standard dev.)")
        lower.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        if not log:
            lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        unit = "token" if width.max() == 1 else "token (binned)"
        lower.set_xlabel(f"rank of the {unit} by target probability")
        save_figure(figure, path)


def _dots(
    axes: "Axes", x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], colour: str, label: str | None, *, size: float
) -> None:
    axes.scatter(x, y, s=size, color=colour, lw=0, alpha=0.85, label=label, zorder=3)


def _title(values: dict[str, object]) -> str:
    verdict = "sound" if values["sound"] else f"NOT SOUND at alpha = {TEST_ALPHA:.2g} per test"
    if not values["complete"]:
        verdict += ", interrupted"
    return (
        f"backend {values['backend']}, V = {values['vocab_size']}, K = {values['k']}, {values['steps']:,} steps: "
        f"{verdict}\n"
        f"accepted {values['accept_rate'] or 0:.4f} (overlap {values['overlap']:.4f}), "
        f"chi-squared {values['chi2_stat'] or 0:.1f} on {values['chi2_dof']} degrees, p = {values['p_value']:.3g}, "
        f"psi {values['psi_bytes_mean']:.0f} bytes"
    )
