# SPDX-License-Identifier: Apache-2.0
"""Picture of a training run: held-out figures and the loss against the steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from host.telemetry.files import whole_file
from hw.spec.errors import SpecError

from .figure import check_plot

NOT_FIGURES = ("step", "loss", "rate", "cpu_s", "score")
"""Members of a row that are no held-out figure."""


def plot_learning(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw the rows of a learning log into `path` (.png, .svg or .pdf, by its ending): a panel for each figure.

    Parameters
    ----------
    path : Path
    rows : sequence of mappings
        As `host.train.log.read_rows` gives them, at least one.

    Raises
    ------
    SpecError
        There are no rows, the ending is unknown, or matplotlib is not installed.
    OutputError
        The file cannot be written.
    """
    check_plot(path)
    if not rows:
        raise SpecError("rows", len(rows), "at least one measurement")
    from matplotlib.figure import Figure  # takes a second: only when a picture is asked for

    names = ["loss", *(name for name in rows[0] if name not in NOT_FIGURES)]
    figure = Figure(figsize=(3.6 * len(names), 3.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot([row["step"] for row in rows], [row[name] for row in rows], "o-", markersize=3, color="#0072b2")
        axes.set_xlabel("steps")
        axes.set_title("training loss" if name == "loss" else f"held-out {name}", fontsize=10)
        axes.grid(alpha=0.3)
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower(), dpi=120)
