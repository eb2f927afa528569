# SPDX-License-Identifier: Apache-2.0
"""How far the draws of backend thrml are from the integers: computed where it can be, sampled where it cannot.

docs/reference/thrml.md derives LAW_BOUND from the errors of float32 log1p and exp, which are measured here. The law of
the race itself is computed to 1e-9 (tests/reference/race_law.py) for psi of few states.

Power analysis (fixed beforehand: alpha = 1e-6, power 0.99). Chi-squared, seed 21: the best of 16 ids has probability
0.213, a log-weight off by 1/64 adds 4.1e-5 a draw to the noncentrality; 16 degrees of freedom ask for 82, hence for
1.99e6 draws. Rare states, seed 22: 63 states of 2^-24 are due 94.5 times in 3 * 2^23 draws. Gumbel noise from
u = 1 - j 2^-23, j = 1, 2, ..., beats that of the common state with probability exp(-2 j), so the library's own
conditional gives each state 2^-23 sum_j exp(-2 j) = 0.313 * 2^-24: 29.6 hits. `test_sample_sizes` computes both.
"""

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

pytest.importorskip("thrml", reason="thrml is not installed: make setup-thrml")

import jax
import jax.numpy as jnp

from host.bench_thrml import library_block
from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu.thrml import LAW_BOUND, ThrmlTsu
from host.tsu.thrml_program import ABSENT, arrival_times, draw_block
from host.tsu.thrml_stream import BLOCK_DRAWS, bucket_log_weights, state_bucket
from hw.spec.config import TsuConfig
from tests.reference.race_law import law_error

ALPHA, POWER = 1e-6, 0.99
UNIT = 2.0**-24
"""Unit roundoff of float32."""

LOG1P_UNITS, EXP_UNITS = 3.0, 2.0
"""What the derivation of the bound takes for the relative errors of log1p and exp."""

LARGEST_MEASURED = 3e-8
"""The docs give 2.3e-8, at two equal states."""


# --- the computed law -------------------------------------------------------------------------------------------------


def random_weights(states: int, spread: float) -> list[float]:
    return (1e9 * np.exp(spread * np.random.default_rng(states).normal(size=states))).tolist()


WEIGHTS = {
    "halves": [1, 1],
    "thirds": [2, 1],
    "2^-24": [2.0**47, 2.0**23],
    "2^-30": [2.0**47, 2.0**17],
    "8 equal": [1] * 8,
    "8 octaves": [2.0 ** (47 - 3 * i) for i in range(8)],
    "5 random": random_weights(5, 1.0),
    "8 random": random_weights(8, 4.0),
}


def total_variation(weights: list[float], rounded: npt.DTypeLike = np.float32) -> float:
    integers = np.array(weights).astype(np.uint64)
    logs = bucket_log_weights(integers, 0)[: len(weights)].astype(rounded).astype(np.float32)
    return float(np.abs(law_error(logs, integers.astype(np.float64))).sum() / 2)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_the_law_in_float32_is_far_within_the_bound(weights: list[float]) -> None:
    assert total_variation(weights) < LARGEST_MEASURED < LAW_BOUND / 30


def test_log_weights_of_16_bits_are_seen() -> None:
    assert total_variation(WEIGHTS["8 octaves"], np.float16) > LAW_BOUND
    assert total_variation(WEIGHTS["5 random"], np.float16) > LAW_BOUND


def test_the_errors_that_the_bound_is_derived_from() -> None:
    """2^18 words of each octave; 2^20 log-weights down to -45 nats: a weight of 1 in a total of 2^64 has -44.4."""
    rng, times = np.random.default_rng(20), jax.jit(arrival_times)
    for octave in range(32):
        words = rng.integers(1 << octave, 2 << octave, 1 << 18, dtype=np.uint64).astype(np.uint32)
        x = np.minimum((words.astype(np.float32) + np.float32(0.5)) * np.float32(2.0**-32), np.float32(1 - UNIT))
        exact = -np.log1p(-x.astype(np.float64))
        got = np.asarray(times(words, np.float32(0))).astype(np.float64)
        assert np.abs(got / exact - 1).max() < LOG1P_UNITS * UNIT, octave
    logs = -45 * rng.random(1 << 20, dtype=np.float32)
    scale = np.asarray(jax.jit(lambda theta: jnp.exp(-theta))(logs)).astype(np.float64)
    assert np.abs(scale * np.exp(logs.astype(np.float64)) - 1).max() < EXP_UNITS * UNIT


def test_the_bound_follows_from_the_errors() -> None:
    """docs/reference/thrml.md section 2, K = 1024: log1p, exp, product, log-weights, rounding and limit of x, words."""
    derived = (LOG1P_UNITS + EXP_UNITS + 1 + math.log(1025) + 1 + 0.03) * UNIT + 1025 * 2.0**-33
    assert 0.9 * LAW_BOUND < derived < LAW_BOUND


@pytest.mark.slow
def test_times_never_fall_with_the_word() -> None:
    """All 2^32 words: the computed law relies on it."""
    chunk = 1 << 24

    @jax.jit
    def ends(start: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        times = arrival_times(start + jnp.arange(chunk, dtype=jnp.uint32), jnp.float32(0))
        return times[0], times[-1], (times[1:] >= times[:-1]).all()

    last = 0.0
    for start in range(0, 1 << 32, chunk):
        first, end, rising = ends(np.uint32(start))
        assert bool(rising), start
        assert float(first) >= last
        last = float(end)


# --- sampled ----------------------------------------------------------------------------------------------------------

CONFIG = TsuConfig()
PSI = Psi(
    ids=np.arange(3, 51, 3), scores_q=[-8 * i for i in range(16)], scale=1 / 32, zero_point=0, tau=1.0, tail=0.25,
    vocab_size=100,
)  # fmt: skip
SEED, DRAWS, OFF = 21, 2_000_000, 1 / 64

RARE_SEED, RARE, RARE_DRAWS, LIBRARYS_SHARE = 22, 63, 3 << 23, 2 / math.expm1(2)


def buckets(off: float = 0.0) -> npt.NDArray[np.float64]:
    """Probabilities of the 16 ids and of the tail; the log-weight of the best is off by `off`."""
    law = draft_law(PSI, CONFIG, "table")
    weights = np.append(law.weights.astype(np.float64), law.tail_weight)
    weights[0] *= math.exp(off)
    return weights / weights.sum()


def test_sample_sizes() -> None:
    claimed, actual = buckets(), buckets(OFF)
    noncentrality = DRAWS * float(np.sum((actual - claimed) ** 2 / claimed))
    assert stats.ncx2.sf(stats.chi2.isf(ALPHA, 16), 16, noncentrality) >= POWER
    due = RARE * 2.0**-24 * RARE_DRAWS
    critical = stats.poisson.ppf(ALPHA / 2, due)
    assert stats.poisson.cdf(critical - 1, LIBRARYS_SHARE * due) >= POWER


def chi2_p_value(states: npt.NDArray[np.integer]) -> float:
    return float(stats.chisquare(np.bincount(states, minlength=17), len(states) * buckets()).pvalue)


def test_draws_follow_the_law() -> None:
    with ThrmlTsu(config=CONFIG, seed=SEED, mode="table") as tsu:
        draws = tsu.sample(PSI, DRAWS)
    state = np.where(draws.spreads == 1, np.searchsorted(PSI.ids, draws.tokens), 16)
    assert chi2_p_value(state) > ALPHA


def test_a_log_weight_off_by_one_64th_is_seen() -> None:
    law = draft_law(PSI, CONFIG, "table")
    logs = bucket_log_weights(law.weights, law.tail_weight)
    logs[0] += np.float32(OFF)
    draw, batch = draw_block(len(logs), BLOCK_DRAWS[-1]), BLOCK_DRAWS[-1]
    blocks = [np.asarray(draw(logs, np.array([0, SEED, 0, i], np.uint32))) for i in range(-(-DRAWS // batch))]
    assert chi2_p_value(np.concatenate(blocks)[:DRAWS]) < ALPHA


def rare_log_weights() -> npt.NDArray[np.float32]:
    logs = np.full(state_bucket(RARE + 1), ABSENT, dtype=np.float32)
    logs[: RARE + 1] = np.log(2.0**-24)
    logs[0] = np.log1p(-RARE * 2.0**-24)
    return logs


def poisson_p_value(hits: int) -> float:
    due = RARE * 2.0**-24 * RARE_DRAWS
    return float(2 * min(stats.poisson.cdf(hits, due), stats.poisson.sf(hits - 1, due)))


@pytest.mark.slow
def test_states_of_probability_2_to_the_minus_24_come_up_as_often_as_they_should() -> None:
    logs = rare_log_weights()
    draw, batch = draw_block(len(logs), BLOCK_DRAWS[-1]), BLOCK_DRAWS[-1]
    blocks = range(RARE_DRAWS // batch)
    hits = sum(np.count_nonzero(draw(logs, np.array([0, RARE_SEED, 0, i], np.uint32))) for i in blocks)
    assert poisson_p_value(hits) > ALPHA


@pytest.mark.slow
def test_the_librarys_own_conditional_fails_that_test() -> None:
    logs = rare_log_weights()
    draw, batch = library_block(len(logs), BLOCK_DRAWS[-1]), BLOCK_DRAWS[-1]
    blocks = range(RARE_DRAWS // batch)
    hits = sum(np.count_nonzero(draw(logs, np.array([0, RARE_SEED, 0, i], np.uint32))) for i in blocks)
    assert poisson_p_value(hits) < ALPHA
