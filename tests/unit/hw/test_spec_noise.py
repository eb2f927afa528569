# SPDX-License-Identifier: Apache-2.0
"""Noise reference: published vectors, primitivity of the polynomials, jump-ahead."""

import itertools
import time

import pytest

from hw.spec import noise
from hw.spec.errors import SpecError

# Factorisation of 2^128 - 1 into Fermat numbers and their known prime factors.
PRIMES = (3, 5, 17, 257, 641, 65537, 274177, 6700417, 67280421310721)
ORDER = 2**128 - 1

# Rust crate rand_xoshiro, src/xoshiro128plusplus.rs: words of the C reference from state {1, 2, 3, 4}.
XOSHIRO_1234 = [
    641,
    1573767,
    3222811527,
    3517856514,
    836907274,
    4247214768,
    3867114732,
    1355841295,
    495546011,
    621204420,
]

# Repository edorfaus/xoshiro-6502, test-rom/testdata.asm: outputs, states and jumps of the C reference.
XOSHIRO_STATES = [
    (0x964D4A0C, 0xD40AB895, 0xAD7FDECB, 0x3006F0F0),
    (0x72410269, 0xEF382C52, 0x2E43BEC7, 0x62432F20),
    (0xFF3A011B, 0xB33A90FC, 0x2C5A18AE, 0xD81B946B),
    (0x941B058C, 0x605A8949, 0xA641E1B5, 0x0824BB59),
    (0xFC65379C, 0x52006D70, 0x87487639, 0xF1908343),
]
XOSHIRO_WORDS = [0xC06AC86F, 0xB459C753, 0xAA04C486, 0xB3FB785A]
XOSHIRO_JUMPS = [
    (0x2A6DD50D, 0x01177499, 0xD7EB7D01, 0xDDC48284),
    (0x5EFDEE5A, 0x3AA13C3D, 0x8CC77479, 0xEB10A58F),
    (0x2CA76937, 0x14C9006E, 0x34097EA8, 0xFDD876EA),
    (0x01B72C9A, 0xA78174AA, 0x1CC317BE, 0x888235B2),
]

# Rosetta Code, "Pseudo-random numbers/Splitmix64".
SPLITMIX_1234567 = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]


def take(name: str, state: noise.State, count: int) -> list[int]:
    """The first `count` words of a generator."""
    return list(itertools.islice(noise.GENERATORS[name].words(state), count))


def multiply_mod(a: int, b: int, modulus: int) -> int:
    """Product of two polynomials over GF(2), reduced; schoolbook, one bit of `b` at a time."""
    degree = modulus.bit_length() - 1
    result = 0
    while b:
        if b & 1:
            result ^= a
        b >>= 1
        a <<= 1
        if a >> degree:
            a ^= modulus
    return result


def power_mod(exponent: int, modulus: int) -> int:
    """x^exponent modulo a polynomial, for any exponent."""
    result, base = 1, 2
    while exponent:
        if exponent & 1:
            result = multiply_mod(result, base, modulus)
        base = multiply_mod(base, base, modulus)
        exponent >>= 1
    return result


def is_primitive(polynomial: int) -> bool:
    """Whether x has order 2^128 - 1 modulo a polynomial of degree 128."""
    return power_mod(ORDER, polynomial) == 1 and all(power_mod(ORDER // p, polynomial) != 1 for p in PRIMES)


def minimal_polynomial(bits: list[int]) -> int:
    """Berlekamp-Massey: minimal polynomial of a bit sequence, bit i is the coefficient of x^i."""
    connection, previous, length, gap = 1, 1, 0, 1
    window = 0
    for n, bit in enumerate(bits):
        window = window << 1 | bit
        if (connection & window).bit_count() & 1:
            saved = connection
            connection ^= previous << gap
            if 2 * length <= n:
                length, previous, gap = n + 1 - length, saved, 0
        gap += 1
    return int(f"{connection:0{length + 1}b}"[::-1], 2)


def state_bits(name: str, bit: int, count: int) -> list[int]:
    """One state bit of the linear engine over `count` steps."""
    state: noise.State = (1, 2, 3, 4)
    bits = []
    for _ in range(count):
        bits.append(noise.pack_state(state) >> bit & 1)
        state, _ = noise.GENERATORS[name].step(state)
    return bits


def test_factors_of_the_order() -> None:
    product = 1
    for prime in PRIMES:
        product *= prime
        assert all(prime % d for d in range(2, min(prime, 10_000)))
    assert product == ORDER


def test_xoshiro_published_words() -> None:
    assert take("xoshiro128pp", (1, 2, 3, 4), len(XOSHIRO_1234)) == XOSHIRO_1234
    assert take("xoshiro128pp", XOSHIRO_STATES[0], 4) == XOSHIRO_WORDS


def test_xoshiro_published_states_and_jumps() -> None:
    state = XOSHIRO_STATES[0]
    for expected in XOSHIRO_STATES[1:]:
        state, _ = noise.step_xoshiro128pp(state)
        assert state == expected
    state = XOSHIRO_STATES[0]
    for expected in XOSHIRO_JUMPS:
        state = noise.GENERATORS["xoshiro128pp"].jump(state)
        assert state == expected


def test_splitmix_published_outputs() -> None:
    assert list(itertools.islice(noise.splitmix64(1234567), 5)) == SPLITMIX_1234567


def test_seed_state_word_order() -> None:
    first, second = SPLITMIX_1234567[:2]
    expected = (first % 2**32, first >> 32, second % 2**32, second >> 32)
    assert noise.seed_state(1234567) == expected


def test_lfsr_bits_follow_the_published_taps() -> None:
    """Every new bit is the XOR of the bits 128, 126, 101 and 99 shifts earlier (taps counted from 1)."""
    start = noise.seed_state(5)
    packed = noise.pack_state(start)
    history = [packed >> (127 - i) & 1 for i in range(128)]
    for _ in range(320):
        history.append(history[-128] ^ history[-126] ^ history[-101] ^ history[-99])

    def newest(shifts: int) -> int:
        return int("".join(str(b) for b in history[128 + shifts - 32 : 128 + shifts]), 2)

    assert take("lfsr", start, 100) == [newest(i) for i in range(100)]
    assert take("lfsr-leap", start, 10) == [newest(32 * i) for i in range(10)]


def test_lfsr_polynomial_is_primitive() -> None:
    assert is_primitive(noise.LFSR_POLYNOMIAL)
    # A wrong tap must fail: 98 in place of 99.
    assert not is_primitive(noise.LFSR_POLYNOMIAL ^ 1 << 29 ^ 1 << 30)


@pytest.mark.parametrize("name", noise.GENERATORS)
@pytest.mark.parametrize("bit", [0, 77])
def test_jump_polynomial_from_the_measured_characteristic_polynomial(name: str, bit: int) -> None:
    """x^(2^64) modulo the polynomial that Berlekamp-Massey finds in 300 steps of one state bit."""
    polynomial = minimal_polynomial(state_bits(name, bit, 300))
    assert polynomial.bit_length() == 129
    assert is_primitive(polynomial)
    assert noise.GENERATORS[name].jump_polynomial == power_mod(2**64, polynomial)
    if name != "xoshiro128pp":
        assert polynomial == noise.LFSR_POLYNOMIAL


@pytest.mark.parametrize("name", noise.GENERATORS)
def test_streams_are_jumps_of_stream_zero(name: str) -> None:
    states = noise.stream_states(name, 11, 5)
    assert states[0] == noise.seed_state(11)
    assert len(set(states)) == 5
    # 2^64 jumps of 2^64 steps are 2^128 steps, one more than the period. Squaring the step matrix 64 times is the
    # polynomial-free way to the same jump; columns are the images of the 128 unit states.
    generator = noise.GENERATORS[name]
    columns = [noise.pack_state(generator.step(noise.unpack_state(1 << i))[0]) for i in range(128)]

    def apply(matrix: list[int], vector: int) -> int:
        result = 0
        for i in range(128):
            if vector >> i & 1:
                result ^= matrix[i]
        return result

    for _ in range(noise.JUMP_LOG2):
        columns = [apply(columns, column) for column in columns]
    for before, after in itertools.pairwise(states):
        assert noise.unpack_state(apply(columns, noise.pack_state(before))) == after


def test_plain_lfsr_is_labelled_and_correlated() -> None:
    """Lag-1 correlation of words: 0.5 +- 6/sqrt(N) for the plain LFSR, 0 for the others.

    N = 20,000 and seed 3, fixed beforehand. The standard error of a correlation is at most 1/sqrt(N) = 0.007, so that
    6 standard errors (alpha = 2e-9) separate 0.5 from 0.
    """
    count = 20_000
    for name, generator in noise.GENERATORS.items():
        words = [w / 2**32 - 0.5 for w in take(name, noise.seed_state(3), count + 1)]
        correlation = 12 * sum(a * b for a, b in itertools.pairwise(words)) / count
        expected = 0.5 if generator.low_quality else 0.0
        assert abs(correlation - expected) < 6 / count**0.5, name
    assert [g.name for g in noise.GENERATORS.values() if g.low_quality] == ["lfsr"]


def test_zero_is_a_fixed_point_that_seeding_never_gives() -> None:
    for generator in noise.GENERATORS.values():
        assert generator.step((0, 0, 0, 0)) == ((0, 0, 0, 0), 0)
        assert generator.jump((0, 0, 0, 0)) == (0, 0, 0, 0)
    # The output function of SplitMix64 maps the counter value 0 to 0: the worst seeds put it in either position.
    gamma = 0x9E3779B97F4A7C15
    for worst in (0, -gamma % 2**64, -2 * gamma % 2**64):
        assert any(noise.seed_state(worst))
    assert noise.seed_state(-gamma % 2**64)[:2] == (0, 0)
    assert noise.seed_state(-2 * gamma % 2**64)[2:] == (0, 0)
    assert any(noise.LOCKUP_STATE)


def test_streams_are_fast() -> None:
    started = time.process_time()
    noise.stream_states("xoshiro128pp", 1, 24)
    assert time.process_time() - started < 0.1


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("nope", 1, 1), "noise"),
        (("lfsr", -1, 1), "seed"),
        (("lfsr", 2**64, 1), "seed"),
        (("lfsr", 1.5, 1), "seed"),
        (("lfsr", 1, 0), "streams"),
    ],
)
def test_bad_arguments(arguments: tuple[str, int, int], field: str) -> None:
    with pytest.raises(SpecError, match=f"^{field} = .* is not legal: expected [^\n]*$"):
        noise.stream_states(*arguments)
