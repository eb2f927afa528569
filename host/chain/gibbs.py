# SPDX-License-Identifier: Apache-2.0
"""The chain in thrml: two blocks, even and odd nodes, sampled in turn by the library's own Gibbs conditional."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
from thrml import Block, BlockGibbsSpec, CategoricalNode, FactorSamplingProgram, SamplingSchedule, sample_states
from thrml.models import CategoricalEBMFactor, CategoricalGibbsConditional

from host.tsu.thrml_program import GENERATOR
from hw.spec.errors import SpecError, check_int

from .model import ChainModel

CHUNK_CHAINS = 1 << 12
"""Chains that run together, in one program."""

STATE_DTYPE = jnp.uint8
"""Of a node: K is at most 256."""


def gibbs_states(model: ChainModel, *, chains: int, sweeps: int, seed: int) -> npt.NDArray[np.uint8]:
    """States of independent chains after each sweep, uint8 of shape (sweeps, chains, L); the start is uniform.

    A sweep updates the even nodes, then the odd ones. Compiled once for each L, K and number of sweeps.

    Parameters
    ----------
    model : ChainModel
        L >= 2.
    chains, sweeps : int
        At least 1.
    seed : int
        In [0, 2**64 - 1].

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    if model.length < 2:
        raise SpecError("L", model.length, "at least 2, for two blocks")
    check_int("chains", chains, 1, 1 << 30)
    check_int("sweeps", sweeps, 1, 1 << 20)
    check_int("seed", seed, 0, (1 << 64) - 1)
    words = np.array([seed >> 32, seed & 0xFFFF_FFFF], dtype=np.uint32)
    biases, couplings = (np.asarray(part, dtype=np.float32) for part in (model.biases, model.couplings))
    states = np.empty((sweeps, chains, model.length), dtype=np.uint8)
    for number, start in enumerate(range(0, chains, CHUNK_CHAINS)):
        part = slice(start, min(start + CHUNK_CHAINS, chains))
        drawn = np.asarray(_run(words, np.uint32(number), biases, couplings, sweeps=sweeps))
        states[:, part] = drawn[:, : part.stop - start]
    return states


def chain_program(biases: jax.Array, couplings: jax.Array, *, copies: int) -> tuple[FactorSamplingProgram, list[Block]]:
    """The program of `copies` equal chains, and its blocks in the order in which they are updated.

    Even nodes are one block, odd ones the other; in a block all copies of its first node come first.
    """
    length, k = biases.shape
    nodes = [[CategoricalNode() for _ in range(copies)] for _ in range(length)]
    blocks = [_block(nodes[0::2]), _block(nodes[1::2])]
    spec = BlockGibbsSpec(blocks, [], {CategoricalNode: jax.ShapeDtypeStruct((), STATE_DTYPE)})
    factors = [
        CategoricalEBMFactor([_block(nodes)], jnp.repeat(biases, copies, axis=0)),
        CategoricalEBMFactor([_block(nodes[:-1]), _block(nodes[1:])], jnp.repeat(couplings, copies, axis=0)),
    ]
    conditional = CategoricalGibbsConditional(k)
    return FactorSamplingProgram(spec, [conditional, conditional], factors, []), blocks


def _block(rows: list[list[CategoricalNode]]) -> Block:
    return Block([node for row in rows for node in row])


@partial(jax.jit, static_argnames="sweeps")
def _run(words: jax.Array, number: jax.Array, biases: jax.Array, couplings: jax.Array, *, sweeps: int) -> jax.Array:
    """States of CHUNK_CHAINS chains, uint8 of shape (sweeps, chains, L)."""
    program, blocks = chain_program(biases, couplings, copies=CHUNK_CHAINS)
    length, k = biases.shape
    key = jax.random.fold_in(jax.random.wrap_key_data(words, impl=GENERATOR), number)
    begin, run = jax.random.split(key)
    uniform = jax.random.randint(begin, (length, CHUNK_CHAINS), 0, k).astype(STATE_DTYPE)
    schedule = SamplingSchedule(n_warmup=1, n_samples=sweeps, steps_per_sample=1)
    drawn = sample_states(run, program, schedule, [uniform[0::2].ravel(), uniform[1::2].ravel()], [], blocks)
    even, odd = (part.reshape(sweeps, -1, CHUNK_CHAINS).transpose(0, 2, 1) for part in drawn)
    states = jnp.empty((sweeps, CHUNK_CHAINS, length), dtype=STATE_DTYPE)
    return states.at[..., 0::2].set(even).at[..., 1::2].set(odd)
