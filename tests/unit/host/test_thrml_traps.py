# SPDX-License-Identifier: Apache-2.0
"""Traps of thrml 0.1.4: each is shown in the library as it is, and shown not to catch the backend.

Where a test of the library's own behaviour fails, the trap is gone and what guards against it can go too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("thrml", reason="thrml is not installed: make setup-thrml")

import jax
import jax.numpy as jnp
from thrml import Block, BlockGibbsSpec, CategoricalNode, FactorSamplingProgram, SamplingSchedule, sample_states
from thrml.models import CategoricalEBMFactor, CategoricalGibbsConditional

from host.psi.schema import Psi
from host.tsu.thrml import ThrmlTsu
from host.tsu.thrml_program import (
    ABSENT,
    GENERATOR,
    ONE_SWEEP,
    STATE_DTYPE,
    ArrivalConditional,
    arrival_times,
    block_program,
    draw_block,
    with_log_weights,
)
from hw.spec.config import TsuConfig
from tests.reference.race_law import law_error

KEY = jax.random.key(7, impl=GENERATOR)


def sweep(
    program: FactorSamplingProgram, start: npt.NDArray[np.unsignedinteger], schedule: SamplingSchedule = ONE_SWEEP
) -> npt.NDArray[np.unsignedinteger]:
    """States of the only block, of shape (samples, nodes)."""
    (block,) = program.gibbs_spec.free_blocks
    return np.asarray(sample_states(KEY, program, schedule, [jnp.asarray(start)], [], [block])[0])


# --- node dtype -----------------------------------------------------------------------------------------------------


def test_a_node_of_8_bits_holds_256_states() -> None:
    block = Block([CategoricalNode() for _ in range(4)])
    factor = CategoricalEBMFactor([block], jnp.zeros((4, 300)))
    program = FactorSamplingProgram(BlockGibbsSpec([block], []), [CategoricalGibbsConditional(300)], [factor], [])
    with pytest.raises(RuntimeError, match="300 exceeds"):
        sweep(program, np.zeros(4, np.uint8))


def test_states_above_255_are_drawn() -> None:
    assert STATE_DTYPE == jnp.uint16
    psi = Psi(ids=np.arange(300), scores_q=[0] * 300, scale=0.1, zero_point=0, tau=1.0, tail=0.0, vocab_size=300)
    with ThrmlTsu(config=TsuConfig(k_max=512), seed=1) as tsu:
        assert len(np.unique(tsu.sample(psi, 8000).tokens)) == 300  # P(one is missing) < 1e-8


# --- warm-up --------------------------------------------------------------------------------------------------------


def test_without_warm_up_the_first_sample_is_the_initial_state() -> None:
    only_two = np.full(17, ABSENT, dtype=np.float32)
    only_two[2] = 0
    program = block_program(states=17, batch=3, conditional=ArrivalConditional(17))
    program, start = with_log_weights(program, jnp.asarray(only_two)), np.zeros(3, np.uint16)
    assert sweep(program, start, SamplingSchedule(0, 2, 1)).tolist() == [[0, 0, 0], [2, 2, 2]]
    assert sweep(program, start).tolist() == [[2, 2, 2]]
    address = np.array([0, 1, 2, 3], dtype=np.uint32)
    assert np.asarray(draw_block(17, 16)(only_two, address)).tolist() == [2] * 16


# --- infinite weights -----------------------------------------------------------------------------------------------


def padded_states(forbidden: float) -> npt.NDArray[np.unsignedinteger]:
    """Draws of node 1, of shape (400,), which has one factor where node 0 has two: the library pads node 1 with weights
    of node 0, switched off by a factor 0. State 0 of node 0 has the log-weight `forbidden`."""
    block = Block([CategoricalNode() for _ in range(2)])
    weights = np.zeros((3, 4), dtype=np.float32)
    weights[0, 0] = forbidden
    weights[2] = [ABSENT, 0, 0, ABSENT]  # node 1 is in state 1 or 2
    heads = Block([block.nodes[0], block.nodes[0], block.nodes[1]])
    spec = BlockGibbsSpec([block], [], {CategoricalNode: jax.ShapeDtypeStruct((), STATE_DTYPE)})
    factor = CategoricalEBMFactor([heads], jnp.asarray(weights))
    program = FactorSamplingProgram(spec, [CategoricalGibbsConditional(4)], [factor], [])
    return sweep(program, np.zeros(2, np.uint16), SamplingSchedule(1, 400, 1))[:, 1]


def test_minus_infinity_corrupts_another_node_and_a_finite_weight_does_not() -> None:
    assert set(padded_states(-np.inf).tolist()) != {1, 2}
    assert set(padded_states(ABSENT).tolist()) == {1, 2}


def test_a_padded_state_never_comes_first() -> None:
    """Its time is infinite for every word; that of the rarest real state is finite (2^-71 of the best) and above 0."""
    words = np.array([0, 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1], dtype=np.uint32)
    assert np.isinf(arrival_times(words, jnp.float32(ABSENT))).all()
    for log_weight in (0.0, -71 * np.log(2)):
        times = np.asarray(arrival_times(words, jnp.float32(log_weight)))
        assert np.isfinite(times).all()
        assert (times > 0).all()


# --- Gumbel noise -----------------------------------------------------------------------------------------------------


def test_the_librarys_gumbel_noise_ends_at_15_95() -> None:
    """Of 2^27 true Gumbel numbers none is above 15.95 with probability exp(-2^27 exp(-15.95)) = 1e-7."""
    largest = jax.jit(lambda key: jax.random.gumbel(key, (1 << 24,)).max())
    assert max(float(largest(jax.random.fold_in(KEY, i))) for i in range(8)) < 15.95


@pytest.mark.parametrize(("exponent", "relative"), [(24, 1e-6), (30, 1e-5)])
def test_a_rare_state_has_its_probability(exponent: int, relative: float) -> None:
    weights = np.array([1.0, 2.0**-exponent])
    error = law_error(np.log(weights).astype(np.float32), weights)
    assert abs(error[1]) < relative * weights[1]


# --- compilation ------------------------------------------------------------------------------------------------------


@contextmanager
def compilations() -> Iterator[Callable[[], int]]:
    """Counts XLA compilations while it is open."""
    events = []

    def note(name: str, seconds: float, **_: object) -> None:
        if name == "/jax/core/compile/backend_compile_duration":
            events.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield lambda: len(events)
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def psi_of(seed: int) -> Psi:
    """K from 33 to 64, with a tail or without: one bucket."""
    rng = np.random.default_rng(seed)
    k = int(rng.integers(33, 65))
    return Psi(
        ids=np.sort(rng.choice(1000, k, replace=False)),
        scores_q=rng.integers(-128, 128, k),
        scale=0.03 + 0.001 * seed,
        zero_point=0,
        tau=1.0,
        tail=0.5 * (seed % 2),
        vocab_size=1000,
    )


def test_a_new_psi_is_not_compiled() -> None:
    with ThrmlTsu(config=TsuConfig(), seed=4) as tsu:
        tsu.sample(psi_of(0), 17)
        with compilations() as count:
            for seed in range(1, 60):
                tsu.sample(psi_of(seed), 17)
            tsu.reseed(5)
            tsu.sample(psi_of(0), 17)
            assert count() == 0
    with compilations() as count, ThrmlTsu(config=TsuConfig(k_max=256, lanes=4), seed=9) as tsu:
        tsu.sample(psi_of(3), 17)
        assert count() == 0  # another TSU of the process


def test_a_program_of_its_own_for_each_psi_is_compiled_each_time() -> None:
    """What the count above is for: the same draws with the weights built in."""
    with compilations() as count:
        for seed in range(2):
            weights = jnp.linspace(0.0, -1.0 - seed, 17)
            program = block_program(states=17, batch=4, conditional=ArrivalConditional(17))
            program = with_log_weights(program, weights)
            (block,) = program.gibbs_spec.free_blocks
            draw = jax.jit(
                lambda key, program=program, block=block: sample_states(
                    key, program, ONE_SWEEP, [jnp.zeros(4, STATE_DTYPE)], [], [block]
                )
            )
            draw(KEY)
        assert count() >= 2
