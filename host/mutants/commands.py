# SPDX-License-Identifier: Apache-2.0
"""Random commands, word by word: legal ones, and any field of them set to something else."""

from collections.abc import Sequence

import numpy as np

from hw.spec.commands import (
    COMMAND_VERSION,
    COMMON_FIELDS,
    ENTRY_FIELDS,
    LOAD_FIELDS,
    LOAD_HEADER_WORDS,
    TABLE_COMMAND_WORDS,
    Opcode,
    WeightMode,
    seed_word_count,
)
from hw.spec.config import TsuConfig
from hw.spec.exp2 import RATIO_BITS
from hw.spec.noise import STATE_WORDS

Command = list[int]
Entries = Sequence[tuple[int, int]]
"""(id, score code) of every top-K token."""

_FIELDS = COMMON_FIELDS | LOAD_FIELDS
_WORD_MASK = (1 << 32) - 1
_CODE_BITS = ENTRY_FIELDS["score_q"].width


def signed(code: int) -> int:
    """A score code as a number."""
    return code - (1 << _CODE_BITS) if code >> (_CODE_BITS - 1) else code


def pack(values: dict[str, int], length: int) -> Command:
    """A header of `length` words with these fields; what does not fit a field is cut off."""
    words = [0] * length
    for name, value in values.items():
        field = _FIELDS[name]
        bits = (value & ((1 << field.width) - 1)) << field.low
        for offset in range((field.low + field.width + 31) // 32):
            words[field.word + offset] |= bits >> (32 * offset) & _WORD_MASK
    return words


def head(opcode: int, tag: int, *, version: int = COMMAND_VERSION) -> Command:
    """The first word of a command."""
    return pack({"opcode": opcode, "version": version, "tag": tag}, 1)


def draw(count: int, tag: int) -> Command:
    """DRAW."""
    return [*head(Opcode.DRAW, tag), count]


class CommandMaker:
    """Random legal commands for one configuration.

    Parameters
    ----------
    config : TsuConfig
    rng : np.random.Generator
    """

    def __init__(self, *, config: TsuConfig, rng: np.random.Generator) -> None:
        self._config = config
        self._rng = rng

    def below(self, limit: int) -> int:
        """Uniform in [0, limit)."""
        return int(self._rng.integers(limit, dtype=np.uint64))

    def words(self, n: int) -> Command:
        """n random words."""
        return [int(word) for word in self._rng.integers(0, 1 << 32, n, dtype=np.uint64)]

    def entries(self, k: int, vocab: int) -> list[tuple[int, int]]:
        """k entries with ids below `vocab`, one time in four next to each other."""
        first = self.below(vocab - k + 1)
        crowd = range(first, first + k)
        ids = crowd if self.below(4) == 0 else sorted(self._rng.choice(vocab, k, replace=False).tolist())
        codes = [self.below(1 << _CODE_BITS) for _ in range(k)]
        if self.below(4) == 0:  # neighbouring scores: weights of one size
            codes = [(codes[0] + self.below(4)) % (1 << _CODE_BITS) for _ in range(k)]
        return list(zip(ids, codes, strict=True))

    def load(
        self,
        *,
        tag: int,
        count: int = 0,
        k: int | None = None,
        mode: WeightMode | None = None,
        entries: Entries | None = None,
        **changes: int,
    ) -> Command:
        """LOAD with random fields, those of `changes` (see `LOAD_FIELDS`) as given.

        A random one is legal but for its total, which is too small or too large now and then.
        """
        config = self._config
        size = len(entries) if entries is not None else 1 + self.below(config.k_max) if k is None else k
        vocab = changes.get("vocab_size", size + self.below(max(0, config.vocab_max - size) + 1))
        rows = self.entries(size, max(size, min(vocab, config.vocab_max))) if entries is None else entries
        if mode is None:
            modes = [WeightMode.TABLE] * config.has_table + [WeightMode.EXP2] * config.has_exp2
            mode = modes[self.below(len(modes))]
        tail_bits = 1 + self.below(config.total_bits - 1)
        ratio = self.below(1 << (34 + self.below(RATIO_BITS - 33)))
        values = {
            "opcode": Opcode.LOAD,
            "version": COMMAND_VERSION,
            "tag": tag,
            "count": count,
            "vocab_size": vocab,
            "score_max_q": max((signed(code) for _, code in rows), default=0),
            "k": size,
            "mode": mode,
            "shift": (0, 1, 2, 3)[self.below(4)],
            "tail_weight": 0 if vocab == size or self.below(4) == 0 else self.below(1 << tail_bits),
            "log2_ratio_q": ratio,
        }
        words = pack(values | changes, LOAD_HEADER_WORDS)
        id_low, code_low = ENTRY_FIELDS["id"].low, ENTRY_FIELDS["score_q"].low
        return words + [(token << id_low | (code % (1 << _CODE_BITS)) << code_low) & _WORD_MASK for token, code in rows]

    def table(self, tag: int, *, full: bool = True) -> Command:
        """TABLE with random entries; with `full`, most of them of full width and so of every bit."""
        top = 1 << self._config.weight_bits
        words = head(Opcode.TABLE, tag)
        for distance in range((TABLE_COMMAND_WORDS - 1) // 2):
            small = not full or distance % 8 == 7
            entry = self.below(top >> self.below(self._config.weight_bits) if small else top)
            words += [entry & _WORD_MASK, entry >> 32]
        return words

    def seed(self, tag: int) -> Command:
        """SEED with random states."""
        length = seed_word_count(self._config.noise_streams, STATE_WORDS)
        return head(Opcode.SEED, tag) + self.words(length - 1)
