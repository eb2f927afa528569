# SPDX-License-Identifier: Apache-2.0
"""What all pictures share: formats, colours, size, and a file that appears whole or not at all."""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from host.telemetry.files import whole_file
from hw.spec.errors import SpecError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")
"""Formats of a picture."""

SERIES_COLOURS = ("#0072b2", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#56b4e9", "#222222")
"""One for each line; they come again where there are more."""

TARGET_COLOUR, EMITTED_COLOUR, DRAFT_COLOUR = "#222222", "#0072b2", "#d55e00"


def check_plot(path: Path) -> None:
    """Raise `SpecError` unless a picture can be drawn into `path`: its ending is known, and matplotlib is installed."""
    if path.suffix.lower() not in ENDINGS:
        raise SpecError("plot", path.name, "a name that ends in " + ", ".join(ENDINGS))
    if importlib.util.find_spec("matplotlib") is None:
        raise SpecError(
            "plot", path.name, "matplotlib to be installed: pip install 'thermo-speculative-decoding[report]'"
        )


@contextmanager
def new_figure(*, height: float) -> "Iterator[Figure]":
    """An empty figure 9 inches wide and `height` inches high, in the style of all pictures."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        yield Figure(figsize=(9, height), dpi=130, layout="constrained")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write the figure in the format of the path's ending. Raises OutputError where that fails."""
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:].lower())
