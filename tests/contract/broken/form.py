# SPDX-License-Identifier: Apache-2.0
"""Adapters that say or hand over something wrong."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from host.psi.schema import Psi
from host.tsu.base import Draws
from hw.spec.errors import SpecError
from sim.bench_file import load_module

_WRAPPED = load_module(Path(__file__).with_name("wrapped.py"))
BROKEN, Wrapped, breaks = _WRAPPED.BROKEN, _WRAPPED.Wrapped, _WRAPPED.breaks
CONFIG, LOOSE = _WRAPPED.CONFIG, _WRAPPED.LOOSE


@breaks("capabilities", r"spec_id = 0x0; layouts and config have 0x")
class NoSpecId(Wrapped):
    spec_id = 0


@breaks("capabilities", r"capabilities\.bit_true = 1 is neither True nor False")
class NoBool(Wrapped):
    promised = replace(LOOSE, bit_true=1)


@breaks("capabilities", r"capabilities\.name = '' is no name")
class Nameless(Wrapped):
    promised = replace(LOOSE, name="")


@breaks("capabilities", r"capabilities or config changed between two TSUs")
class Moody(Wrapped):
    opened = 0

    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(seed=seed, mode=mode)
        Moody.opened += 1
        self.promised = replace(LOOSE, name=f"number {Moody.opened}")


@breaks("capabilities", r"capabilities is a dict, not a host\.tsu\.base\.Capabilities")
class PromisesInADict(Wrapped):
    promised: ClassVar[Any] = {"name": "wrapped"}


@breaks("capabilities", r"a Handle is no TSU: it lacks spec_id, cycles, reseed, close, __enter__, __exit__")
class Handle:
    """No TSU at all."""

    capabilities, config = LOOSE, CONFIG

    def __init__(self, *, seed: int, mode: str | None) -> None:
        pass

    def sample(self, psi: Psi, n: int) -> Draws:
        raise NotImplementedError


@breaks("shapes", r"tokens are int64, not uint32")
class WideTokens(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        return replace(draws, tokens=draws.tokens.astype(np.int64))


@breaks("shapes", r"total = np\.uint64\(\d+\) of 0 draws is no positive int")
class NumpyTotal(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        return replace(draws, total=np.uint64(draws.total))


@breaks("shapes", r"weights of 1 draws have shape \(1, 1\), not \(1,\)")
class Columns(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        return replace(draws, weights=draws.weights.reshape(-1, 1)) if n else draws


@breaks("shapes", r"sample gives a ndarray, not a host\.tsu\.base\.Draws")
class TokensOnly(Wrapped):
    def sample(self, psi: Psi, n: int) -> Any:
        return super().sample(psi, n).tokens


@breaks("shapes", r"the draws of a call of 1 changed when sample was called again")
class OneBuffer(Wrapped):
    """Hands out the same memory again and again."""

    buffer = np.zeros(4000, dtype=np.uint32)

    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        self.buffer[:n] = draws.tokens
        return replace(draws, tokens=self.buffer[:n])


@breaks("law", r"1,048,575 draws came where 1,048,576 were asked for")
class OneShort(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        return super().sample(psi, n - (n > 1))


@breaks("integers", r"q handed over is wrong: spread 1 was reported for token \d+, that of F_hw\(psi\) is \d+ \(")
class NoSpread(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        return replace(draws, spreads=np.ones(n, dtype=np.uint32))


@breaks("integers", r"token 11 is outside the vocabulary: V = 11")
class OffByOne(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        return replace(draws, tokens=draws.tokens + np.uint32(1)) if psi.vocab_size == 11 else draws


@breaks(
    "modes", r"a TSU opened in exp2 mode reports total \d+ where Z is \d+, which is that of table mode: mode is ignored"
)
class ModeIgnored(Wrapped):
    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        if mode not in (None, "table", "exp2"):
            raise SpecError("mode", mode, "one of table, exp2")
        super().__init__(seed=seed, mode="table")


@breaks("modes", r"mode = 'log' was accepted; SpecError was due")
class AnyMode(Wrapped):
    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(seed=seed, mode=mode if mode in ("table", "exp2") else None)


@breaks("cycles", r"counts_cycles is True, and cycles advanced by 0 for 1 draws of 1 lanes")
class ClockStopped(Wrapped):
    promised = replace(LOOSE, counts_cycles=True)


@breaks("cycles", r"cycles = 7 after 1 draws, and counts_cycles is False; 0 was due")
class ClockDenied(Wrapped):
    cycles = 7
