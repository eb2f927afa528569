# SPDX-License-Identifier: Apache-2.0
"""Seeded bug: the noise bench on a bank that goes on when it is stalled. It must fail."""

from pathlib import Path

from amaranth import Module

from hw.spec.config import TsuConfig
from hw.tsu.noise.bank import NoiseBank
from sim.bench_file import load_module

_NOISE = load_module(Path(__file__).parents[3] / "benches" / "bench_noise.py")

words_of_a_seed = _NOISE.words_of_a_seed


class Impatient(NoiseBank):
    """A bank behind an interface that ignores `ready`."""

    def elaborate(self, platform):
        m = Module()
        m.submodules.bank = bank = NoiseBank(TsuConfig())
        m.d.comb += [
            bank.seeding.eq(self.seeding),
            bank.seed_stb.eq(self.seed_stb),
            bank.i_seed.eq(self.i_seed),
            bank.o_words.ready.eq(1),
            self.o_seed.eq(bank.o_seed),
            self.locked_up.eq(bank.locked_up),
            self.o_words.payload.eq(bank.o_words.payload),
            self.o_words.valid.eq(bank.o_words.valid),
        ]
        return m


TOPLEVELS = {"xoshiro128pp": lambda: Impatient(TsuConfig())}
