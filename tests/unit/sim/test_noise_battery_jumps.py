# SPDX-License-Identifier: Apache-2.0
"""How far apart streams start: jump distances from published constants and by counting steps."""

import pytest

from hw.spec import noise
from sim.noise.battery import LANES

# D. Blackman, S. Vigna, xoshiro128plusplus.c at prng.di.unimi.it: long_jump() is 2^96 steps.
PUBLISHED_LONG_JUMP = (0xB523952E, 0x0B6F099F, 0xCCF5A0EF, 0x1C580662)


def ref_minimal_polynomial(bits: list[int]) -> int:
    """Minimal polynomial of a bit sequence: the kernel of its Hankel matrix, by Gaussian elimination.

    Bit i is the coefficient of x^i; the degree is `STATE_BITS`.
    """
    n = noise.STATE_BITS
    # sum_i c_i s_(t + i) = s_(t + n) for all t: n equations in c_0 .. c_(n - 1), the right side in bit n.
    rows = [sum(bits[t + i] << i for i in range(n + 1)) for t in range(n)]
    for column in range(n):
        pivot = next(r for r in range(column, n) if rows[r] >> column & 1)
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows = [row ^ rows[column] if r != column and row >> column & 1 else row for r, row in enumerate(rows)]
    return 1 << n | sum((row >> n & 1) << r for r, row in enumerate(rows))


def engine_polynomial(name: str) -> int:
    """Characteristic polynomial of one step of a generator's engine, from the lowest bit of its state."""
    state: noise.State = (1, 2, 3, 4)
    bits = []
    for _ in range(2 * noise.STATE_BITS):
        bits.append(state[0] & 1)
        state, _ = noise.GENERATORS[name].step(state)
    return ref_minimal_polynomial(bits)


def test_published_long_jump_is_the_published_jump_2_to_the_32_times() -> None:
    polynomial = engine_polynomial("xoshiro128pp")
    published = sum(word << (32 * i) for i, word in enumerate(PUBLISHED_LONG_JUMP))
    assert noise.power_of_x_mod(96, polynomial) == published
    # Squared 32 times, the jump that seeds our streams has to give the published 2^96 steps.
    value = noise.GENERATORS["xoshiro128pp"].jump_polynomial
    for _ in range(32):
        value = int(f"{value:b}", 4)
        while value.bit_length() > noise.STATE_BITS:
            value ^= polynomial << (value.bit_length() - 1 - noise.STATE_BITS)
    assert value == published


@pytest.mark.parametrize("name", list(noise.GENERATORS))
def test_a_jump_polynomial_is_so_many_steps(name: str) -> None:
    """2^9 steps by the polynomial and one by one: the rule that turns x^(2^k) into a distance."""
    polynomial = engine_polynomial(name)
    generator = noise.GENERATORS[name]
    short = noise.Generator(
        name=name, summary="", step=generator.step, jump_polynomial=noise.power_of_x_mod(9, polynomial)
    )
    start = state = noise.seed_state(77)
    for _ in range(1 << 9):
        state, _ = generator.step(state)
    assert short.jump(start) == state
    assert noise.power_of_x_mod(noise.JUMP_LOG2, polynomial) == generator.jump_polynomial


@pytest.mark.parametrize("name", list(noise.GENERATORS))
def test_all_streams_of_a_seed_fit_on_the_cycle(name: str) -> None:
    period = 2**noise.STATE_BITS - 1
    streams_max = 1 << 16  # hw.spec.noise.stream_states refuses more
    with pytest.raises(ValueError, match="streams"):
        noise.stream_states(name, 0, streams_max + 1)
    assert streams_max * 2**noise.JUMP_LOG2 < period
    states = noise.stream_states(name, 1, 3 * LANES)
    assert len(set(states)) == 3 * LANES
