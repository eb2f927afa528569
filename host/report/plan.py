# SPDX-License-Identifier: Apache-2.0
"""Picture of planned token trees: expected tokens per target call against the node budget."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .figure import SERIES_COLOURS, check_plot, new_figure, save_figure


def plot_trees(
    path: Path, *, budgets: Sequence[int], tokens: Mapping[str, Sequence[float]], chain: Sequence[float], title: str
) -> None:
    """Draw into `path` (.png, .svg or .pdf, by its ending).

    Parameters
    ----------
    path : Path
    budgets : sequence of ints
        Node budgets, increasing.
    tokens : mapping of names to sequences of floats
        Expected tokens for each budget, by the name of a depth limit.
    chain : sequence of floats
        The same of the chain that spends the whole budget.
    title : str

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
        for index, (name, values) in enumerate(tokens.items()):
            axes.plot(
                budgets, values, "o-", color=SERIES_COLOURS[index % len(SERIES_COLOURS)], markersize=4, label=name
            )
        axes.plot(budgets, chain, "--", color="#777777", linewidth=1, label="chain")
        axes.set(xscale="log", xlabel="drafts of the tree", ylabel="expected tokens per target call")
        axes.set_xticks(budgets, [str(budget) for budget in budgets])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="upper left")
        axes.set_title(title, fontsize=9)
        save_figure(figure, path)
