# SPDX-License-Identifier: Apache-2.0
"""The law of a program that draws at random, by taking every branch of it: no sampling, no statistics.

The program asks `Choices.take(masses)` wherever it would draw. It is run again and again, each time down another
branch, until there is none left; an outcome's probability is the sum over its branches.
"""

from collections.abc import Callable, Hashable, Sequence

import numpy as np
import torch

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu.base import Draws
from hw.spec.config import TsuConfig


class Choices:
    """One run's branches."""

    def __init__(self) -> None:
        self._way: list[tuple[int, list[float]]] = []
        self._at = 0
        self.runs = 0

    def take(self, masses: Sequence[float]) -> int:
        """Index of the branch, among those with mass."""
        if self._at == len(self._way):
            values = [float(mass) for mass in masses]
            self._way.append((next(i for i, mass in enumerate(values) if mass > 0), values))
        index, _ = self._way[self._at]
        self._at += 1
        return index

    def law(self, program: Callable[[], Hashable]) -> dict[Hashable, float]:
        """Probability of every outcome of the program."""
        law: dict[Hashable, float] = {}
        while True:
            self._at = 0
            outcome = program()
            assert self._at == len(self._way), "the program asked less often than in the run before"
            self.runs += 1
            law[outcome] = law.get(outcome, 0.0) + float(np.prod([masses[i] for i, masses in self._way]))
            while self._way:
                index, masses = self._way.pop()
                after = [i for i in range(index + 1, len(masses)) if masses[i] > 0]
                if after:
                    self._way.append((after[0], masses))
                    break
            if not self._way:
                return law

    def multinomial(self, masses: torch.Tensor, num_samples: int = 1) -> torch.Tensor:
        """In the place of `torch.multinomial`, for one row and one sample."""
        row = masses.reshape(-1).double()
        assert num_samples == 1
        assert bool(torch.isfinite(row).all())
        return torch.tensor([[self.take((row / row.sum()).tolist())]])

    def rand_like(self, ratios: torch.Tensor) -> torch.Tensor:
        """In the place of `torch.rand_like` of acceptance ratios: which of them is the first that is not accepted.

        The uniforms accept those before it and refuse it; those behind it decide nothing.
        """
        accepted = np.clip(ratios.double().reshape(-1).numpy(), 0, 1)
        reached = np.concatenate([[1.0], np.cumprod(accepted)])
        first = self.take([*(reached[:-1] * (1 - accepted)), reached[-1]])
        uniforms = torch.zeros_like(ratios)
        uniforms.reshape(-1)[first : first + 1] = 1 - torch.finfo(ratios.dtype).eps / 2
        return uniforms


class ChosenTsu:
    """A TSU whose draws are choices, each with the probability of its integers."""

    def __init__(self, *, choices: Choices, config: TsuConfig, mode: str = "table") -> None:
        self.config, self._choices, self._mode = config, choices, mode

    def sample(self, psi: Psi, n: int) -> Draws:
        law = draft_law(psi, self.config, self._mode)
        tokens = np.array([self._choices.take(law.probabilities()) for _ in range(n)], dtype=np.uint32)
        return Draws(tokens=tokens, weights=law.weight_of(tokens), spreads=law.spread_of(tokens), total=law.total)
