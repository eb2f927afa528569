# SPDX-License-Identifier: Apache-2.0
"""Adapters that draw another law than they report: a biased draw and a wrong q first."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from host.psi.schema import Psi
from host.tsu.base import Draws
from sim.bench_file import load_module

_WRAPPED = load_module(Path(__file__).with_name("wrapped.py"))
BROKEN, Wrapped, breaks = _WRAPPED.BROKEN, _WRAPPED.Wrapped, _WRAPPED.breaks
CONFIG, LOOSE = _WRAPPED.CONFIG, _WRAPPED.LOOSE


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
@breaks("integers", r"K = V, table mode: q handed over is wrong: total \d+ was reported, Z of F_hw\(psi\) is \d+")
class WrongQ(Wrapped):
    """The q of a temperature 2 % higher than that of the draws."""

    def sample(self, psi: Psi, n: int) -> Draws:
        tokens = self.model.sample(psi, n).tokens
        return self.with_tokens(replace(psi, tau=psi.tau * 1.02), tokens)


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
