# SPDX-License-Identifier: Apache-2.0
"""The work of a campaign: everything a host can ask of a TSU, short segments first, with the model's answers.

It gives the commands of tests/equiv (random commands with defects, refusals, psi of every K, switches) and of the
cocotb benches of the whole TSU (stalls, blocked draws, resets, throughput and latency) to one port-level bench.
"""

from collections.abc import Callable, Iterator

import numpy as np

from hw.spec.commands import LOAD_HEADER_WORDS, Opcode, WeightMode
from hw.spec.config import TsuConfig, ceil_log2
from hw.spec.errors import SpecError
from hw.spec.exp2 import RATIO_BITS, RATIO_FRACTION_BITS
from sim.mutants.script import Segment, Stalls

from .commands import CommandMaker, draw, head
from .recorder import Recorder
from .refusals import Refusals

DRAW_LATENCY_BASE = 128
"""A first draw comes at most 2 K + this many cycles behind the last word of its LOAD (bench_throughput)."""

TRIES = 200
"""Random LOADs of which one is good; about every second is."""

WIDE_BITS = 40
"""Weights of at least this width show the low bits of the exp2 unit."""

FAREST = 255 * (1 << RATIO_BITS) >> RATIO_FRACTION_BITS
"""Largest exponent and one more: the ratio is cut to its largest value."""

REJECTED_CYCLES = 24
"""Allowed for candidates that are rejected before the first draw."""

STALLS = {
    "free": Stalls(),
    "commands stall": Stalls(command=128),
    "statuses stall": Stalls(status=128),
    "draws stall": Stalls(draw=128),
    "all stall": Stalls(command=100, status=160, draw=140),
    "draws trickle": Stalls(draw=235),
}
"""Patterns of tests/benches/bench_tsu.py."""


class Workload:
    """Segments for one configuration.

    Parameters
    ----------
    config : TsuConfig
        With table and exp2 unit.
    seed : int
        Of the random choices.
    pipeline_cycles : int
        Cycles from a noise word to its draw.

    Raises
    ------
    SpecError
        The TSU lacks the table or the exp2 unit.
    """

    def __init__(self, *, config: TsuConfig, seed: int, pipeline_cycles: int) -> None:
        if config.weight_source != "both":
            raise SpecError("weight_source", config.weight_source, "both")
        self.config = config
        self._pipeline = pipeline_cycles
        self._rng = np.random.default_rng(seed)
        self._make = CommandMaker(config=config, rng=self._rng)
        self._out = Recorder(config=config)

    def segments(self) -> list[Segment]:
        """All segments, in order."""
        try:
            for part in self._parts():
                part()
        finally:
            self._out.close()
        return self._out.segments

    def _parts(self) -> Iterator[Callable[[], None]]:
        yield self._after_reset
        yield self._all_sizes
        yield self._refusals
        yield self._seeds
        yield self._counts
        yield self._blocked
        yield self._rates
        yield self._fuzz
        yield self._resets
        yield self._long

    # Commands with a tag of their own.

    def _load(self, *, take: int | None = None, **fields: object) -> bool:
        """A random LOAD; whether it was good."""
        words = self._make.load(tag=self._out.next_tag(), **fields)  # type: ignore[arg-type]  # as `CommandMaker.load`
        return self._out.command(words, take=take)[0] == 0

    def _good_load(self, **fields: object) -> None:
        """Random LOADs until one is good."""
        for _ in range(TRIES):
            if self._load(**fields):  # type: ignore[arg-type]  # as `CommandMaker.load`
                return
        raise RuntimeError(f"none of {TRIES} random LOADs was good")

    def _draw(self, count: int, *, take: int | None = None) -> None:
        self._out.command(draw(count, self._out.next_tag()), take=take)

    def _table(self, *, full: bool = True) -> None:
        self._out.command(self._make.table(self._out.next_tag(), full=full))

    def _seed(self, *, zero_from: int = 0, zeros: int = 0) -> None:
        """A random SEED, some of its state words zero."""
        words = self._make.seed(self._out.next_tag())
        words[1 + zero_from : 1 + zero_from + zeros] = [0] * zeros
        self._out.command(words)

    # Parts.

    def _after_reset(self) -> None:
        """No psi, no table, registers; the streams of seed 0."""
        with self._out.segment("registers after reset"):
            self._out.registers()
        with self._out.segment("no psi, no table"):
            self._draw(0)
            self._draw(3)
            self._load(count=4, mode=WeightMode.TABLE)
            self._draw(1)
            self._out.registers()
        with self._out.segment("streams of seed 0"):
            self._good_load(count=40)
            self._draw(7)

    def _all_sizes(self) -> None:
        """Every K in both modes, V = K, V = K + 1 and any V, in odd batches, with every pattern of stalls."""
        for name, stalls in STALLS.items():
            with self._out.segment(f"every K, {name}", stalls=stalls):
                self._table()
                self._seed()
                for k in range(1, self.config.k_max + 1):
                    for vocab in (k, k + 1, None):
                        fixed = {} if vocab is None else {"vocab_size": vocab}
                        self._good_load(k=k, count=self._make.below(24), **fixed)
                        self._draw(self._make.below(9))
                self._out.registers()
        with self._out.segment("heavy tails"):
            for _ in range(12):
                bits = self.config.total_bits
                tail = (1 << (bits - 2)) + self._make.below(1 << (bits - 2))
                self._good_load(count=40, k=1 + self._make.below(self.config.k_max), tail_weight=tail, shift=3)
        with self._out.segment("two tables"):
            for full in (True, False):
                self._table(full=full)
                for _ in range(8):
                    self._load(count=20, mode=WeightMode.TABLE)
        with self._out.segment("exp2 at all distances"):
            for _ in range(80):
                self._load(count=2, mode=WeightMode.EXP2, k=self.config.k_max)
        if self.config.weight_bits >= WIDE_BITS:  # the low bits of the exp2 unit show in Z, where it is not shifted
            for number in range(12):
                with self._out.segment(f"low bits of exp2 {number}"):
                    for _ in range(100):
                        ratio = self._make.below(1 << (36 + self._make.below(3)))
                        self._load(mode=WeightMode.EXP2, k=self.config.k_max, log2_ratio_q=ratio, shift=0)
            with self._out.segment("weights far below 1"):
                for bit in range(5, 14):
                    for shift, more in ((0, 0), (0, 1), (1, 7), (63, 0)):
                        self._far_load((1 << bit) + more, shift=shift)
                for shift in (0, 61, 62, 63):
                    self._far_load(FAREST, shift=shift)

    def _far_load(self, exponent: int, *, shift: int) -> None:
        """Two entries 255 codes apart, the lower one with a weight of about 2^-exponent of the other."""
        ratio = min((1 << RATIO_BITS) - 1, -(-(exponent << RATIO_FRACTION_BITS) // 255))
        tail = 1 << (self.config.total_bits - 3)
        entries = [(1, 0x7F), (4, 0x80)]
        self._load(
            count=2,
            mode=WeightMode.EXP2,
            entries=entries,
            vocab_size=9,
            log2_ratio_q=ratio,
            shift=shift,
            tail_weight=tail,
        )

    def _refusals(self) -> None:
        """Every rule, at its edge, with good commands in between that show what was left."""
        refusals = Refusals(config=self.config, make=self._make, tag=self._out.next_tag)
        for number, spoiled in enumerate(refusals.commands()):
            with self._out.segment(f"refusals {number}"):
                if not self._out.has_table:
                    self._table()
                self._good_load(count=5)
                self._out.command(spoiled)
                self._draw(3)
                if not self._out.seeded:
                    self._seed()
                self._good_load(count=3)
                self._draw(4)
                self._out.registers()

    def _seeds(self) -> None:
        """Zero states are refused and reported, whichever stream has them; a good SEED ends it."""
        config = self.config
        for stream in range(config.noise_streams):
            for name, stalls in STALLS.items():
                with self._out.segment(f"zero state of stream {stream}, {name}", stalls=stalls):
                    self._good_load(count=3)
                    self._seed(zero_from=4 * stream, zeros=4)
                    self._out.registers(locked_up=1 << stream // config.noise_words)
                with self._out.segment(f"after the zero state of stream {stream}, {name}", stalls=stalls):
                    self._draw(0)
                    self._draw(2)
                    self._load(count=3)
                    self._seed()
                    self._good_load(count=11)
                    self._out.registers()
        for first in range(4 * config.noise_streams - 5):  # more than a state of zeros, but no state of zeros
            if first % 4:
                for name, stalls in (
                    ("free", Stalls()),
                    ("gaps", Stalls(command=110)),
                    ("long gaps", Stalls(command=235)),
                ):
                    with self._out.segment(f"zeros across states from {first}, {name}", stalls=stalls):
                        self._seed(zero_from=first, zeros=7 - first % 4)
                        self._draw(50)
                        self._out.registers()
        for bit in range(128):
            with self._out.segment(f"states of one bit, {bit}", stalls=STALLS["commands stall"]):
                words = self._make.seed(self._out.next_tag())
                for stream in range(config.noise_streams):
                    state = 1 << (bit + stream) % 128
                    words[1 + 4 * stream : 5 + 4 * stream] = [state >> 32 * i & 0xFFFF_FFFF for i in range(4)]
                self._out.command(words)
                self._draw(20)
                self._out.registers()
        with self._out.segment("many refusals"):
            for number in range(8300):  # carries into bit 13 of the count
                self._out.command(head(number % 256 | 0x80, number))
            self._out.registers()

    def _counts(self) -> None:
        """Counts around powers of two; counts too long to wait for, looked at and reset."""
        for count in (*range(1, 20), 31, 32, 33, 63, 64, 65, 255, 256, 257):
            with self._out.segment(f"count {count}", stalls=list(STALLS.values())[count % len(STALLS)]):
                self._good_load(count=count)
                self._draw(count)
        for bit in range(9, 32):
            for count in (1 << bit,) if bit % 3 else (1 << bit, (1 << 32) - (1 << bit)):
                with self._out.segment(f"first draws of {count:#x}", reset=True):
                    self._sure_load(0)
                    self._draw(count, take=10 * self.config.lanes)

    def _blocked(self) -> None:
        """No draw is taken: the next LOAD is accepted, the third waits for its bank; a SEED waits, a short one not."""
        for number in range(6):
            with self._out.segment(f"third LOAD waits {number}", reset=number == 0, hold=(1500, 2)):
                for _ in range(3):
                    self._sure_load(300)
            with self._out.segment(f"third LOAD behind DRAWs waits {number}", hold=(900, 2)):
                for counts in ((30,), (50, 90), (7,)):
                    self._sure_load(200)
                    for count in counts[1:]:
                        self._draw(count)
                self._draw(2)
            with self._out.segment(f"short LOAD while both banks are in use {number}", hold=(700, 3)):
                self._sure_load(300)
                self._sure_load(200)
                self._out.command(head(Opcode.LOAD, self._out.next_tag()))
            with self._out.segment(f"small jobs behind a good LOAD wait {number}", hold=(700, None)):
                self._sure_load(0)
                self._draw(3)
            with self._out.segment(f"small jobs wait {number}", hold=(700, None)):
                for count in (4, 1, 3, 2, 5, 1, 1, 8, 7, 1, 2, 2):
                    self._draw(count)
                    if self._make.below(3) == 0:
                        self._sure_load(self._make.below(6))
            with self._out.segment(f"SEED waits {number}", hold=(500, 1)):
                self._draw(200)
                self._seed()
                self._draw(33)
            with self._out.segment(f"refused LOAD beside draws {number}", hold=(500, 2)):
                self._draw(300)
                self._out.command(head(Opcode.LOAD, self._out.next_tag()))
            with self._out.segment(f"refused SEED beside draws {number}", hold=(500, 4)):
                self._sure_load(0)
                self._draw(201 + number)
                self._out.command(head(Opcode.SEED, self._out.next_tag()))
                self._draw(0)
            with self._out.segment(f"after the refused SEED {number}"):
                self._draw(1)
                self._seed()
                self._draw(9)

    def _sure_load(self, count: int, *, k: int | None = None) -> None:
        """A LOAD that is good for certain: equal weights, a light tail, any ids; hardly two are alike."""
        size = 1 + self._make.below(self.config.k_max) if k is None else k
        vocab = size + 8
        ids = sorted(self._rng.choice(vocab, size, replace=False).tolist())
        self._certain(
            entries=[(token, 100) for token in ids],
            vocab_size=vocab,
            shift=ceil_log2(size),
            log2_ratio_q=0,
            count=count,
            tail_weight=self._make.below(1 << (self.config.total_bits - 4)),
        )

    def _certain(self, **fields: object) -> None:
        """A LOAD in exp2 mode that must be good; with it, answers and cycles are known."""
        words = self._make.load(tag=self._out.next_tag(), mode=WeightMode.EXP2, **fields)  # type: ignore[arg-type]  # as `CommandMaker.load`
        code = self._out.command(words)[0]
        if code != 0:
            raise RuntimeError(f"a LOAD that is good for certain was refused: {code.name}")

    def _rates(self) -> None:
        """The bars of bench_throughput: cycles of a job, of a first draw, of switches of psi, of small batches."""
        lanes, k_max = self.config.lanes, self.config.k_max
        beats = 1500
        with self._out.segment(
            "no word is rejected: 0.99 draws per cycle and lane", bound_cycles=beats * 100 // 99 + 250
        ):
            self._even_load(k_max, count=0)
            self._draw(beats * lanes)
        for k in range(1, k_max + 1):
            bound = LOAD_HEADER_WORDS + k + 2 * k + DRAW_LATENCY_BASE + REJECTED_CYCLES
            with self._out.segment(f"first draw of K = {k}", bound_cycles=bound):
                self._sure_load(1, k=k)
        each = 4 * k_max + 200
        bound = 10 * (each + self._pipeline + 9) + LOAD_HEADER_WORDS + 3 * k_max + DRAW_LATENCY_BASE
        with self._out.segment("loads are hidden", bound_cycles=bound):
            for _ in range(10):
                self._even_load(k_max, count=each * lanes)
        with self._out.segment("many small jobs"):
            for number in range(500):
                if number % 50 == 0:
                    self._good_load(vocab_size=self.config.vocab_max - 1, count=1)
                self._draw(1 + self._make.below(2 * lanes))
        with self._out.segment("batches of one beat", bound_cycles=60 * (self._pipeline + 20) + 100):
            for _ in range(60):
                self._draw(lanes)

    def _even_load(self, k: int, *, count: int) -> None:
        """K = V equal weights whose total is a power of two, so that c Z = 2^U: no candidate is rejected."""
        entries = [(i, 3) for i in range(k)]
        self._certain(entries=entries, vocab_size=k, shift=ceil_log2(k), log2_ratio_q=0, count=count)

    def _fuzz(self) -> None:
        """Random commands, good and bad, one behind the other."""
        patterns = list(STALLS.values())
        for number in range(60):
            with self._out.segment(f"random commands {number}", stalls=patterns[number % len(patterns)]):
                for _ in range(20):
                    self._random_command()
                self._out.registers()

    def _random_command(self) -> None:
        if not self._out.seeded and self._make.below(2):
            self._seed()
        match self._make.below(12):
            case 0:
                self._table(full=bool(self._make.below(2)))
            case 1:
                self._seed()
            case 2 | 3 | 4:
                self._draw(self._make.below(4) * self._make.below(13))
            case 5:
                words = self._make.words(1 + self._make.below(12))
                self._out.command([words[0] | 0x4, *words[1:]])
            case _:
                self._load(count=self._make.below(30))

    def _resets(self) -> None:
        """Resets while draws are owed, and with a command half taken: no psi, no table, the streams of seed 0."""
        for number in range(12):
            stalls = list(STALLS.values())[number % len(STALLS)]
            with self._out.segment(f"before reset {number}", reset=number == 0, stalls=stalls) as segment:
                self._table()
                self._seed()
                self._good_load(count=self._make.below(20))
                self._draw(self._make.below(9))
                if number % 2:
                    self._draw(5000, take=(1 + self._make.below(12)) * self.config.lanes)
                else:
                    words = (self._make.load(tag=1, k=2), self._make.table(tag=2), self._make.seed(tag=3))[
                        number // 2 % 3
                    ]
                    segment.unfinished = words[: 1 + self._make.below(len(words) - 1)]
                    segment.open_end = True
            with self._out.segment(f"after reset {number}", reset=True, stalls=stalls):
                self._draw(1)
                self._load(count=3, mode=WeightMode.TABLE)
                if number % 3:
                    self._table()
                self._good_load(count=61)
                self._draw(5)
                self._out.registers()

    def _long(self) -> None:
        """Jobs in which every bit of u and of a threshold decides some draw."""
        lanes = self.config.lanes
        for _ in range(6):
            with self._out.segment("a job of 2^13 draws for each lane"):
                self._table()
                self._good_load(count=(1 << 13) * lanes, vocab_size=self.config.vocab_max)
        with self._out.segment("a job of 2^17 draws for each lane"):
            self._good_load(count=0)
            self._draw((1 << 17) * lanes + 3)
            self._draw(2)
