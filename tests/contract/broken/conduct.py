# SPDX-License-Identifier: Apache-2.0
"""Adapters that behave badly at their limits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from host.psi.schema import Psi
from host.tsu.base import Draws, TsuError
from hw.spec.errors import SpecError
from sim.bench_file import load_module

_WRAPPED = load_module(Path(__file__).with_name("wrapped.py"))
BROKEN, Wrapped, breaks = _WRAPPED.BROKEN, _WRAPPED.Wrapped, _WRAPPED.breaks
CONFIG, LOOSE = _WRAPPED.CONFIG, _WRAPPED.LOOSE


@breaks("refusals", r"a psi of K = 65, k_max = 64 was accepted; SpecError or TsuError was due")
class CutsPsi(Wrapped):
    """Takes the first 64 ids of a psi that is too large."""

    def sample(self, psi: Psi, n: int) -> Draws:
        if psi.k > CONFIG.k_max:
            psi = replace(psi, ids=psi.ids[: CONFIG.k_max], scores_q=psi.scores_q[: CONFIG.k_max])
        return super().sample(psi, n)


@breaks("refusals", r"n = 1\.5 was accepted")
class RoundsN(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        return super().sample(psi, int(n))


@breaks("refusals", r"n = -1 raised ValueError; SpecError or TsuError was due: negative dimensions")
class AllocatesFirst(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        np.empty(n if isinstance(n, int) else 0)
        return super().sample(psi, n)


@breaks("refusals", r"n = -1 was refused with 2 lines, not one")
class Verbose(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        try:
            return super().sample(psi, n)
        except SpecError as error:
            raise TsuError(f"it failed:\n{error}") from error


@breaks("refusals", r"n = -1 was refused, and the TSU was not usable afterwards: the model TSU is closed")
class GivesUp(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        try:
            return super().sample(psi, n)
        except SpecError:
            self.close()
            raise


@breaks("refusals", r"K = 65, k_max = 64 was refused, and the draws after it are not those of a TSU that was not asked")
class LosesItsPlace(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        if psi.k > CONFIG.k_max:
            super().sample(Psi(ids=[0], scores_q=[0], scale=1, zero_point=0, tau=1, tail=0, vocab_size=1), 1)
        return super().sample(psi, n)


@breaks("lifecycle", r"sample works after close\(\); TsuError was due")
class NeverCloses(Wrapped):
    def close(self) -> None:
        pass


@breaks("lifecycle", r"closing twice raised RuntimeError: not open")
class ClosesOnce(Wrapped):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("not open")
        self.closed = True
        super().close()


@breaks("lifecycle", r"sample works after the end of `with`; TsuError was due")
class LeavesOpen(Wrapped):
    def __exit__(self, *_: object) -> None:
        pass


@breaks("lifecycle", r"an error inside `with` did not come out: __exit__ must not return True")
class Swallows(Wrapped):
    def __exit__(self, *_: object) -> bool:
        self.close()
        return True


@breaks("lifecycle", r"`with` gives another object than the TSU itself")
class EntersTheModel(Wrapped):
    def __enter__(self) -> Any:
        return self.model


@breaks("lifecycle", r"sample after close\(\) raised AttributeError; TsuError was due")
class DropsItsHandle(Wrapped):
    def close(self) -> None:
        if self.model is not None:
            self.model.close()
        self.model = None
