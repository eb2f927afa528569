# SPDX-License-Identifier: Apache-2.0
"""From a psi to the TSU's command words: integers of docs/DESIGN_TSD.md section 3, and the four commands.

All arithmetic is on Python integers and fractions; nothing is rounded in floating point.
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from host.psi.schema import Psi
from hw.spec.commands import (
    BLOCK_HEADER_WORDS,
    BLOCK_LENGTH_BITS,
    COMMAND_VERSION,
    COMMON_FIELDS,
    DRAW_COMMAND_WORDS,
    ENTRY_FIELDS,
    LOAD_FIELDS,
    LOAD_HEADER_WORDS,
    TABLE_ENTRIES,
    Opcode,
    WeightMode,
    put_field,
)
from hw.spec.config import CONTEXTS_LIMIT, TsuConfig
from hw.spec.errors import SpecError, check_int
from hw.spec.exp2 import log2_ratio_q
from hw.spec.noise import stream_states

COUNT_MAX = (1 << COMMON_FIELDS["count"].width) - 1
"""Most draws that one command can ask for."""

BLOCK_LENGTH_MAX = (1 << BLOCK_LENGTH_BITS) - 1
"""Most tokens of a stream that one command can ask for."""

Words = npt.NDArray[np.uint32]
"""The words of one command."""

_START_BITS = 192
_REDUCTION_BITS = 16


@dataclass(frozen=True, kw_only=True)
class LoweredPsi:
    """The integers that a LOAD carries beside ids and score codes.

    Parameters
    ----------
    psi : Psi
        Where they come from.
    mode : WeightMode
        Table or on-chip exp2.
    shift : int
        h: right shift of every weight.
    tail_weight : int
        T, in units of the shifted weights.
    score_max_q : int
        Largest score code.
    log2_ratio_q : int
        a = scale / (tau ln 2) in UQ6.44; 0 in table mode.
    """

    psi: Psi
    mode: WeightMode
    shift: int
    tail_weight: int
    score_max_q: int
    log2_ratio_q: int


def check_mode(config: TsuConfig, mode: str | None) -> WeightMode:
    """The weight mode called `mode` ("table" or "exp2"); None takes the table where the TSU has one.

    Raises
    ------
    SpecError
        The name is unknown, or the TSU of `config` is built without that mode.
    """
    built = {"table": config.has_table, "exp2": config.has_exp2}
    if mode is None:
        mode = "table" if config.has_table else "exp2"
    if not built.get(mode):
        raise SpecError("mode", mode, "one of " + ", ".join(name for name, present in built.items() if present))
    return WeightMode[mode.upper()]


def lower(psi: Psi, config: TsuConfig, mode: WeightMode) -> LoweredPsi:
    """Shift h, tail weight T and exp2 ratio a of a psi: docs/DESIGN_TSD.md section 3, items 1 to 3.

    Raises
    ------
    SpecError
        K or V exceed the capacity of `config`, or the TSU is built without `mode`.
    """
    check_int("k", psi.k, 1, config.k_max)
    check_int("vocab_size", psi.vocab_size, psi.k, config.vocab_max)
    mode = check_mode(config, mode.name.lower())
    weight_top = 1 << (config.weight_bits - 1)
    numerator, denominator = psi.tail.as_integer_ratio()
    tail_full = numerator * weight_top  # over the denominator
    bound = (psi.k + 1) * weight_top + -(-tail_full // denominator)
    shift = max(0, bound.bit_length() - config.total_bits)
    tail_weight = 0
    if psi.tail:
        unit = denominator << shift
        tail_weight = max(1, (2 * tail_full + unit) // (2 * unit))
    return LoweredPsi(
        psi=psi,
        mode=mode,
        shift=shift,
        tail_weight=tail_weight,
        score_max_q=psi.score_max_q,
        log2_ratio_q=log2_ratio_q(psi.scale, psi.tau) if mode is WeightMode.EXP2 else 0,
    )


def _header(opcode: Opcode, tag: int, words: int) -> list[int]:
    header = [0] * words
    put_field(header, COMMON_FIELDS, "opcode", opcode)
    put_field(header, COMMON_FIELDS, "version", COMMAND_VERSION)
    put_field(header, COMMON_FIELDS, "tag", check_int("tag", tag, 0, (1 << COMMON_FIELDS["tag"].width) - 1))
    return header


def load_command(lowered: LoweredPsi, *, count: int, tag: int = 0) -> Words:
    """LOAD: the psi in the free bank, then `count` draws; uint32 ndarray of shape (8 + K,)."""
    psi = lowered.psi
    header = _header(Opcode.LOAD, tag, LOAD_HEADER_WORDS)
    put_field(header, COMMON_FIELDS, "count", check_int("count", count, 0, COUNT_MAX))
    for name, value in (
        ("vocab_size", psi.vocab_size),
        ("score_max_q", lowered.score_max_q),
        ("k", psi.k),
        ("mode", lowered.mode),
        ("shift", lowered.shift),
        ("tail_weight", lowered.tail_weight),
        ("log2_ratio_q", lowered.log2_ratio_q),
    ):
        put_field(header, LOAD_FIELDS, name, value)
    words = np.empty(LOAD_HEADER_WORDS + psi.k, dtype=np.uint32)
    words[:LOAD_HEADER_WORDS] = header
    codes = psi.scores_q.view(np.uint8).astype(np.uint32)
    words[LOAD_HEADER_WORDS:] = psi.ids << ENTRY_FIELDS["id"].low | codes << ENTRY_FIELDS["score_q"].low
    return words


def with_count(load: Words, count: int) -> Words:
    """A LOAD that asks for another number of draws; the given one stays as it is."""
    words = load.copy()
    field = COMMON_FIELDS["count"]
    words[field.word] = check_int("count", count, 0, COUNT_MAX)
    return words


def draw_command(*, count: int, tag: int = 0) -> Words:
    """DRAW: `count` more draws from the psi loaded last; uint32 ndarray of shape (2,)."""
    words = _header(Opcode.DRAW, tag, DRAW_COMMAND_WORDS)
    put_field(words, COMMON_FIELDS, "count", check_int("count", count, 0, COUNT_MAX))
    return np.array(words, dtype=np.uint32)


def context_command(lowered: LoweredPsi, *, slot: int, tag: int = 0) -> Words:
    """CONTEXT: the psi in a slot of the psi bank; uint32 ndarray of shape (8 + K,)."""
    words = load_command(lowered, count=check_int("slot", slot, 0, CONTEXTS_LIMIT - 1), tag=tag)
    words[0] += Opcode.CONTEXT - Opcode.LOAD
    return words


def block_command(contexts: npt.NDArray[np.uint32], *, length: int, tag: int = 0) -> Words:
    """BLOCK: `length` tokens for each stream, which starts in its context; uint32 ndarray of shape (2 + streams,)."""
    header = _header(Opcode.BLOCK, tag, BLOCK_HEADER_WORDS)
    put_field(header, COMMON_FIELDS, "count", check_int("length", length, 0, BLOCK_LENGTH_MAX))
    return np.array([*header, *contexts], dtype=np.uint32)


def table_command(entries: npt.NDArray[np.uint64], *, tag: int = 0) -> Words:
    """TABLE: the 256 weights of `weight_table`; uint32 ndarray of shape (513,)."""
    check_int("len(entries)", len(entries), TABLE_ENTRIES, TABLE_ENTRIES)
    header = np.array(_header(Opcode.TABLE, tag, 1), dtype=np.uint32)
    return np.concatenate([header, entries.astype("<u8").view("<u4").astype(np.uint32)])


def seed_command(config: TsuConfig, seed: int, *, tag: int = 0) -> Words:
    """SEED: the start state of every noise stream, stream 0 first, word 0 of each first.

    Raises
    ------
    SpecError
        `seed` is not an integer in [0, 2**64 - 1].
    """
    states = stream_states(config.noise, seed, config.noise_streams)
    header = _header(Opcode.SEED, tag, 1)
    return np.array([*header, *(word for state in states for word in state)], dtype=np.uint32)


def _exp_bounds(exponent: Fraction, bits: int) -> tuple[int, int]:
    """Integers low <= exp(-exponent) 2^bits <= high, for 0 <= exponent < 2^_REDUCTION_BITS / 8.

    The alternating series is summed on exponent / 2^_REDUCTION_BITS with every term rounded outwards, and squared back.
    """
    reduced = (exponent.numerator << bits) // (exponent.denominator << _REDUCTION_BITS)
    one = 1 << bits
    low = high = term_low = term_high = one
    order = 0
    while term_high > 1:
        order += 1
        # The argument lies in [reduced, reduced + 1].
        term_low = (term_low * reduced) // (order << bits)
        term_high = -(-term_high * (reduced + 1) // (order << bits))
        low, high = (low - term_high, high - term_low) if order % 2 else (low + term_low, high + term_high)
    low, high = low - 1, high + 1  # what follows an alternating, shrinking series is below its last term
    for _ in range(_REDUCTION_BITS):
        low, high = low * low >> bits, (high * high >> bits) + 1
    return low, high


def _round_half_even(value: int, bits: int) -> int:
    """value / 2^bits rounded to the nearest integer, ties to even."""
    half = 1 << (bits - 1)
    whole, rest = value >> bits, value & ((1 << bits) - 1)
    return whole + (rest > half or (rest == half and whole & 1))


def _table_at(ratio: Fraction, weight_bits: int, bits: int) -> list[int] | None:
    """The table from `bits` fraction bits, or None where they do not decide the rounding of an entry."""
    low_ratio, high_ratio = _exp_bounds(ratio, bits)
    low = high = 1 << bits
    entries = [1 << (weight_bits - 1)]
    while len(entries) < TABLE_ENTRIES:
        low, high = low * low_ratio >> bits, (high * high_ratio >> bits) + 1
        rounded = _round_half_even(low << (weight_bits - 1), bits)
        if rounded != _round_half_even(high << (weight_bits - 1), bits):
            return None
        entries.append(max(1, rounded))
    return entries


@lru_cache(maxsize=256)
def weight_table(scale: float, tau: float, weight_bits: int) -> npt.NDArray[np.uint64]:
    """E_d = max(1, round_half_even(2^(W-1) exp(-d scale / tau))) for d = 0..255, correctly rounded.

    Lower and upper bounds of every value are carried as integers; the precision doubles until both round alike. It does
    so at some point, for exp of a non-zero rational is irrational and so never a tie.

    Parameters
    ----------
    scale : float
        Nats per code, finite, >= 0.
    tau : float
        Temperature, finite, > 0.
    weight_bits : int
        W, in [4, 48].

    Returns
    -------
    uint64 ndarray of shape (256,), read-only
    """
    check_int("weight_bits", weight_bits, 4, 48)
    ratio = Fraction(scale) / Fraction(tau)
    if ratio == 0:
        values: list[int] | None = [1 << (weight_bits - 1)] * TABLE_ENTRIES
    elif ratio >= weight_bits:  # exp(-W) 2^(W-1) < 1/2 already at d = 1
        values = [1 << (weight_bits - 1)] + [1] * (TABLE_ENTRIES - 1)
    else:
        bits = _START_BITS
        while (values := _table_at(ratio, weight_bits, bits)) is None:
            bits *= 2
    table = np.array(values, dtype=np.uint64)
    table.flags.writeable = False
    return table
