# SPDX-License-Identifier: Apache-2.0
"""How long, how fast and on what a model is trained; without torch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any, Self

from hw.spec.errors import SpecError, check_int

SEED_MAX = (1 << 63) - 1
"""Largest seed that both generators take."""


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """AdamW (Loshchilov and Hutter, arXiv:1711.05101) with a linear rise and a cosine fall of the rate.

    Parameters
    ----------
    steps : int
    batch : int
        Pieces of text per step.
    length : int
        Tokens of a piece.
    rate : float
        Largest learning rate.
    warmup : int
        Steps until it is reached.
    floor : float
        Rate at the end over the largest one.
    weight_decay : float
        On matrices; biases and norms are left alone.
    clip : float
        Largest norm of a gradient.
    every : int
        Steps between two measurements, each with a checkpoint.
    patience : int
        Measurements in a row without a better score after which training stops; 0: never.
    seed : int

    Raises
    ------
    SpecError
        A field is outside its range.
    """

    steps: int = 1000
    batch: int = 32
    length: int = 128
    rate: float = 2e-3
    warmup: int = 50
    floor: float = 0.02
    weight_decay: float = 0.01
    clip: float = 1.0
    every: int = 100
    patience: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_int("steps", self.steps, 1, 1 << 40)
        check_int("batch", self.batch, 1, 1 << 20)
        check_int("length", self.length, 1, 1 << 20)
        check_int("warmup", self.warmup, 0, 1 << 40)
        check_int("every", self.every, 1, 1 << 40)
        check_int("patience", self.patience, 0, 1 << 20)
        check_int("seed", self.seed, 0, SEED_MAX)
        check_number("rate", self.rate, above=0.0)
        check_number("clip", self.clip, above=0.0)
        check_number("weight_decay", self.weight_decay, low=0.0)
        check_number("floor", self.floor, low=0.0, high=1.0)

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, the first being 0."""
        if step < self.warmup:
            return self.rate * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.rate * (self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * done)))

    def as_dict(self) -> dict[str, object]:
        """The settings as JSON."""
        return asdict(self)

    @classmethod
    def parse(cls, content: Mapping[str, Any]) -> Self:
        """The settings that `as_dict` gave.

        Raises
        ------
        SpecError
            A field is missing, superfluous or outside its range.
        """
        names = {field.name for field in fields(cls)}
        if set(content) != names:
            raise SpecError("settings", sorted(content), "exactly " + ", ".join(sorted(names)))
        return cls(**content)


def check_number(
    field: str, value: object, *, low: float = -math.inf, high: float = math.inf, above: float = -math.inf
) -> float:
    """Return `value` as a float, or raise `SpecError` unless it is finite, in [low, high] and > above."""
    ends = [f">= {low:g}"] * (low > -math.inf) + [f"> {above:g}"] * (above > -math.inf)
    ends += [f"<= {high:g}"] * (high < math.inf)
    legal = " ".join(["a finite number", " and ".join(ends)]).rstrip()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise SpecError(field, value, legal)
    number = float(value)
    if not (math.isfinite(number) and low <= number <= high and number > above):
        raise SpecError(field, number, legal)
    return number
