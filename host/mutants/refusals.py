# SPDX-License-Identifier: Apache-2.0
"""Commands with a field at or beyond its limit: every rule of hw.spec.commands, bit by bit."""

from collections.abc import Callable, Iterator

from hw.spec.commands import (
    COMMAND_VERSION,
    ENTRY_FIELDS,
    LOAD_FIELDS,
    TABLE_COMMAND_WORDS,
    Opcode,
    WeightMode,
)
from hw.spec.config import TsuConfig

from .commands import Command, CommandMaker, draw, head

RANDOM_CASES = 24
"""Random pairs of ids and of codes."""

COUNTER_WRAP = 1 << 12
"""Words after which a word counter that does not saturate would begin again."""


class Refusals:
    """Commands of which most are refused.

    Parameters
    ----------
    config : TsuConfig
        With table and exp2 unit.
    make : CommandMaker
    tag : callable
        Gives a new tag.
    """

    def __init__(self, *, config: TsuConfig, make: CommandMaker, tag: Callable[[], int]) -> None:
        self._config = config
        self._make = make
        self._tag = tag

    def commands(self) -> Iterator[Command]:
        """All of them, each made when it is asked for."""
        yield from self._opcodes()
        yield from self._sizes()
        yield from self._ids()
        yield from self._scores()
        yield from self._totals()
        yield from self._lengths()

    def _opcodes(self) -> Iterator[Command]:
        make, tag = self._make, self._tag
        for bit in range(8):
            load = make.load(tag=tag())
            yield [load[0] ^ 1 << bit, *load[1:]]
            yield [*head(Opcode.DRAW, tag(), version=COMMAND_VERSION ^ 1 << bit), 5]
            yield [head(Opcode.SEED ^ 1 << bit, tag())[0], *make.seed(tag())[1:]]
            yield [head(Opcode.TABLE, tag(), version=COMMAND_VERSION ^ 1 << bit)[0], *make.words(512)]

    def _sizes(self) -> Iterator[Command]:
        make, tag, k_max, vocab_max = self._make, self._tag, self._config.k_max, self._config.vocab_max
        top = (1 << LOAD_FIELDS["k"].width) - 1
        sizes = {0, k_max + 1, k_max + 2, 2 * k_max, 3 * k_max, top}
        sizes |= {
            size
            for bit in range(k_max.bit_length(), top.bit_length())
            for size in ((1 << bit) - 3, 1 << bit, 1 << bit | 3)
        }
        sizes -= set(range(1, k_max + 1))
        for k in sorted(sizes):
            # Of the right length: the first rule that is broken is BAD_K.
            yield make.load(tag=tag(), count=4, entries=[(i, i % 100) for i in range(k)], vocab_size=vocab_max)
        for bit in range(LOAD_FIELDS["k"].width):
            words = make.load(tag=tag(), count=4, k=2)
            words[LOAD_FIELDS["k"].word] ^= 1 << bit
            yield words
        for bit in range(LOAD_FIELDS["vocab_size"].width):
            yield make.load(tag=tag(), count=4, k=2, vocab_size=1 << bit)
            yield make.load(tag=tag(), count=4, k=2, vocab_size=1 << bit | 5)
        for vocab in (0, 1, k_max - 1, vocab_max - 1, vocab_max, vocab_max + 1):
            yield make.load(tag=tag(), count=4, k=k_max, vocab_size=vocab, tail_weight=9)

    def _ids(self) -> Iterator[Command]:
        make, tag, vocab_max = self._make, self._tag, self._config.vocab_max
        for bit in range(ENTRY_FIELDS["id"].width):
            for rows in (
                [(0, 5), (1 << bit, 5)],
                [(1 << bit, 5), (1 << bit, 5)],
                [(1 << bit, 5), (1, 5)],
                [(1 << bit | 1, 5), (2, 5)],
                [(0, 5), (1 << bit | 3, 5)],
            ):
                yield make.load(tag=tag(), count=4, entries=rows, vocab_size=vocab_max)
        for token in (0, 1, 6, 7, 8, vocab_max - 2, vocab_max - 1, vocab_max):
            yield make.load(tag=tag(), count=9, entries=[(token, 5)], vocab_size=8)
            yield make.load(tag=tag(), count=9, entries=[(7, 5), (token, 4)], vocab_size=vocab_max)
        for _ in range(RANDOM_CASES):
            rows = [(make.below(vocab_max), 9), (make.below(vocab_max), 9)]
            yield make.load(tag=tag(), count=3, entries=rows, vocab_size=vocab_max)

    def _scores(self) -> Iterator[Command]:
        make, tag = self._make, self._tag
        for _ in range(RANDOM_CASES):
            best = make.below(256)
            yield make.load(tag=tag(), count=3, entries=[(1, make.below(256)), (4, best)], score_max_q=best)
            yield make.load(tag=tag(), count=3, score_max_q=make.below(256))
        for best in (0x35, 0xCA, 0x00, 0xFF, 0x7F, 0x80):
            for bit in range(8):
                yield make.load(tag=tag(), entries=[(1, best ^ 1 << bit), (4, best)], score_max_q=best)
                yield make.load(tag=tag(), entries=[(1, best)], score_max_q=best ^ 1 << bit)

    def _totals(self) -> Iterator[Command]:
        config, make, tag = self._config, self._make, self._tag
        vocab_max, top = config.vocab_max, config.total_bits
        for bit in range(64):
            yield make.load(tag=tag(), count=3, k=2, vocab_size=vocab_max, tail_weight=1 << bit)
        for tail in (0, 1, (1 << top) - 1):
            for vocab in (2, 3):
                yield make.load(tag=tag(), count=3, k=2, vocab_size=vocab, tail_weight=tail)
        for edge in (config.total_min, config.total_max):
            for step in (-2, -1, 0, 1, 2):
                yield self._exact_total(edge + step)
        for shift in range(64):
            tail = 1 << (top - 2)
            yield make.load(tag=tag(), count=3, k=2, vocab_size=vocab_max, shift=shift, tail_weight=tail)

    def _exact_total(self, total: int) -> Command:
        """A LOAD of one entry whose total is `total`: 2^(W-1) / 2^shift and a tail."""
        top = self._config.weight_bits - 1
        shift = 0 if total > self._config.total_max // 2 else top
        return self._make.load(
            tag=self._tag(),
            count=5,
            mode=WeightMode.EXP2,
            entries=[(3, 7)],
            vocab_size=9,
            shift=shift,
            tail_weight=total - (1 << (top - shift)),
        )

    def _lengths(self) -> Iterator[Command]:
        make, tag = self._make, self._tag
        for length in range(1, 10):
            yield make.load(tag=tag(), count=3, k=2)[:length]
            yield make.load(tag=tag(), count=3, k=2) + make.words(length)
            yield (draw(3, tag()) + make.words(length))[:length]
        table = TABLE_COMMAND_WORDS
        for length in (1, 2, 3, table - 2, table - 1, table + 1, table + 512, table + COUNTER_WRAP, 2 * COUNTER_WRAP):
            yield (make.table(tag()) + make.words(length))[:length]
        seed = len(make.seed(0))
        for length in (1, 2, 4, 5, seed - 1, seed + 1, seed + 4, seed + COUNTER_WRAP):
            yield (make.seed(tag()) + make.words(length))[:length]
        for words in (make.load(tag=tag(), count=3, k=2), draw(3, tag())):
            yield words + make.words(COUNTER_WRAP)
