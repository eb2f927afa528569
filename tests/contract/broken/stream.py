# SPDX-License-Identifier: Apache-2.0
"""Adapters whose draws follow one another wrongly; one of them ignores its seed."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from host.psi.schema import Psi
from host.tsu.base import Draws
from sim.bench_file import load_module

_WRAPPED = load_module(Path(__file__).with_name("wrapped.py"))
BROKEN, Wrapped, breaks = _WRAPPED.BROKEN, _WRAPPED.Wrapped, _WRAPPED.breaks
CONFIG, LOOSE = _WRAPPED.CONFIG, _WRAPPED.LOOSE


@breaks("seeds", r"seed 1 gives the draws of seed 0: the seed, or a part of its bits, is ignored")
class SeedIgnored(Wrapped):
    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(seed=0, mode=mode)

    def reseed(self, seed: int) -> None:
        self.model.reseed(0)


@breaks("seeds", r"seed 4294967297 gives the draws of seed 1: the seed, or a part of its bits, is ignored")
class LowSeedBits(Wrapped):
    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(seed=seed & 0xFFFF_FFFF, mode=mode)

    def reseed(self, seed: int) -> None:
        super().reseed(seed & 0xFFFF_FFFF)


@breaks("seeds", r"seed 1 gives other draws after reseed, from draw 0 on")
class NeverReseeds(Wrapped):
    def reseed(self, seed: int) -> None:
        pass


@breaks("lifecycle", r"closed and opened again with the same seed, it gives other draws")
@breaks("seeds", r"seed 0 gives other draws when opened again, from draw \d+ on")
class OwnNoise(Wrapped):
    """Noise of its own, as a chip has, and reproducible = True."""

    promised = LOOSE
    opened = 0

    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        OwnNoise.opened += 1
        super().__init__(seed=(1 << 40) + OwnNoise.opened, mode=mode)


@breaks("seeds", r"seeds 1 and 2 give related streams: shifted by -?1, [\d,]+ of 19,999 draws agree")
class CountingSeeds(Wrapped):
    """One stream for all seeds, each begun a draw later than the one before."""

    promised = LOOSE

    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(seed=0, mode=mode)
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        super().reseed(0)
        self.model.sample(Psi(ids=[0], scores_q=[0], scale=1, zero_point=0, tau=1, tail=0, vocab_size=1), seed % 1009)


@breaks(
    "batches",
    r"reproducible is True, and draw \d+ depends on how the stream is split into calls: token \d+ in \d+ calls",
)
class WholeBlocks(Wrapped):
    """Draws in blocks of 64 and throws away what a call leaves of one."""

    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        super().sample(psi, -n % 64)
        return draws


@breaks("batches", r"a call begins with the 200 draws of the call before it: calls do not continue one stream")
class SeedsEachCall(Wrapped):
    promised = LOOSE

    def sample(self, psi: Psi, n: int) -> Draws:
        self.reseed(5)
        return super().sample(psi, n)


@breaks("batches", r"the draws of (\d+ calls|calls of at most 3 draws) do not follow F_hw\(psi\): token \d+ came")
class LatchesOneDraw(Wrapped):
    """Calls of one draw return again and again what the first of them did."""

    promised = replace(LOOSE, reproducible=False)
    latched: int | None = None

    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        if n != 1:
            return draws
        self.latched = int(draws.tokens[0]) if self.latched is None else self.latched
        return self.with_tokens(psi, np.array([self.latched]))


@breaks(
    "switches", r"call \d+ returned token \d+, to which its psi gives probability 0, and the psi of the call before"
)
class LateSwitch(Wrapped):
    """The first draw of a call is one of the psi of the call before."""

    before: Psi | None = None

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = super().sample(psi, n).tokens.copy()
        if self.before is not None and self.before.vocab_size == psi.vocab_size and n:
            tokens[0] = self.before.ids[0]
        self.before = psi
        return self.with_tokens(psi, tokens)


@breaks("switches", r"call \d+ returned token \d+, to which its psi gives probability 0")
class CachesById(Wrapped):
    """Keeps what it made of a psi under the id() of the object, which another psi gets when that one is gone."""

    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(seed=seed, mode=mode)
        self.made: dict[int, Psi] = {}

    def sample(self, psi: Psi, n: int) -> Draws:
        return super().sample(self.made.setdefault(id(psi), replace(psi)), n)


@breaks(
    "bit-true", r"bit_true is True, and draw \d+ of table mode differs from the model's: tokens \d+, the model has \d+"
)
class OtherNoise(Wrapped):
    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(seed=seed ^ 8, mode=mode)

    def reseed(self, seed: int) -> None:
        super().reseed(seed ^ 8)
