# SPDX-License-Identifier: Apache-2.0
"""Adapters around the model that break their contract, one way each: what every check of `host.contract` must catch.

`@breaks(check, pattern)` lists the check that must fail and what its message must say.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu.base import Capabilities, Draws, TsuError
from host.tsu.model import ModelTsu
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

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


# --- the three of the bar ---------------------------------------------------------------------------------------------


@breaks(
    "law", r"the draws do not follow F_hw\(psi\): few ids in table mode: token \d+ came [\d,]+ times of 10,000,000, "
)
class Biased(Wrapped):
    """One draw in 64 of the best id becomes the last id."""

    promised = LOOSE
    share = 1 / 64

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens
        moved = (tokens == psi.ids[psi.scores_q.argmax()]) & self.some(n, self.share)
        return self.with_tokens(psi, np.where(moved, psi.ids[-1], tokens))


@breaks(
    "reported-q", r"q handed over is not the q sampled: token \d+ came [\d,]+ times of 10,000,000, [\d,.]+ were due"
)
@breaks("integers", r"few ids, table mode|V = K \+ 1, table mode|K = [V1], table mode: total \d+ was reported, Z of")
class WrongQ(Wrapped):
    """The q of a temperature 2 % higher than that of the draws."""

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens
        return self.with_tokens(replace(psi, tau=psi.tau * 1.02), tokens)


@breaks("seeds", r"seed 1 gives the draws of seed 0: the seed, or a part of its bits, is ignored")
class SeedIgnored(Wrapped):
    def __init__(self, *, seed: int = 0, mode: str | None = None) -> None:
        super().__init__(seed=0, mode=mode)

    def reseed(self, seed: int) -> None:
        self.model.reseed(0)


# --- what it says and hands over --------------------------------------------------------------------------------------


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


# --- how it behaves ---------------------------------------------------------------------------------------------------


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


# --- how draws follow one another -------------------------------------------------------------------------------------


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


# --- what it draws ----------------------------------------------------------------------------------------------------


@breaks("law", r"K = V in exp2 mode: token 63 came [\d,]+ times of 10,000,000, .* \(chi-squared")
class LastLeaf(Biased):
    """Only a full tree, and only in exp2 mode."""

    share = 0.2

    def sample(self, psi: Psi, n: int) -> Draws:
        full = psi.k == CONFIG.k_max and self.model.mode.name == "EXP2"
        return super().sample(psi, n) if full else self.model.sample(psi, n)


@breaks("law", r"token \d+ came .*, more than the stated bound of 0\.001 explains")
class BeyondItsBound(Biased):
    """A total variation of 0.0064, where 0.001 is stated."""

    promised = replace(LOOSE, exact=False, bound=1e-3)


@breaks("corners", r"the draws do not follow F_hw\(psi\): K = 1 in table mode: token 6 came")
class HeavyOnlyId(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens
        return self.with_tokens(psi, np.where(self.some(n, 0.01), psi.ids[0], tokens) if psi.k == 1 else tokens)


@breaks("corners", r"token 1 is outside the vocabulary|V = 1: another token than 0 came, or its q is not 1")
class SecondToken(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        return replace(draws, tokens=draws.tokens + np.uint32(psi.vocab_size == 1))


@breaks("reported-q", r"token \d+ was reported with one q and later with another")
class TwoQ(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        weights = draws.weights.copy()
        weights[-1:] += np.uint64(1)
        return replace(draws, weights=weights)


@breaks("reported-q", r"the q reported for the tokens that came add up to 1\.00")
class TooMuchQ(Wrapped):
    def sample(self, psi: Psi, n: int) -> Draws:
        draws = super().sample(psi, n)
        return replace(draws, weights=draws.weights + (draws.weights >> np.uint64(8)))


@breaks("tail", r"the tail is not uniform: tail token \d+ came")
class LastTailToken(Wrapped):
    """One tail token comes 5 % less often than the others."""

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens
        others = np.setdiff1d(np.arange(min(psi.vocab_size, 100)), psi.ids)
        if len(others) < 2:
            return self.with_tokens(psi, tokens)
        return self.with_tokens(psi, np.where((tokens == others[-1]) & self.some(n, 0.05), others[0], tokens))


@breaks("tail", r"the tail of V = 1048576 is not uniform: rank with low byte \d+ came")
class EvenTail(Wrapped):
    """A tail index whose lowest bit is a little too often 0."""

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens
        lower = tokens - 1
        rank = tokens - np.searchsorted(psi.ids, tokens).astype(np.uint32)
        odd = ~np.isin(tokens, psi.ids) & (rank % 2 == 1) & ~np.isin(lower, psi.ids) & self.some(n, 0.02)
        return self.with_tokens(psi, np.where(odd, lower, tokens) if psi.vocab_size > 100 else tokens)


@breaks("tail", r"the tail of V = 1048576 is not uniform: range of 4,096 tokens, number \d+ came")
class NearTail(Wrapped):
    """The upper half of a large vocabulary comes less often."""

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens
        half = np.uint32(psi.vocab_size // 2)
        moved = (tokens >= half) & ~np.isin(tokens - half, psi.ids) & ~np.isin(tokens, psi.ids) & self.some(n, 0.02)
        return self.with_tokens(psi, np.where(moved, tokens - half, tokens) if psi.vocab_size > 100 else tokens)


@breaks("independence", r"pairs of draws that are 1 apart do not follow q\(a\) q\(b\): token \d+ before token \d+ came")
class Sticky(Wrapped):
    """A Gibbs chain's habit: one draw in 100 is the draw before, and the law is unchanged."""

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens.copy()
        held = np.flatnonzero(self.some(n, 0.01))
        tokens[held] = tokens[np.maximum(held, 1) - 1]
        return self.with_tokens(psi, tokens)


@breaks(
    "rare-events",
    r"rare tokens come at the wrong rate: 63 ids of q = 5\.96e-08 came \d+ times in [\d,]+ draws, 194\.\d",
)
class TruncatedGumbel(Wrapped):
    """Rare tokens come 0.4 times as often as is due: JAX's Gumbel noise in float32 at 2^-24."""

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens
        best = psi.ids[psi.scores_q.argmax()]
        rare = np.flatnonzero(tokens != best)
        if len(rare) > n // 1000:
            return self.with_tokens(psi, tokens)
        tokens = tokens.copy()
        tokens[rare[self.some(len(rare), 0.6)]] = best
        return self.with_tokens(psi, tokens)


def fits(pattern: str, message: str) -> bool:
    """Whether the message says what the pattern asks for."""
    return re.search(pattern, message) is not None
