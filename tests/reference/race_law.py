# SPDX-License-Identifier: Apache-2.0
"""The law of a race of clocks whose times are float32 functions of 32-bit words, computed instead of sampled.

Clock i wins where its time is below those of the clocks before it and not above those behind it (the first of equal
times wins). Given its word, the others are independent, and since times do not fall with the word (a test looks at all
2^32), the number of words of clock j that ring later is found by bisection. So P(i) is a mean over the words of clock i
of a product of counts: over every word below 2^10, and over 1024 words of each octave above. Quadrature is the only
error; the same quadrature of the exact exponentials is taken off, which leaves some 1e-10.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from host.tsu.thrml_program import arrival_times

STRATA_BITS = 10


@cache
def words_and_shares() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.float64]]:
    """Words, and the share of all words that each stands for."""
    words, shares = [np.arange(1 << STRATA_BITS, dtype=np.uint64)], [np.full(1 << STRATA_BITS, 2.0**-32)]
    for octave in range(STRATA_BITS, 32):
        size = 1 << (octave - STRATA_BITS)
        words.append((1 << octave) + size * np.arange(1 << STRATA_BITS, dtype=np.uint64) + size // 2)
        shares.append(np.full(1 << STRATA_BITS, size * 2.0**-32))
    return np.concatenate(words).astype(np.uint32), np.concatenate(shares)


@jax.jit
def _not_later(times: jax.Array, log_weight: jax.Array, on_tie: jax.Array) -> tuple[jax.Array, jax.Array]:
    """First word whose time is above `times`, or equal where `on_tie`; and whether it is (the last one may not be)."""

    def later(words: jax.Array) -> jax.Array:
        found = arrival_times(words, log_weight)
        return (found > times) | (on_tie & (found == times))

    def halve(_: int, bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = bounds
        middle = low + (high - low) // 2
        up = ~later(middle)
        return jnp.where(up, middle + 1, low), jnp.where(up, high, middle)

    start = jnp.zeros(times.shape, jnp.uint32), jnp.full(times.shape, 0xFFFF_FFFF, jnp.uint32)
    first, _ = jax.lax.fori_loop(0, 32, halve, start)
    return first, later(first)


def law_error(log_weights: npt.NDArray[np.float32], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probability of each clock in float32 less its share of the weights, float64 of shape (clocks,).

    Parameters
    ----------
    log_weights : float32 ndarray of shape (clocks,)
        What the race is run with.
    weights : float64 ndarray of shape (clocks,)
        What the exact law is proportional to.
    """
    words, shares = words_and_shares()
    law = weights / weights.sum()
    exact_times = -np.log1p(-(words + 0.5) * 2.0**-32)
    errors = np.empty(len(law))
    for i, own in enumerate(log_weights):
        times = jax.jit(arrival_times)(words, own)
        wins = np.ones(len(words))
        for j, other in enumerate(log_weights):
            if j != i:
                first, found = (np.asarray(part) for part in _not_later(times, other, jnp.bool_(j > i)))
                wins *= 1 - (first.astype(np.float64) + ~found) * 2.0**-32
        exact = np.exp(-exact_times * (1 - law[i]) / law[i])
        errors[i] = np.dot(shares, wins - exact)
    return errors
