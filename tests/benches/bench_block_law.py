# SPDX-License-Identifier: Apache-2.0
"""The joint law of two-token blocks on the RTL, without tolerance: every pair of accepted noise words, counted.

Of the noise words that a psi accepts, the share that gives a token is its q, as a fraction. So over all pairs of words
that the first psi and the psi of the first token accept, the pair (x, y) must come n_c(x) n_x(y) times from context c,
where n_c(x) is the number of words that give x; and n_c(x) / sum n_c is row c of `host.golden.exact.draft_law`. Words
that are rejected stand between them at random: a stream that meets one waits for the next round.
"""

import random
from collections import Counter
from fractions import Fraction
from functools import partial
from pathlib import Path

import cocotb

from host.golden.exact import draft_law
from host.psi.schema import Psi
from hw.spec.commands import Opcode
from hw.spec.config import TsuConfig
from hw.tsu.core import TsuCore
from sim.bench_file import load_module
from sim.bfm import StreamSource

_HERE = Path(__file__).parent
_SUPPORT, _DRIVER = load_module(_HERE / "support.py"), load_module(_HERE / "tsu_driver.py")
_REFERENCE = load_module(_HERE.parent / "reference" / "stream.py")

TINY = TsuConfig(
    k_max=2, vocab_max=4, weight_bits=4, headroom_bits=0, guard_bits=1, tail_noise_bits=2, contexts=4, streams=32
)
CONFIGS = {"tiny": TINY, "tiny-deep": TINY.with_fields(level_stages=3)}
TOPLEVELS = {name: partial(TsuCore, config=config, external_noise=True) for name, config in CONFIGS.items()}

ROWS = {0: ([0, 2], [0, -9], 0.3), 1: ([3], [0], 2.0), 2: ([1, 3], [-4, 0], 0.6), 3: ([0, 1], [0, 0], 0.9)}
"""Ids, codes and tail of the psi of each context; V - K = 3 of context 1 rejects words for their tail too."""


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


def bank() -> dict[int, Psi]:
    return {
        slot: Psi(ids=ids, scores_q=codes, scale=0.1, zero_point=0, tau=1.0, tail=tail, vocab_size=4)
        for slot, (ids, codes, tail) in ROWS.items()
    }


def outcomes(psi: Psi) -> tuple[dict[int, int], list[int]]:
    """The token of every noise word that the psi accepts, and the words that it rejects."""
    weights, tail = _REFERENCE.reference_weights(psi, config(), "table")
    accepted, rejected = {}, []
    for word in range(1 << (config().uniform_bits + config().tail_noise_bits)):
        u, tail_word = _REFERENCE.split_noise(word, config())
        row = _REFERENCE.decide(u, tail_word, psi.ids.tolist(), weights, tail, psi.vocab_size, config())
        if row is None:
            rejected.append(word)
        else:
            accepted[word] = row[0]
    return accepted, rejected


def check_rows(words: dict[int, tuple[dict[int, int], list[int]]], laws) -> None:
    """Every psi rejects some words, and the share of the accepted words that give a token is its q."""
    for slot, (accepted, rejected) in words.items():
        assert rejected, "a psi that rejects nothing tests less"
        counts = Counter(accepted.values())
        assert all(Fraction(n, len(accepted)) == laws[slot].q(token) for token, n in counts.items())


def noise_of(turns: list[list[int]]) -> list[int]:
    """The words of some streams in the order in which they take them: round by round."""
    noise, position = [], 0
    while any(len(words) > position for words in turns):
        noise += [words[position] for words in turns if len(words) > position]
        position += 1
    return noise


@cocotb.test(timeout_time=8, timeout_unit="ms")
@cocotb.parametrize(start=[0, 1])
async def joint_law_of_two_tokens(dut, start):
    """Counts of the pairs equal the products of the rows' integers."""
    rng, psis = random.Random(start), bank()
    laws = {slot: draft_law(psi, config(), "table") for slot, psi in psis.items()}
    words = {slot: outcomes(psi) for slot, psi in psis.items()}
    check_rows(words, laws)
    tsu = _DRIVER.TsuDriver(dut, config())
    source = StreamSource(dut, "i_noise__0")
    await tsu.start()
    await tsu.load_bank(psis, "table")

    def turn(slot: int, word: int) -> list[int]:
        return [*rng.choices(words[slot][1], k=rng.choice([0, 0, 0, 1, 1, 2])), word]

    pairs = [(a, b) for a, x in words[start][0].items() for b in words[x][0]]
    rng.shuffle(pairs)
    unused = 32 * config().noise_words - config().uniform_bits - config().tail_noise_bits
    tags = []
    for first in range(0, len(pairs), config().streams):
        part = pairs[first : first + config().streams]
        noise = noise_of([turn(start, a) + turn(words[start][0][a], b) for a, b in part])
        source.put(word | rng.getrandbits(unused) << (32 * config().noise_words - unused) for word in noise)
        tags.append((tsu.put_block([start] * len(part), 2), len(part)))
    found: Counter[tuple[int, int]] = Counter()
    for tag, streams in tags:
        await tsu.good_status(tag, Opcode.BLOCK)
        for (x, _, _), (y, _, _) in await tsu.take_block(streams, tag=tag):
            found[x, y] += 1
    expected: Counter[tuple[int, int]] = Counter()
    for x, n in Counter(words[start][0].values()).items():
        for y, m in Counter(words[x][0].values()).items():
            expected[x, y] = n * m
    assert found == expected, f"from context {start}: {found}, expected {expected}"
    q = {(x, y): laws[start].q(x) * laws[x].q(y) for x, y in expected}
    assert all(Fraction(n, len(pairs)) != 0 for n in found.values()) and sum(q.values()) == 1
    # Pairs are weighted by what the second row accepts: given x, the share of y is q(y | x); x itself has q(x).
    for x, y in found:
        of_x = sum(n for (other, _), n in found.items() if other == x)
        assert Fraction(found[x, y], of_x) == laws[x].q(y)
        assert Fraction(of_x, len(words[x][0])) / len(words[start][0]) == laws[start].q(x)
        assert Fraction(found[x, y], len(words[x][0]) * len(words[start][0])) == q[x, y]
    assert not source._waiting, "some words were not taken"
