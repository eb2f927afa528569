# SPDX-License-Identifier: Apache-2.0
"""thrml by itself, to compare the backend with: its own conditional and Gumbel noise, and no TSU around them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from thrml import sample_states
from thrml.models import CategoricalGibbsConditional

from .psi.schema import Psi
from .tsu.thrml_program import GENERATOR, ONE_SWEEP, STATE_DTYPE, DrawBlock, block_program, with_log_weights

BLOCKS = (1024, 2048, 8192)
"""Nodes of a block; the fastest counts."""


def library_block(states: int, batch: int) -> DrawBlock:
    """Like `draw_block` of `host.tsu.thrml_program`, with nothing of ours in the sampling."""
    program = block_program(states=states, batch=batch, conditional=CategoricalGibbsConditional(states))
    (block,) = program.gibbs_spec.free_blocks

    def draw(log_weights: jax.Array, address: jax.Array) -> jax.Array:
        key = jax.random.fold_in(jax.random.wrap_key_data(address[:2], impl=GENERATOR), address[3])
        start = [jnp.zeros(batch, dtype=STATE_DTYPE)]
        (drawn,) = sample_states(key, with_log_weights(program, log_weights), ONE_SWEEP, start, [], [block])
        return drawn[0]

    compiled: DrawBlock = jax.jit(draw)
    return compiled


def library_draw(psi: Psi, *, batch: int, seed: int) -> Callable[[int], object]:
    """Draws states of a psi as users of the library would: K + 1 states, whole blocks, fetched from the device."""
    head = (psi.scores - psi.scores.max()) / psi.tau
    log_weights = np.append(head, np.log(psi.tail)).astype(np.float32)
    block = library_block(len(log_weights), batch)
    address = np.array([seed >> 32, seed & 0xFFFF_FFFF, 0, 0], dtype=np.uint32)

    def draw(n: int) -> None:
        for _ in range(0, n, batch):
            np.asarray(block(log_weights, address))
            address[3] += 1

    return draw
