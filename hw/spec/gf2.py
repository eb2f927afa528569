# SPDX-License-Identifier: Apache-2.0
"""Linear maps of a noise generator's state over GF(2): where a stream was some words ago."""

from functools import cache

from .noise import STATE_BITS, State, get_generator, pack_state, unpack_state

Columns = tuple[int, ...]
"""A square matrix: column i is the image of bit i."""


def image(columns: Columns, vector: int) -> int:
    """The matrix times a vector: the XOR of the columns that its ones choose."""
    total = 0
    while vector:
        lowest = vector & -vector
        total ^= columns[lowest.bit_length() - 1]
        vector ^= lowest
    return total


def inverse(columns: Columns) -> Columns:
    """The inverse of an invertible matrix, by elimination. Raises ValueError for one that is singular."""
    size = len(columns)
    left, right = list(columns), [1 << index for index in range(size)]
    for pivot in range(size):
        found = next((index for index in range(pivot, size) if left[index] >> pivot & 1), None)
        if found is None:
            raise ValueError(f"a singular matrix of {size} columns has no inverse")
        left[pivot], left[found] = left[found], left[pivot]
        right[pivot], right[found] = right[found], right[pivot]
        for index in range(size):
            if index != pivot and left[index] >> pivot & 1:
                left[index] ^= left[pivot]
                right[index] ^= right[pivot]
    return tuple(right)


@cache
def _rewind(noise: str, words_log2: int) -> Columns:
    """The map that takes a state 2**words_log2 words back."""
    step = get_generator(noise).step
    columns = inverse(tuple(pack_state(step(unpack_state(1 << bit))[0]) for bit in range(STATE_BITS)))
    for _ in range(words_log2):
        columns = tuple(image(columns, column) for column in columns)
    return columns


def state_before(noise: str, state: State, *, words_log2: int) -> State:
    """The state from which the generator called `noise` reaches `state` in 2**words_log2 words.

    Every generator's step is linear over GF(2) and invertible, so that there is exactly one.

    Raises
    ------
    SpecError
        `noise` is not the name of a generator.
    """
    return unpack_state(image(_rewind(noise, words_log2), pack_state(state)))
