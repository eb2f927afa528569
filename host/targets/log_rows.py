# SPDX-License-Identifier: Apache-2.0
"""Logits of a language model as rows ln p, in float64."""

import math

import numpy as np
import numpy.typing as npt
import torch

from hw.spec.errors import SpecError

from .base import LogProbs


def check_temperature(temperature: float) -> float:
    """Return it as a float, or raise `SpecError` unless it is finite and above 0."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise SpecError("temperature", temperature, "a finite number > 0")
    return float(temperature)


def log_rows(logits: torch.Tensor, temperature: float) -> LogProbs:
    """log softmax(logits / temperature) in float64 of logits (n, vocab_size); the result is read-only."""
    rows: LogProbs = torch.log_softmax(_tempered(logits, temperature), dim=-1).numpy()
    rows.setflags(write=False)
    return rows


def _tempered(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """logits / temperature in float64, in memory of its own."""
    return logits.to(torch.float64, copy=True).div_(temperature)


class LogRows:
    """Rows by number, of a context or a node; one is worked out when it is asked for: that of a refused draft never is.

    Parameters
    ----------
    temperature : float
    """

    def __init__(self, temperature: float) -> None:
        self._temperature = temperature
        self._logits: dict[int, torch.Tensor] = {}
        self._rows: dict[int, LogProbs] = {}

    def put(self, number: int, logits: torch.Tensor) -> None:
        """Logits of shape (vocab_size,)."""
        self._logits[number] = logits
        self._rows.pop(number, None)

    def logits(self, number: int) -> torch.Tensor:
        """What was put."""
        return self._logits[number]

    def __contains__(self, number: int) -> bool:
        return number in self._logits

    def __getitem__(self, number: int) -> LogProbs:
        """ln p, read-only float64 of shape (1, vocab_size)."""
        if number not in self._rows:
            self._rows[number] = log_rows(self._logits[number][None], self._temperature)
        return self._rows[number]

    def p(self, number: int) -> npt.NDArray[np.float64]:
        """softmax(logits / temperature) in float64, of shape (vocab_size,); see `host.targets.block.Rows`."""
        p: npt.NDArray[np.float64] = torch.softmax(_tempered(self._logits[number], self._temperature), dim=-1).numpy()
        return p

    def forget(self, longest: int) -> None:
        """Drop the rows of larger numbers than this."""
        self._logits = {number: row for number, row in self._logits.items() if number <= longest}
        self._rows = {number: row for number, row in self._rows.items() if number <= longest}
