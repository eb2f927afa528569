# SPDX-License-Identifier: Apache-2.0
"""Malformed commands, interleaved with good ones: model and RTL answer alike, and as hw/spec/commands.py says.

`Rules` below is that file's docstring as a third, slow implementation; it judges words by hand-written bit positions.

Draws are taken in odd parts on the way and compared. `open_pair` (conftest.py) gives a command to both backends.
"""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from hw.spec.commands import Status
from hw.spec.config import TsuConfig
from hw.spec.exp2 import exp2_mantissa

WORD = 1 << 32
LOAD, DRAW, TABLE, SEED = 1, 2, 3, 4
VERSION = 0x0100
NARROW = TsuConfig(
    k_max=16,
    vocab_max=50,
    weight_bits=9,
    headroom_bits=2,
    guard_bits=3,
    tail_noise_bits=7,
    lanes=4,
    weight_source="table",
)
CONFIGS = {
    "default": TsuConfig(),
    "narrow table": NARROW,
    "narrow both": NARROW.with_fields(weight_source="both", lanes=2),
    "narrow exp2": NARROW.with_fields(weight_source="exp2", lanes=1, level_stages=3),
    **{
        f"{groups} groups, {lanes} lanes": NARROW.with_fields(weight_source="both", groups=groups, lanes=lanes)
        for groups in (2, 3)
        for lanes in (1, 4)
    },
}
SLOW = (
    "narrow both",
    "narrow exp2",
    "2 groups, 1 lanes",
    "2 groups, 4 lanes",
    "3 groups, 1 lanes",
    "3 groups, 4 lanes",
)
COMMANDS = 6000


def bits(word: int, low: int, width: int) -> int:
    return word >> low & ((1 << width) - 1)


def signed(code: int) -> int:
    return code - 256 if code & 0x80 else code


class Rules:
    """State of a TSU as far as statuses depend on it."""

    def __init__(self, config: TsuConfig) -> None:
        self.config = config
        self.table: list[int] | None = None
        self.totals: list[int | None] = [None] * config.groups  # Z of the psi that each group was given last
        self.turn = self.last = 0  # group of the next LOAD and of the last one
        self.seeded = True

    def answer(self, words: list[int]) -> tuple[list[Status], int]:
        """Every rule that the command breaks, in the documented order, and the total; changes the state."""
        opcode, version = bits(words[0], 0, 8), bits(words[0], 8, 8)
        if opcode not in (LOAD, DRAW, TABLE, SEED):
            return [Status.BAD_OPCODE], 0
        if version != 1:
            return [Status.BAD_VERSION], 0
        if opcode == LOAD:
            self.last, self.turn = self.turn, (self.turn + 1) % self.config.groups
        if opcode == SEED:
            self.turn = 0
        return {LOAD: self.load, DRAW: self.draw, TABLE: self.load_table, SEED: self.seed}[opcode](words)

    def load(self, words: list[int]) -> tuple[list[Status], int]:
        self.totals[self.last] = None
        if len(words) < 8 or len(words) != 8 + bits(words[3], 0, 11):
            return [Status.BAD_LENGTH], 0
        config, entries = self.config, words[8:]
        k, mode, vocab = len(entries), bits(words[3], 16, 1), bits(words[2], 0, 21)
        best = signed(bits(words[2], 24, 8))
        tail = words[4] | words[5] << 32
        ids = [bits(word, 0, 20) for word in entries]
        codes = [signed(bits(word, 24, 8)) for word in entries]
        missing_table = mode == 0 and self.table is None
        rising = all(a < b for a, b in pairwise(ids))
        checks = {
            Status.BAD_K: not 1 <= k <= config.k_max,
            Status.BAD_VOCAB: not k <= vocab <= config.vocab_max,
            Status.BAD_MODE: config.weight_source not in ("both", "exp2" if mode else "table"),
            Status.NO_TABLE: missing_table,
            Status.BAD_ID: not rising or any(token >= vocab for token in ids),
            Status.BAD_SCORE: best not in codes or any(code > best for code in codes),
            Status.BAD_TAIL: (tail > 0 and vocab == k) or tail >= 1 << config.total_bits,
        }
        total = 0
        if not missing_table:
            total = tail + self.head(words)
            checks[Status.BAD_TOTAL] = not config.total_min <= total <= config.total_max
        checks[Status.NO_SEED] = words[1] > 0 and not self.seeded
        broken = [status for status, is_broken in checks.items() if is_broken]
        if broken:
            return broken, 0
        self.totals[self.last] = total
        return [Status.OK], total

    def head(self, words: list[int]) -> int:
        """Sum of the weights of a LOAD's entries; a table that is missing counts as zeros."""
        best = signed(bits(words[2], 24, 8))
        return sum(self.weight((best - signed(bits(word, 24, 8))) % 256, words) for word in words[8:])

    def weight(self, distance: int, words: list[int]) -> int:
        """docs/DESIGN_TSD.md section 3, items 3 and 4."""
        if bits(words[3], 16, 1):
            x = distance * ((words[6] | words[7] << 32) % (1 << 50))
            mantissa, exponent = exp2_mantissa(x % (1 << 44)), x >> 44
        else:
            mantissa, exponent = (self.table or [0] * 256)[distance] << (51 - self.config.weight_bits), 0
        shift = 51 - self.config.weight_bits + exponent + bits(words[3], 24, 6)
        return max(1, (mantissa + (1 << (shift - 1))) >> shift)

    def draw(self, words: list[int]) -> tuple[list[Status], int]:
        if len(words) != 2:
            return [Status.BAD_LENGTH], 0
        total = self.totals[self.last]
        checks = {Status.NO_PSI: total is None, Status.NO_SEED: words[1] > 0 and not self.seeded}
        broken = [status for status, is_broken in checks.items() if is_broken]
        return (broken, 0) if broken else ([Status.OK], total or 0)

    def load_table(self, words: list[int]) -> tuple[list[Status], int]:
        self.table = None
        if len(words) != 513:
            return [Status.BAD_LENGTH], 0
        if self.config.weight_source == "exp2":
            return [Status.BAD_MODE], 0
        mask = (1 << self.config.weight_bits) - 1
        self.table = [(low | high << 32) & mask for low, high in zip(words[1::2], words[2::2], strict=True)]
        return [Status.OK], 0

    def seed(self, words: list[int]) -> tuple[list[Status], int]:
        self.seeded = False
        if len(words) != 1 + 4 * self.config.noise_streams:
            return [Status.BAD_LENGTH], 0
        if any(not any(words[first : first + 4]) for first in range(1, len(words), 4)):
            return [Status.BAD_SEED], 0
        self.seeded = True
        return [Status.OK], 0


class Fuzzer:
    """Commands, good ones and ones with up to three defects."""

    def __init__(self, rules: Rules, seed: int) -> None:
        self.rules, self.config = rules, rules.config
        self.rng = np.random.default_rng(seed)

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit, dtype=np.uint64))

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def words(self, n: int) -> list[int]:
        return [int(word) for word in self.rng.integers(0, WORD, n, dtype=np.uint64)]

    def command(self) -> list[int]:
        kind = self.rng.choice(["load", "draw", "table", "seed", "noise"], p=[0.55, 0.25, 0.08, 0.08, 0.04])
        words: list[int] = self.words(1 + self.below(12)) if kind == "noise" else getattr(self, kind)()
        words[0] |= self.below(1 << 16) << 16  # tag
        if self.chance(0.4):
            for _ in range(1 + self.below(3)):
                words = self.spoil(words, kind)
        if len(words) > 1 and bits(words[0], 0, 8) in (LOAD, DRAW):
            words[1] %= 50  # count
        return words

    def load(self) -> list[int]:
        config = self.config
        k = 1 + self.below(config.k_max)
        vocab = k + self.below(config.vocab_max - k + 1)
        codes = self.rng.integers(0, 256, k)
        best = max(signed(int(code)) for code in codes)
        tail = 0 if vocab == k or self.chance(0.3) else self.below(1 << (config.total_bits - 1))
        ratio = self.below(1 << int(self.rng.integers(36, 51)))
        mode = {"table": 0, "exp2": 1}.get(config.weight_source, self.below(2))
        shift = int(self.rng.choice([0, 1, 2, 3, 4, 63], p=[0.3, 0.25, 0.25, 0.1, 0.08, 0.02]))
        header = [LOAD | VERSION, self.below(13), vocab | (best % 256) << 24, k | mode << 16 | shift << 24]
        header += [tail % WORD, tail >> 32, ratio % WORD, ratio >> 32]
        ids = np.sort(self.rng.choice(vocab, k, replace=False))
        return header + [int(token) | int(code) << 24 for token, code in zip(ids, codes, strict=True)]

    def draw(self) -> list[int]:
        return [DRAW | VERSION, self.below(4) * self.below(13)]

    def table(self) -> list[int]:
        top = 1 << int(self.rng.integers(1, self.config.weight_bits + 1))
        entries = self.rng.integers(0, top, 256, dtype=np.uint64)
        return [TABLE | VERSION, *(int(word) for word in entries.astype("<u8").view("<u4"))]

    def seed(self) -> list[int]:
        return [SEED | VERSION, *self.words(4 * self.config.noise_streams)]

    def spoil(self, words: list[int], kind: str) -> list[int]:
        """One defect. Some only set bits that no field names, which must not matter."""
        common: list[Callable[[list[int]], list[int]]] = [
            lambda w: w[: 1 + self.below(len(w))],
            lambda w: w + self.words(5000 if self.chance(0.02) else 1 + self.below(4)),
            lambda w: [w[0] ^ (1 + self.below(255)) << 8, *w[1:]],
            lambda w: [w[0] ^ (1 + self.below(255)), *w[1:]],
        ]
        if kind == "seed":
            stream = self.below(self.config.noise_streams)
            common.append(lambda w: [0 if 1 + 4 * stream <= i < 5 + 4 * stream else word for i, word in enumerate(w)])
        if kind == "table":
            common.append(lambda w: [w[0], *(word ^ (i % 2 << 31) for i, word in enumerate(w[1:]))])
        if kind == "load" and len(words) >= 9:
            return self.spoil_load(words) if self.chance(0.85) else common[self.below(len(common))](words)
        return common[self.below(len(common))](words)

    def spoil_load(self, words: list[int]) -> list[int]:
        w, config, at = list(words), self.config, 8 + self.below(len(words) - 8)
        match self.below(17):
            case 0:  # no entry
                w[3] &= ~0x7FF
                w = w[:8]
            case 1:  # more entries than k_max
                w += self.words(config.k_max + 1 + self.below(3))
                w[3] = w[3] & ~0x7FF | (len(w) - 8)
            case 2:  # k against the words
                w[3] ^= 1 << self.below(11)
            case 3:
                legal = len(w) - 8
                w[2] = (
                    w[2] & ~0x1FFFFF
                    | [0, legal - 1, legal, config.vocab_max, config.vocab_max + 1, 0x1FFFFF][self.below(6)]
                )
            case 4:
                w[3] ^= 1 << 16  # mode
            case 5:
                w[3] = w[3] & ~(0x3F << 24) | self.below(64) << 24
            case 6:  # an id twice, or out of order
                w[at] = w[at] & ~0xFFFFF | w[8 + self.below(len(w) - 8)] & 0xFFFFF
            case 7:  # an id at V or above
                w[-1] = w[-1] & ~0xFFFFF | min(0xFFFFF, bits(w[2], 0, 21) + self.below(2))
            case 8:
                w[at] ^= self.below(256) << 24
            case 9:
                w[2] = (w[2] & 0xFFFFFF) | self.below(256) << 24
            case 10:  # the last bits of a legal tail, and the first above it
                tail = (1 << config.total_bits) - 1 + self.below(2)
                w[4], w[5] = tail % WORD, tail >> 32
            case 11:
                w[4], w[5] = self.words(2)
            case 12:
                w[4], w[5] = self.below(3), 0
            case 13:
                w[6], w[7] = self.words(2)
            case 14:  # bits without a name
                w[2] ^= self.below(8) << 21
                w[3] ^= self.below(32) << 11 | self.below(128) << 17 | self.below(4) << 30
                w[at] ^= self.below(16) << 20
            case 15:  # a total at or just beyond its limits
                edges = (config.total_min - 1, config.total_min, config.total_max, config.total_max + 1)
                tail = max(0, edges[self.below(4)] - self.rules.head(w))
                w[4], w[5] = tail % WORD, tail >> 32
            case 16:  # V = K
                w[2] = w[2] & ~0x1FFFFF | (len(w) - 8)
        return w


def fuzz(both: Any, config: TsuConfig, seed: int) -> tuple[Counter[Status], Counter[tuple[Status, Status]], int]:
    """Statuses reached, pairs of rules broken by one command (first and next), and draws compared."""
    rules = Rules(config)
    fuzzer = Fuzzer(rules, seed)
    statuses: Counter[Status] = Counter()
    clashes: Counter[tuple[Status, Status]] = Counter()
    for _ in range(COMMANDS):
        words = fuzzer.command()
        broken, total = rules.answer(words)
        answer = both.command(words)
        assert answer == (broken[0], total), f"expected {broken}, {total} for {[hex(word) for word in words[:80]]}"
        statuses[broken[0]] += 1
        clashes.update(pairwise(broken))
        owed = sum(count for count, *_ in both.owed)
        if owed and fuzzer.chance(0.4):
            both.take(fuzzer.below(owed + 1))
    both.take(sum(count for count, *_ in both.owed))
    assert both.groups_owing == config.groups, "draws of the groups were never under way together"
    return statuses, clashes, both.taken


UNREACHABLE = {
    "both": {Status.BAD_MODE, Status.BAD_CONTEXT},
    "table": {Status.BAD_CONTEXT},
    "exp2": {Status.NO_TABLE, Status.BAD_CONTEXT},
}
"""Statuses that a TSU of this weight source and without contexts never gives."""

CLASHES = (
    (Status.BAD_K, Status.BAD_VOCAB),
    (Status.BAD_ID, Status.BAD_SCORE),
    (Status.BAD_SCORE, Status.BAD_TAIL),
    (Status.BAD_TAIL, Status.BAD_TOTAL),
    (Status.BAD_TOTAL, Status.NO_SEED),
    (Status.NO_PSI, Status.NO_SEED),
)
"""Neighbours in the documented order: the first of them is the status, every time."""


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("name", "engine"),
    [
        pytest.param(name, engine, marks=[pytest.mark.slow] if name in slow else [])
        for engine, slow in (("rtl", SLOW), ("cxxrtl", (*SLOW, "narrow table")))
        for name in CONFIGS
    ],
)
def test_random_commands(name: str, engine: str, seed: int, open_pair: Callable[..., Any]) -> None:
    config = CONFIGS[name]
    statuses, clashes, taken = fuzz(open_pair(config, engine), config, seed)
    assert set(statuses) == set(Status) - UNREACHABLE[config.weight_source]
    assert min(statuses.values()) >= 3
    assert statuses[Status.OK] > COMMANDS // 5
    assert taken > COMMANDS // 2
    wanted = [*CLASHES]
    wanted += [(Status.BAD_VOCAB, Status.NO_TABLE)] if config.has_table else []
    wanted += [(Status.BAD_VOCAB, Status.BAD_MODE)] if config.weight_source != "both" else []
    assert [clash for clash in wanted if not clashes[clash]] == []
