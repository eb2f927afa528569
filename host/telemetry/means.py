# SPDX-License-Identifier: Apache-2.0
"""Means of a run with confidence intervals: the rows of summary.csv.

The intervals take steps as independent. In texts they are so given the contexts; where contexts repeat themselves along
a text, the mean over contexts varies more than its interval says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from host import stats

from .summary import CONFIDENCE


@dataclass(frozen=True, kw_only=True)
class MeanRow:
    """One figure, a row of summary.csv.

    Parameters
    ----------
    name, unit : str
    mean, low, high : float or None
        Mean over steps and its interval; None where it is infinite, or there were no steps.
    confidence : float
    steps : int
    interval : str
        "Clopper-Pearson" or "normal".
    """

    name: str
    unit: str
    mean: float | None
    low: float | None
    high: float | None
    confidence: float
    steps: int
    interval: str


def share_row(name: str, successes: int, trials: int) -> MeanRow:
    """A share of steps with its Clopper-Pearson interval."""
    low, high = stats.binomial_interval(successes, trials, CONFIDENCE)
    mean = successes / trials if trials else None
    return MeanRow(
        name=name, unit="", mean=mean, low=low, high=high, confidence=CONFIDENCE, steps=trials,
        interval="Clopper-Pearson",
    )  # fmt: skip


def mean_row(name: str, unit: str, values: Sequence[float | None], steps: npt.NDArray[np.int64]) -> MeanRow:
    """Mean of a figure that has values[i] in steps[i] steps; normal interval from the variance over steps.

    Parameters
    ----------
    values : sequence of n floats
        None stands for an infinite one.
    steps : int64 ndarray of shape (n,)
    """
    seen = [(value, int(count)) for value, count in zip(values, steps, strict=True) if count]
    total = sum(count for _, count in seen)
    known = [(value, count) for value, count in seen if value is not None and math.isfinite(value)]
    mean = low = high = None
    if seen and len(known) == len(seen):
        numbers, counts = np.array([value for value, _ in known]), np.array([count for _, count in known])
        mean = float(np.dot(numbers, counts) / total)
        deviation = math.sqrt(float(np.dot((numbers - mean) ** 2, counts)) / max(total - 1, 1) / total)
        half = float(special.ndtri((1 + CONFIDENCE) / 2)) * deviation
        low, high = mean - half, mean + half
    return MeanRow(
        name=name, unit=unit, mean=mean, low=low, high=high, confidence=CONFIDENCE, steps=total, interval="normal"
    )
