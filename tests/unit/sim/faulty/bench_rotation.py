# SPDX-License-Identifier: Apache-2.0
"""Seeded bug: the noise bench on generators that rotate by 8 in place of 7. It must fail."""

from pathlib import Path

from hw.spec.config import TsuConfig
from hw.tsu.noise.bank import NoiseBank
from hw.tsu.noise.xoshiro128pp import Xoshiro128pp
from sim.bench_file import load_module

_NOISE = load_module(Path(__file__).parents[3] / "benches" / "bench_noise.py")

published_words = _NOISE.published_words
one_payload_per_cycle = _NOISE.one_payload_per_cycle


class WrongRotation(Xoshiro128pp):
    ROTATION = 8


class WrongBank(NoiseBank):
    def _generator(self, init):
        return WrongRotation(init=init, pipelined=self._pipelined, word_stages=0)


TOPLEVELS = {"xoshiro128pp": lambda: WrongBank(TsuConfig())}
