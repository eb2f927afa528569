# SPDX-License-Identifier: Apache-2.0
"""Picture of Gibbs sampling from chains: total variation from the exact joint against sweeps."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .figure import SERIES_COLOURS, check_plot, new_figure, save_figure

if TYPE_CHECKING:
    from host.chain.study import Mixing, Study


def plot_mixing(path: Path, *, study: "Study", found: "Sequence[Mixing]", unit: str) -> None:
    """Draw into `path` (.png, .svg or .pdf, by its ending).

    Lines are the law of Gibbs draws, computed; dots the draws of thrml; the dotted lines as many exact draws. `unit`
    says what couplings of strength 1 are.

    Raises
    ------
    SpecError
        The ending is unknown, or matplotlib is not installed.
    OutputError
        The file cannot be written.
    """
    check_plot(path)
    with new_figure(height=4.2) as figure:
        axes = figure.subplots()
        for index, mixing in enumerate(found):
            colour = SERIES_COLOURS[index % len(SERIES_COLOURS)]
            sweeps = [point.sweeps for point in mixing.points]
            label = f"{mixing.strength:g} x {unit}"
            axes.plot(sweeps, [max(point.law, 1e-9) for point in mixing.points], color=colour, label=label)
            axes.plot(sweeps, [point.measured for point in mixing.points], "o", color=colour, markersize=4)
            axes.axhline(mixing.exact, color=colour, linestyle=":", linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel="sweeps", ylabel="total variation from the exact joint")
        axes.set_ylim(3e-4, 1.2)
        axes.set_xticks([point.sweeps for point in found[0].points], [str(point.sweeps) for point in found[0].points])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="lower left")
        axes.set_title(
            f"Gibbs sampling of a chain, L = {study.unit.length}, K = {study.unit.k}. Lines: its law. "
            f"Dots: {study.chains} draws of thrml. Dotted: as many exact draws.",
            fontsize=9,
        )
        save_figure(figure, path)
