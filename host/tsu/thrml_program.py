# SPDX-License-Identifier: Apache-2.0
"""A block of categorical nodes in thrml, compiled once; weights and keys are data.

The nodes of the block share no factor, so one sweep of block Gibbs sampling is one independent draw for each. The
library draws a node by Gumbel-max in float32, from 23 bits for each state: a state of probability 2^-24 comes up less
than half as often as it should. `ArrivalConditional` draws the same law as a race of exponential clocks, from 32 bits
and with one logarithm less. `host/tsu/thrml.py` says how far its law is from the integers.

Source of the race: the smallest of independent Exponential(w_k) is that of state k with probability w_k / sum w, the
exponential form of the Gumbel-max trick (Maddison, Tarlow and Minka, A* Sampling, NIPS 2014).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from thrml import Block, BlockGibbsSpec, CategoricalNode, FactorSamplingProgram, SamplingSchedule, sample_states
from thrml.models import CategoricalEBMFactor, CategoricalGibbsConditional

GENERATOR = "threefry2x32"
"""JAX's generator, counter-based: the words of a block follow from its key alone (Salmon et al., SC 2011)."""

STATE_DTYPE = jnp.uint16
"""Of a node: the library's uint8 ends at 256 states."""

ABSENT = -1.0e4
"""Log-weight of a padded state. Its time is infinite, so it is never drawn; -inf itself would give NaN as 0 * -inf."""

ONE_SWEEP = SamplingSchedule(n_warmup=1, n_samples=1, steps_per_sample=1)
"""The first sample is the state behind the warm-up: without any it is the initial state."""

_WORD = 2.0**-32
_BELOW_ONE = np.float32(1 - 2.0**-24)

DrawBlock = Callable[[npt.NDArray[np.float32], npt.NDArray[np.uint32]], "jax.Array"]
"""From log-weights of shape (states,) and (seed high, seed low, stream, block) to uint16 states of shape (batch,)."""


def arrival_times(words: jax.Array, log_weights: jax.Array) -> jax.Array:
    """Time at which each clock rings, float32: -log1p(-(words + 1/2) / 2^32) / exp(log_weights).

    Finite and above 0 where log_weights is above -80, infinite at `ABSENT`.

    Parameters
    ----------
    words : uint32 array
        Uniform words.
    log_weights : float32 array
        Log of the rate of each clock; broadcast against `words`.
    """
    x = jnp.minimum((words.astype(jnp.float32) + 0.5) * _WORD, _BELOW_ONE)
    return -jnp.log1p(-x) * jnp.exp(-log_weights)


class ArrivalConditional(CategoricalGibbsConditional):
    """The library's Gibbs conditional of categorical nodes, drawn by the first arrival: P(k) ~ exp(theta_k)."""

    def sample_given_parameters(
        self, key: Any, parameters: Any, sampler_state: None, output_sd: Any
    ) -> tuple[jax.Array, None]:
        """States of the nodes; `parameters` are the log-weights theta, float32 of shape (nodes, states)."""
        words = jax.random.bits(key, parameters.shape, jnp.uint32)
        first = jnp.argmin(arrival_times(words, parameters), axis=-1)
        return first.astype(output_sd.dtype), sampler_state


def block_program(*, states: int, batch: int, conditional: CategoricalGibbsConditional) -> FactorSamplingProgram:
    """A program of one free block of `batch` nodes, each with a factor of its own and log-weights 0."""
    block = Block([CategoricalNode() for _ in range(batch)])
    factor = CategoricalEBMFactor([block], jnp.zeros((batch, states), dtype=jnp.float32))
    spec = BlockGibbsSpec([block], [], {CategoricalNode: jax.ShapeDtypeStruct((), STATE_DTYPE)})
    return FactorSamplingProgram(spec, [conditional], [factor], [])


def with_log_weights(program: FactorSamplingProgram, log_weights: jax.Array) -> FactorSamplingProgram:
    """The program with the log-weights of shape (states,) at every node; the same tree, so the same compiled code."""

    def leaf(tree: Any) -> Any:
        return tree.per_block_interactions[0][0].weights

    swapped: FactorSamplingProgram = eqx.tree_at(leaf, program, jnp.broadcast_to(log_weights, leaf(program).shape))
    return swapped


@cache  # a few sizes for each bucket of K
def draw_block(states: int, batch: int) -> DrawBlock:
    """The function that draws a block of `batch` independent states; compiled at its first call in the process."""
    program = block_program(states=states, batch=batch, conditional=ArrivalConditional(states))
    (block,) = program.gibbs_spec.free_blocks

    def draw(log_weights: jax.Array, address: jax.Array) -> jax.Array:
        root = jax.random.wrap_key_data(address[:2], impl=GENERATOR)
        key = jax.random.fold_in(jax.random.fold_in(root, address[2]), address[3])
        start = [jnp.zeros(batch, dtype=STATE_DTYPE)]
        (drawn,) = sample_states(key, with_log_weights(program, log_weights), ONE_SWEEP, start, [], [block])
        return drawn[0]

    compiled: DrawBlock = jax.jit(draw)
    return compiled
