# SPDX-License-Identifier: Apache-2.0
"""Commands with tags of their own, given to model and script: what the parts of the work are made of."""

import numpy as np

from hw.spec.commands import WeightMode
from hw.spec.config import TsuConfig, ceil_log2
from sim.mutants.script import Stalls

from .commands import CommandMaker, draw
from .recorder import Recorder

TRIES = 200
"""Random LOADs of which one is good; about every second is."""

STALLS = {
    "free": Stalls(),
    "commands stall": Stalls(command=128),
    "statuses stall": Stalls(status=128),
    "draws stall": Stalls(draw=128),
    "all stall": Stalls(command=100, status=160, draw=140),
    "draws trickle": Stalls(draw=235),
}
"""Patterns of tests/benches/bench_tsu.py."""


class Asker:
    """Asks one TSU for what a host may ask.

    Parameters
    ----------
    config : TsuConfig
    seed : int
        Of the random choices.
    pipeline_cycles : int
        Cycles from a noise word to its draw.
    """

    def __init__(self, *, config: TsuConfig, seed: int, pipeline_cycles: int) -> None:
        self.config = config
        self.pipeline_cycles = pipeline_cycles
        self.rng = np.random.default_rng(seed)
        self.make = CommandMaker(config=config, rng=self.rng)
        self.out = Recorder(config=config)

    def load(self, *, take: int | None = None, **fields: object) -> bool:
        """A random LOAD; whether it was good."""
        words = self.make.load(tag=self.out.next_tag(), **fields)  # type: ignore[arg-type]  # as `CommandMaker.load`
        return self.out.command(words, take=take)[0] == 0

    def good_load(self, **fields: object) -> None:
        """Random LOADs until one is good."""
        for _ in range(TRIES):
            if self.load(**fields):  # type: ignore[arg-type]  # as `CommandMaker.load`
                return
        raise RuntimeError(f"none of {TRIES} random LOADs was good")

    def draw(self, count: int, *, take: int | None = None) -> None:
        self.out.command(draw(count, self.out.next_tag()), take=take)

    def table(self, *, full: bool = True) -> None:
        self.out.command(self.make.table(self.out.next_tag(), full=full))

    def seed(self, *, zero_from: int = 0, zeros: int = 0) -> None:
        """A random SEED, some of its state words zero."""
        words = self.make.seed(self.out.next_tag())
        words[1 + zero_from : 1 + zero_from + zeros] = [0] * zeros
        self.out.command(words)

    def sure_load(self, count: int, *, k: int | None = None) -> None:
        """A LOAD that is good for certain: equal weights, a light tail, any ids; hardly two are alike."""
        size = 1 + self.make.below(self.config.k_max) if k is None else k
        vocab = size + 8
        ids = sorted(self.rng.choice(vocab, size, replace=False).tolist())
        self.certain(
            entries=[(token, 100) for token in ids],
            vocab_size=vocab,
            shift=ceil_log2(size),
            log2_ratio_q=0,
            count=count,
            tail_weight=self.make.below(1 << (self.config.total_bits - 4)),
        )

    def certain(self, **fields: object) -> None:
        """A LOAD in exp2 mode that must be good; with it, answers and cycles are known."""
        words = self.make.load(tag=self.out.next_tag(), mode=WeightMode.EXP2, **fields)  # type: ignore[arg-type]  # as `CommandMaker.load`
        code = self.out.command(words)[0]
        if code != 0:
            raise RuntimeError(f"a LOAD that is good for certain was refused: {code.name}")

    def even_load(self, k: int, *, count: int) -> None:
        """K = V equal weights whose total is a power of two, so that c Z = 2^U: no candidate is rejected."""
        entries = [(i, 3) for i in range(k)]
        self.certain(entries=entries, vocab_size=k, shift=ceil_log2(k), log2_ratio_q=0, count=count)

    def tail_load(self, count: int) -> None:
        """A LOAD that is good for certain and draws more from its tail than from its head."""
        size = 1 + self.make.below(self.config.k_max)
        ids = [2 * number for number in range(size)]
        vocab = 2 * size + self.make.below(self.config.vocab_max - 2 * self.config.k_max)
        tail = 1 << (self.config.total_bits - 2)
        shift = ceil_log2(size) + 1
        entries = [(token, 100) for token in ids]
        self.certain(entries=entries, vocab_size=vocab, shift=shift, log2_ratio_q=0, count=count, tail_weight=tail)
