# SPDX-License-Identifier: Apache-2.0
"""Noise generators: step functions, seeding and jump-ahead, for gateware, host and C code alike.

Every generator is a linear engine over GF(2) with 128 bits of state in four 32-bit words (word 0 first) and gives one
32-bit word per step, computed from the state **before** the update.

Sources
-------
xoshiro128++, its jump polynomial: D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators" and the
public-domain reference at prng.di.unimi.it. SplitMix64: the same site. LFSR taps 128, 126, 101, 99: Xilinx XAPP052 and
XAPP210, table of maximal-length taps.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .errors import SpecError, check_int

WORD_BITS = 32
"""Bits of one noise word."""

STATE_WORDS = 4
"""32-bit words of state of every generator."""

STATE_BITS = WORD_BITS * STATE_WORDS
"""Bits of state of every generator."""

JUMP_LOG2 = 64
"""Neighbouring streams start 2**JUMP_LOG2 words apart."""

State = tuple[int, int, int, int]
"""Four 32-bit words, word 0 first."""

LOCKUP_STATE: State = (1, 0, 0, 0)
"""What the gateware puts in place of an all-zero state, which a linear engine would never leave."""

LFSR_TAPS = (128, 126, 101, 99)
"""Taps of the Fibonacci LFSR, counted from 1 at the newest bit."""

LFSR_POLYNOMIAL = (1 << STATE_BITS) | sum(1 << (STATE_BITS - tap) for tap in LFSR_TAPS)
"""x^128 + x^29 + x^27 + x^2 + 1: characteristic polynomial of one LFSR shift, and of 32 of them.

32 is a power of two, so that the 32nd power of a root is a conjugate of that root and has the same minimal polynomial.
"""

XOSHIRO128_JUMP = (0x8764000B, 0xF542D2D3, 0x6FA035C3, 0x77F2DB5B)
"""Published jump polynomial of xoshiro128 for 2**64 steps, lowest coefficients first."""

WORD_MASK = (1 << WORD_BITS) - 1
_MASK64 = (1 << 64) - 1
_STATE_MASK = (1 << STATE_BITS) - 1


def pack_state(state: State) -> int:
    """The state as one 128-bit integer, word 0 in the low bits."""
    return state[0] | state[1] << 32 | state[2] << 64 | state[3] << 96


def unpack_state(packed: int) -> State:
    """The four words of a 128-bit integer, low word first."""
    return (packed & WORD_MASK, packed >> 32 & WORD_MASK, packed >> 64 & WORD_MASK, packed >> 96 & WORD_MASK)


def step_xoshiro128pp(state: State) -> tuple[State, int]:
    """One step of xoshiro128++: (next state, word)."""
    s0, s1, s2, s3 = state
    total = (s0 + s3) & WORD_MASK
    word = (((total << 7) & WORD_MASK | total >> 25) + s0) & WORD_MASK
    shifted = (s1 << 9) & WORD_MASK
    s2 ^= s0
    s3 ^= s1
    return (s0 ^ s3, s1 ^ s2, s2 ^ shifted, (s3 << 11) & WORD_MASK | s3 >> 21), word


def step_lfsr(state: State) -> tuple[State, int]:
    """One shift of the LFSR: (next state, word). The word is the newest 32 bits; its neighbour shares 31 of them."""
    packed = pack_state(state)
    feedback = (packed >> 127 ^ packed >> 125 ^ packed >> 100 ^ packed >> 98) & 1
    return unpack_state((packed << 1 | feedback) & _STATE_MASK), state[0]


def step_lfsr_leap(state: State) -> tuple[State, int]:
    """32 shifts of the LFSR: (next state, word).

    Every tap is 32 or more, so that each of the 32 new bits is an XOR of four bits of the old state.
    """
    packed = pack_state(state)
    fresh = (packed >> 96 ^ packed >> 94 ^ packed >> 69 ^ packed >> 67) & WORD_MASK
    return (fresh, state[0], state[1], state[2]), state[0]


def power_of_x_mod(log2_exponent: int, modulus: int) -> int:
    """x^(2^log2_exponent) modulo a polynomial over GF(2); bit i of an integer is the coefficient of x^i."""
    degree = modulus.bit_length() - 1
    value = 2
    for _ in range(log2_exponent):
        # Squaring over GF(2) spreads the coefficients: a zero goes between neighbouring bits.
        square = int(f"{value:b}", 4)
        while square.bit_length() > degree:
            square ^= modulus << (square.bit_length() - 1 - degree)
        value = square
    return value


@dataclass(frozen=True)
class Generator:
    """One noise generator.

    Parameters
    ----------
    name : str
        Key in `GENERATORS` and value of `--noise`.
    summary : str
        One line for help texts.
    step : callable
        `step(state) -> (next_state, word)`; the word is computed from the state before the update.
    jump_polynomial : int
        x^(2^64) modulo the characteristic polynomial of `step`; bit i is the coefficient of x^i.
    low_quality : bool
        True where neighbouring words are known to be correlated.
    """

    name: str
    summary: str
    step: Callable[[State], tuple[State, int]]
    jump_polynomial: int
    low_quality: bool = False

    def jump(self, state: State) -> State:
        """The state 2**JUMP_LOG2 words later: sum over i of (coefficient i) * step^i(state)."""
        j0 = j1 = j2 = j3 = 0
        polynomial = self.jump_polynomial
        step = self.step
        while polynomial:
            if polynomial & 1:
                j0 ^= state[0]
                j1 ^= state[1]
                j2 ^= state[2]
                j3 ^= state[3]
            state, _ = step(state)
            polynomial >>= 1
        return (j0, j1, j2, j3)

    def words(self, state: State) -> Iterator[int]:
        """The endless sequence of words from `state` on."""
        while True:
            state, word = self.step(state)
            yield word


_LFSR_JUMP = power_of_x_mod(JUMP_LOG2, LFSR_POLYNOMIAL)

GENERATORS: dict[str, Generator] = {
    generator.name: generator
    for generator in (
        Generator(
            name="xoshiro128pp",
            summary="xoshiro128++: linear engine, non-linear output (default)",
            step=step_xoshiro128pp,
            jump_polynomial=sum(word << (WORD_BITS * i) for i, word in enumerate(XOSHIRO128_JUMP)),
        ),
        Generator(
            name="lfsr",
            summary="plain 128-bit LFSR, one shift per word: LOW QUALITY, lag-1 correlation 0.5",
            step=step_lfsr,
            jump_polynomial=_LFSR_JUMP,
            low_quality=True,
        ),
        Generator(
            name="lfsr-leap",
            summary="128-bit LFSR, 32 shifts per word: no correlation of neighbours, but linear over GF(2)",
            step=step_lfsr_leap,
            jump_polynomial=_LFSR_JUMP,
        ),
    )
}
"""Every generator by name; the first one is the default."""


def get_generator(noise: str) -> Generator:
    """The generator called `noise`, or `SpecError` with the legal names."""
    generator = GENERATORS.get(noise)
    if generator is None:
        raise SpecError("noise", noise, "one of " + ", ".join(GENERATORS))
    return generator


def splitmix64(seed: int) -> Iterator[int]:
    """The endless sequence of 64-bit outputs of SplitMix64 started at the 64-bit integer `seed`."""
    state = seed & _MASK64
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK64
        z = state
        z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & _MASK64
        z = ((z ^ z >> 27) * 0x94D049BB133111EB) & _MASK64
        yield z ^ z >> 31


def seed_state(seed: int) -> State:
    """State of stream 0: two SplitMix64 outputs, first output in words 0 and 1, low half first.

    The state is never zero: SplitMix64 is a bijection of a counter, so that only one of two neighbouring outputs can be
    zero. Jumps are invertible, so that no stream of any seed starts at zero.

    Raises
    ------
    SpecError
        `seed` is not an integer in [0, 2**64 - 1].
    """
    check_int("seed", seed, 0, _MASK64)
    outputs = splitmix64(seed)
    first, second = next(outputs), next(outputs)
    return unpack_state(first | second << 64)


def stream_states(noise: str, seed: int, streams: int) -> list[State]:
    """Start states of the first `streams` streams; stream s is stream 0 jumped s times.

    Parameters
    ----------
    noise : str
        A key of `GENERATORS`.
    seed : int
        In [0, 2**64 - 1].
    streams : int
        At least 1.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    generator = get_generator(noise)
    check_int("streams", streams, 1, 1 << 16)
    states = [seed_state(seed)]
    while len(states) < streams:
        states.append(generator.jump(states[-1]))
    return states
