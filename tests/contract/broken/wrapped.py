# SPDX-License-Identifier: Apache-2.0
"""The model behind an adapter that changes nothing, for those that break one thing each.

`@breaks(check, pattern)` lists the check of `host.contract` that must fail, and what its message must say.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu.base import Capabilities, Draws
from host.tsu.model import ModelTsu
from hw.spec.config import TsuConfig

CONFIG = TsuConfig()
LOOSE = Capabilities(name="wrapped", exact=True, bit_true=False, counts_cycles=False)
"""Promises of an adapter that draws from the law, but not the model's stream."""

BROKEN: list[tuple[type, str, str]] = []
"""Class, check that must fail, pattern of the message."""


def breaks(check: str, pattern: str) -> Callable[[type], type]:
    """Enter a class in `BROKEN`."""

    def enter(broken: type) -> type:
        BROKEN.append((broken, check, pattern))
        return broken

    return enter


class Wrapped:
    """The model behind an adapter that changes nothing: it keeps the contract."""

    promised: ClassVar[Any] = Capabilities(name="wrapped", exact=True, bit_true=True, counts_cycles=False)

    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        self.model = ModelTsu(config=CONFIG, seed=seed, mode=mode)
        self.rng = np.random.default_rng(seed)

    @property
    def capabilities(self) -> Capabilities:
        return self.promised

    @property
    def config(self) -> TsuConfig:
        return CONFIG

    @property
    def spec_id(self) -> int:
        return self.model.spec_id

    @property
    def cycles(self) -> int:
        return 0

    def sample(self, psi: Psi, n: int) -> Draws:
        return self.model.sample(psi, n)

    def reseed(self, seed: int) -> None:
        self.model.reseed(seed)
        self.rng = np.random.default_rng(seed)

    def close(self) -> None:
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self.close()
        return None

    def law(self, psi: Psi) -> Any:
        return draft_law(psi, CONFIG, self.model.mode.name.lower())

    def with_tokens(self, psi: Psi, tokens: np.ndarray) -> Draws:
        """Draws of these tokens with the integers of the law: only the sampling is wrong."""
        law = self.law(psi)
        tokens = tokens.astype(np.uint32)
        return Draws(tokens=tokens, weights=law.weight_of(tokens), spreads=law.spread_of(tokens), total=law.total)

    def some(self, n: int, share: float) -> np.ndarray:
        return self.rng.random(n) < share
