# SPDX-License-Identifier: Apache-2.0
"""The health tests of the noise as their definition has them, for the proof of the health monitor: plain counters."""

from binascii import crc_hqx
from dataclasses import dataclass

from amaranth.hdl import Mux, Signal, Value

from hw.spec.health import POSITION_BITS, HealthSchedule, KnownAnswer
from hw.spec.noise import WORD_BITS

from .bench import Bench, Opened

SCHEDULE = HealthSchedule(dwell_log2=1)
DWELL, WINDOW = SCHEDULE.dwell_words, SCHEDULE.window_words
ROUND = DWELL * WORD_BITS
"""Samples from visit to visit of a bit in a window."""

VISITS = (1 << POSITION_BITS) // WORD_BITS
"""Visits to a bit in a window."""

ONES = 130
EXPECTED = KnownAnswer(ones=ONES, crc=crc_hqx(((1 << ONES) - 1 << WINDOW - ONES).to_bytes(WINDOW // 8, "big"), 0))
"""Answer to as many ones and then zeros. Not `SCHEDULE.ones_low` ones: a test cut short would then hang on the CRC."""

GENERATOR = 0x1021
"""CRC of ITU-T V.41, without x^16."""


@dataclass
class Sample:
    """What goes through the stages of the monitor: a sample, or the place where one would be."""

    taken: Value
    in_test: Value
    index: Value
    bit: Value


class Counts:
    """Ones of dwells and windows, counted as they are defined, and the alarms that follow from them."""

    def __init__(self, b: Bench, end: Sample, restart: Value) -> None:
        m = b.m
        self.at = Signal(SCHEDULE.window_log2, name="at")  # number of the next sample
        self.fresh = Signal(name="fresh", init=1)
        self.dwell = Signal(range(DWELL + 1), name="dwell_ones")
        self.window, self.previous = Signal(range(WINDOW + 1), name="ones"), Signal(range(WINDOW + 1), name="previous")
        self.whole = Signal(name="whole")  # the window before was one from its start
        self.repetition, self.proportion = Signal(name="repetition_due"), Signal(name="proportion_due")
        self.crc = Signal(16, name="crc_due")
        dwell_first = ~end.index[: SCHEDULE.dwell_log2].any()
        with m.If(end.taken):
            m.d.sync += [self.at.eq(self.at + 1), self.fresh.eq(0)]
            m.d.sync += self.dwell.eq(Mux(dwell_first, 0, self.dwell) + end.bit)
            m.d.sync += self.window.eq(Mux(end.index == 0, 0, self.window) + end.bit)
            with m.If(dwell_first & ~self.fresh & ((self.dwell == 0) | (self.dwell == DWELL))):
                m.d.sync += self.repetition.eq(1)
            with m.If(end.index == 0):
                m.d.sync += [self.previous.eq(self.window), self.whole.eq(~self.fresh)]
            low, high = SCHEDULE.ones_low, SCHEDULE.ones_high
            with m.If((end.index == 1) & self.whole & ((self.previous < low) | (self.previous > high))):
                m.d.sync += self.proportion.eq(1)
            with m.If(end.in_test):
                m.d.sync += self.crc.eq((self.crc << 1) ^ Mux(self.crc[-1] ^ end.bit, GENERATOR, 0))
        with m.If(restart):
            m.d.sync += [self.at.eq(0), self.fresh.eq(1), self.whole.eq(0)]
            m.d.sync += [self.repetition.eq(0), self.proportion.eq(0)]

    def claim_counters(self, b: Bench, design: Opened) -> None:
        """The component's counters stand for these."""
        counted, dwell_ones = design.of("_count", "ones"), design.of("_count", "dwell_ones")
        begin = (1 << len(counted)) - SCHEDULE.ones_low
        b.claim(design.of("_count", "crc") == self.crc)
        b.claim(dwell_ones == Mux(self.fresh, 1, self.dwell))
        with b.m.If(self.fresh):
            b.claim((counted == 0) & (self.at == 0) & ~self.whole)
        with b.m.Elif(self.at == 1):
            b.claim(counted == Mux(self.whole, begin + self.previous, 1)[: len(counted)])
        with b.m.Else():
            b.claim(counted == (begin + self.window - self.dwell)[: len(counted)])
        last = (self.at - 1)[: len(self.at)]
        came, in_dwell = last + 1, last[: SCHEDULE.dwell_log2] + 1
        b.claim((self.dwell <= in_dwell) & (self.window >= self.dwell), when=~self.fresh)
        b.claim(self.window - self.dwell <= came - in_dwell, when=~self.fresh)
        b.claim((self.window <= WINDOW) & (self.previous <= WINDOW))
