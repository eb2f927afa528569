# SPDX-License-Identifier: Apache-2.0
"""What the backends report equals the exact law, integer for integer; what the RTL draws follows it.

Power analysis of the chi-squared tests (fixed beforehand: seed 17, alpha = 1e-6, N = 10^6, one bin for each token of
the vocabulary, all with an expected count of 90 or more). A weight or a tail off by 1/16 changes a bucket of
probability p, and every token of that bucket by the same fraction; one draw adds p (1 - p) / (16 + p)^2 to the
noncentrality. For the two psi below that makes 631 and 648, where power 0.99 asks for 267 and 360 (499 and 1000
degrees of freedom). `test_sample_size` computes the power. Finer biases are for the model, which gives the same stream
and draws ten times as fast: tests/unit/host/test_model_law.py.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from host.golden.exact import draft_law
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.tsu.lowering import check_mode, draw_command, load_command, lower, table_command, weight_table
from host.tsu.native import NativeTsu
from host.tsu.registry import open_tsu
from host.tsu.rtl import RtlTsu
from hw.spec.commands import Status
from hw.spec.config import TsuConfig

CONFIG = TsuConfig()
SEED, ALPHA, POWER, DRAWS = 17, 1e-6, 0.99, 1_000_000


def some_psi(k: int, vocab: int, tail: float, scale: float = 0.0588, tau: float = 1.0) -> Psi:
    rng = np.random.default_rng([k, vocab])
    return Psi(
        ids=np.sort(rng.choice(vocab, k, replace=False)),
        scores_q=rng.integers(-128, 128, k),
        scale=scale,
        zero_point=0,
        tau=tau,
        tail=tail,
        vocab_size=vocab,
    )


PSIS = {
    "one id": some_psi(1, 1000, 0.5),
    "two ids, no tail": some_psi(2, 2, 0.0),
    "three equal weights": some_psi(3, 10, 1.0, scale=0.0),
    "K = 33": some_psi(33, 50_000, 0.7, tau=1.7),
    "K = 64": some_psi(64, 152_064, 2.0),
    "K = V = 64": some_psi(64, 64, 0.0),
    "steep": some_psi(64, 900, 2.0**-20, scale=0.4),
    "tail of the largest weight": some_psi(64, 1 << 20, 2.0**24),
    "one tail token": some_psi(63, 64, 3.0),
}


@pytest.mark.parametrize("mode", ["table", "exp2"])
@pytest.mark.parametrize("backend", ["model", "rtl", "cxxrtl"])
def test_reported_integers_are_those_of_the_law(backend: str, mode: str) -> None:
    with open_tsu(backend=backend, config=CONFIG, seed=SEED, mode=mode) as tsu:
        for name, psi in PSIS.items():
            law = draft_law(psi, CONFIG, mode)
            draws = tsu.sample(psi, 30_000)
            assert draws.total == law.total, name
            assert np.array_equal(draws.weights, law.weight_of(draws.tokens)), name
            assert np.array_equal(draws.spreads, law.spread_of(draws.tokens)), name
            assert draws.weights.all(), name


# --- chi-squared --------------------------------------------------------------------------------------------------

DECREASING = Psi(
    ids=np.sort(np.random.default_rng(SEED).choice(500, 32, replace=False)),
    scores_q=np.array([127 - 4 * ((7 * i) % 32) for i in range(32)]),
    scale=0.0625,
    zero_point=0,
    tau=1.0,
    tail=0.25,
    vocab_size=500,
)
TAIL_HEAVY = Psi(
    ids=[0, 1, 400, 799, 1000], scores_q=[9, 5, 9, 0, 7], scale=0.5, zero_point=0, tau=1.0, tail=8.0, vocab_size=1001
)
CASES = {"table": DECREASING, "exp2": TAIL_HEAVY}
"""The psi of each mode; the bias is in the weight of the best id of the first, and in the tail of the second."""


def law_of(mode: str) -> DraftLaw:
    return draft_law(CASES[mode], CONFIG, mode)


@lru_cache
def counts_of(mode: str, biased: bool) -> npt.NDArray[np.int64]:
    """Histogram of the tokens that the RTL draws, int64 of shape (V,)."""
    psi = CASES[mode]
    with RtlTsu(config=CONFIG, seed=SEED, mode=mode) as tsu:
        load(tsu, psi, mode, biased)
        assert tsu.command(draw_command(count=DRAWS))[0] is Status.OK
        return np.bincount(tsu.take(DRAWS).tokens, minlength=psi.vocab_size)


def load(tsu: NativeTsu, psi: Psi, mode: str, biased: bool) -> None:
    lowered = lower(psi, CONFIG, check_mode(CONFIG, mode))
    words = load_command(lowered, count=0)
    if mode == "table":
        table = weight_table(psi.scale, psi.tau, CONFIG.weight_bits).copy()
        table[0] += table[0] >> np.uint64(4) if biased else np.uint64(0)
        assert tsu.command(table_command(table))[0] is Status.OK
    elif biased:
        tail = lowered.tail_weight + lowered.tail_weight // 16
        words[4], words[5] = tail & 0xFFFF_FFFF, tail >> 32
    assert tsu.command(words)[0] is Status.OK


def biased_law(mode: str) -> npt.NDArray[np.float64]:
    """What the biased TSU draws from, float64 of shape (V,)."""
    law = law_of(mode).probabilities().copy()
    psi = CASES[mode]
    if mode == "table":
        law[psi.ids[psi.scores_q.argmax()]] *= 17 / 16
    else:
        law[np.setdiff1d(np.arange(psi.vocab_size), psi.ids)] *= 17 / 16
    return law / law.sum()


def p_value(counts: npt.NDArray[np.int64], law: npt.NDArray[np.float64]) -> float:
    return float(stats.chisquare(counts, counts.sum() * law / law.sum()).pvalue)


@pytest.mark.parametrize("mode", CASES)
def test_sample_size(mode: str) -> None:
    claimed, actual = law_of(mode).probabilities(), biased_law(mode)
    dof = len(claimed) - 1
    assert DRAWS * claimed.min() > 5
    noncentrality = DRAWS * float(np.sum((actual - claimed) ** 2 / claimed))
    assert stats.ncx2.sf(stats.chi2.isf(ALPHA, dof), dof, noncentrality) >= POWER


@pytest.mark.parametrize("mode", CASES)
def test_rtl_draws_follow_the_law(mode: str) -> None:
    assert p_value(counts_of(mode, False), law_of(mode).probabilities()) > ALPHA


@pytest.mark.parametrize("mode", CASES)
def test_bias_of_one_sixteenth_is_seen(mode: str) -> None:
    counts = counts_of(mode, True)
    assert p_value(counts, law_of(mode).probabilities()) < ALPHA
    assert p_value(counts, biased_law(mode)) > ALPHA
