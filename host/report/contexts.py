# SPDX-License-Identifier: Apache-2.0
"""Picture of a run over contexts: acceptance against overlap, residuals, and how p-values are spread."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from host.context_soundness import CONTEXT_ALPHA
from host.telemetry.contexts import ContextRow
from host.telemetry.summary import Summary

from .figure import DRAFT_COLOUR, EMITTED_COLOUR, TARGET_COLOUR, new_figure, save_figure

BAND_Z = 3.0
"""Half width of the binomial error band, in standard deviations."""


def plot_contexts(path: Path, *, rows: Sequence[ContextRow], summary: Summary) -> None:
    """Draw the picture of a run into `path` (.png, .svg or .pdf, by its ending).

    Upper panel: contexts by ascending overlap; the overlap with a band of 3 binomial standard deviations of that
    context's steps, and the measured acceptance. Lower left: (accepted - expected) / standard deviation. Lower right:
    p-values of the emitted tokens of each context with enough steps to test, sorted, against the ones that are due when
    nothing is biased.

    Raises
    ------
    OutputError
        The file cannot be written.
    """
    ordered = sorted(rows, key=lambda row: row.overlap)
    overlap, rate, steps = (
        np.array([getattr(row, name) for row in ordered], dtype=np.float64)
        for name in ("overlap", "accept_rate", "steps")
    )
    sigma = np.sqrt(overlap * (1 - overlap) / steps)
    rank = np.arange(1, len(ordered) + 1)
    size = 20 if len(ordered) <= 60 else 6
    with new_figure(height=6.5) as figure:
        grid = figure.add_gridspec(2, 2, height_ratios=(3, 2))
        upper, left, right = (
            figure.add_subplot(grid[0, :]),
            figure.add_subplot(grid[1, 0]),
            figure.add_subplot(grid[1, 1]),
        )
        low, high = overlap - BAND_Z * sigma, overlap + BAND_Z * sigma
        label = f"overlap ± {BAND_Z:g} binomial standard deviations"
        upper.fill_between(rank, low.clip(0), high.clip(max=1), color=TARGET_COLOUR, alpha=0.16, lw=0, label=label)
        upper.plot(rank, overlap, color=TARGET_COLOUR, lw=1.1, label="overlap of target and draft law")
        upper.scatter(rank, rate, s=size, color=EMITTED_COLOUR, lw=0, alpha=0.85, label="measured acceptance", zorder=3)
        upper.set(xlabel="context, by ascending overlap", ylabel="acceptance")
        upper.legend(frameon=False, loc="best")
        upper.set_title(_title(summary.values), loc="left", fontsize=9.5)

        certain = sigma > 0
        score = (rate[certain] - overlap[certain]) / sigma[certain]
        left.axhspan(-BAND_Z, BAND_Z, color=TARGET_COLOUR, alpha=0.08, lw=0)
        left.axhline(0, color=TARGET_COLOUR, lw=0.8)
        left.scatter(steps[certain], score, s=size, color=EMITTED_COLOUR, lw=0, alpha=0.85)
        extent = max(4.5, 1.1 * float(np.abs(score).max())) if len(score) else 4.5
        left.set(xscale="log", xlabel="steps at the context", ylabel="residual (standard dev.)", ylim=(-extent, extent))

        p_values = np.sort([row.emitted_p_value for row in rows if row.emitted_p_value is not None])
        due = (np.arange(len(p_values)) + 0.5) / max(len(p_values), 1)
        right.plot([0.5 / max(len(p_values), 1), 1], [0.5 / max(len(p_values), 1), 1], color=TARGET_COLOUR, lw=0.8)
        right.scatter(due, p_values.clip(1e-30), s=size, color=DRAFT_COLOUR, lw=0, alpha=0.85)
        right.set(xscale="log", yscale="log", xlabel="due, when nothing is biased", ylabel="p-value of emitted tokens")
        save_figure(figure, path)


def _title(values: dict[str, object]) -> str:
    verdict = "sound" if values["sound"] else f"NOT SOUND at alpha = {CONTEXT_ALPHA:.2g} per test"
    if not values["complete"]:
        verdict += ", interrupted"
    return (
        f"backend {values['backend']}, {values['target']}, V = {values['vocab_size']}, K = {values['k']}, "
        f"{values['steps']:,} tokens at {values['contexts']:,} contexts: {verdict}\n"
        f"accepted {values['accept_rate'] or 0:.4f} (overlap {values['overlap'] or 0:.4f}), "
        f"chi-squared p = {values['p_value']:.3g}, worst context {values['worst_p_value']:.3g}, "
        f"psi {values['psi_bytes_mean'] or 0:.0f} bytes"
    )
