# SPDX-License-Identifier: Apache-2.0
"""Tests the noise words of one lane while they are taken."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import check_int
from hw.spec.health import POSITION_BITS, SCHEDULE, WORDS_MAX, HealthSchedule, KnownAnswer
from hw.spec.noise import WORD_BITS

CRC_BITS, CRC_POLYNOMIAL = 16, 0x1021
"""CRC of ITU-T V.41, highest power at the top: its width, and the polynomial without x^16."""

BIT_SELECT_BITS = POSITION_BITS - (WORDS_MAX - 1).bit_length()
"""Bits of a position that choose the bit of a word; the others choose the word."""

SELECT_SPLITS = {"plain": (), "compact": (2,), "pipelined": (2, 2, 1, 2)}
"""Bits of a position that each register stage between the words and the examined bit decodes; the rest of them is
decoded behind the last stage."""


class HealthMonitor(wiring.Component):
    """Examines one bit of each sample for stuck and biased noise, and the first window for known answers.

    Samples are counted: every `dwell_words` of them another bit position is examined, every window another word. A
    dwell of equal bits raises `repetition`, at the first sample behind it; a window with too few or too many ones
    raises `proportion`, at the second one behind it. Both stay until the next `restart`, which begins a window anew.

    After reset the first window is the known-answer test; `testing` is high until it has been judged, which needs no
    more samples. A wrong answer raises `known_answer`, and so does a `restart` meanwhile. That alarm stays until reset.

    Parameters
    ----------
    noise_words : int
        Words of a sample, 1 to 3.
    expected : KnownAnswer
        Of the first window.
    select : str
        A key of `SELECT_SPLITS`: registers in the selection of the bit.
    schedule : HealthSchedule

    Members
    -------
    word : noise_words x In(32)      the words now
    sample_stb : In(1)               they are a sample
    restart : In(1)                  forget the samples so far; no sample in this cycle
    reserved : Out(1)                the next sample belongs to the known-answer test, whose samples come in every cycle
    testing, repetition, proportion, known_answer : Out(1)

    Latency      `latency_cycles` from a sample to the alarm that it raises; from the last one of the known-answer test,
                 one more
    Throughput   one sample per cycle
    Reset        the known-answer test
    Golden       hw.spec.health.examined_bits, known_answer
    Raises       SpecError: noise_words; KeyError: select
    Source       NIST SP 800-90B, sections 4.4.1 and 4.4.2
    """

    def __init__(
        self, *, noise_words: int, expected: KnownAnswer, select: str = "plain", schedule: HealthSchedule = SCHEDULE
    ) -> None:
        check_int("noise_words", noise_words, 1, WORDS_MAX - 1)
        self._expected = expected
        self._splits = SELECT_SPLITS[select]
        self._schedule = schedule
        self._plain = select == "plain"
        self.latency_cycles = len(self._splits) + 1 + self._plain
        super().__init__(
            {
                "word": In(WORD_BITS).array(noise_words),
                "sample_stb": In(1),
                "restart": In(1),
                "reserved": Out(1),
                "testing": Out(1),
                "repetition": Out(1),
                "proportion": Out(1),
                "known_answer": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        dwell_log2, window_log2 = self._schedule.dwell_log2, self._schedule.window_log2
        words, sample_stb, restart = list(self.word), self.sample_stb, self.restart
        if self._plain:  # a simulator then evaluates nothing else where the clock of the monitor is gated
            words = [Signal(WORD_BITS, name=f"word{index}") for index in range(len(self.word))]
            sample_stb, restart = Signal(), Signal()
            m.d.sync += [register.eq(word) for register, word in zip(words, self.word, strict=True)]
            m.d.sync += [sample_stb.eq(self.sample_stb & ~self.restart), restart.eq(self.restart)]
        # The bit above the number in the window is set when the known-answer test has its samples.
        number, used_up = Signal(window_log2 + 1), Signal()
        in_test = ~number[-1]
        # The last four samples of a window. A register is early enough: the first of them takes a cycle.
        near_end, last = Signal(), Signal()
        m.d.sync += near_end.eq(number[2:-1].all())
        m.d.comb += [
            last.eq(near_end & number[:2].all()),
            used_up.eq(number[-1] | (sample_stb & last)),
            self.reserved.eq(~used_up),
        ]
        if self._plain:  # one sample is on its way; they come in every cycle
            m.d.comb += self.reserved.eq(~(number[-1] | (near_end & number[1] & (number[0] | sample_stb))))
        with m.If(sample_stb):
            m.d.sync += number.eq(Cat((number[:-1] + 1)[:window_log2], used_up))
        with m.If(restart):
            m.d.sync += number.eq(1 << window_log2)

        dwell = number[dwell_log2:-1]
        word = self._word(m, window_end=sample_stb & number[-1] & last, restart=restart)
        bit = self._select(m, words, Cat(dwell[:BIT_SELECT_BITS], Mux(in_test, dwell[BIT_SELECT_BITS:], word)))
        dwell_first, window_second = ~number[:dwell_log2].any(), number[:-1] == 1
        for stage in range(len(self._splits)):  # beside the bit
            names = ("sample_stb", "in_test", "dwell_first", "window_second")
            before = sample_stb & ~restart, in_test & ~restart, dwell_first, window_second
            registers = [Signal(name=f"{name}{stage}", init=name == "in_test") for name in names]
            m.d.sync += [register.eq(value) for register, value in zip(registers, before, strict=True)]
            sample_stb, in_test, dwell_first, window_second = registers
        self._count(m, bit, sample_stb, in_test, restart, dwell_first=dwell_first, window_second=window_second)
        return m

    def _word(self, m: Module, *, window_end: Value, restart: Value) -> Signal:
        """The word that the window examines, behind the known-answer test."""
        word = Signal(POSITION_BITS - BIT_SELECT_BITS)
        with m.If(window_end):
            m.d.sync += word.eq(Mux(word == len(self.word) - 1, 0, word + 1))
        with m.If(restart):
            m.d.sync += word.eq(0)
        return word

    def _select(self, m: Module, words: list[Value], position: Value) -> Value:
        """The examined bit, len(splits) cycles after its word; `position` is bit, then word."""
        found, left = words, BIT_SELECT_BITS
        for stage, count in enumerate(self._splits):
            found, left = self._decode(found, position[:count], left)
            stored = [Signal(len(value), name=f"found{stage}_{index}") for index, value in enumerate(found)]
            later = Signal(len(position) - count, name=f"position{stage}")
            m.d.sync += [register.eq(value) for register, value in zip(stored, found, strict=True)]
            m.d.sync += later.eq(position[count:])
            found, position = list(stored), later
        return self._decode(found, position, left)[0][0]

    def _decode(self, found: list[Value], select: Value, left: int) -> tuple[list[Value], int]:
        """Use up the lowest bits of a position, of which `left` choose the bit. Returns what is left of both."""
        here = min(len(select), left)
        if len(select) == POSITION_BITS:  # all at once: the word first is faster to simulate
            return [self._choose_word(found, select[here:]).bit_select(select[:here], 1)], 0
        groups = range(1 << (left - here))
        found = [Cat(value.word_select(g, 1 << here).bit_select(select[:here], 1) for g in groups) for value in found]
        return [self._choose_word(found, select[here:])] if len(select) > here else found, left - here

    @staticmethod
    def _choose_word(found: list[Value], number: Value) -> Value:
        """The one that hw.spec.health.chosen_word names."""
        match found:
            case [only]:
                return only
            case [even, odd]:
                return Mux(number[0], odd, even)
        chosen, *others = found
        for index, other in enumerate(others, start=1):
            chosen = Mux(number == index, other, chosen)
        return chosen

    def _count(
        self,
        m: Module,
        bit: Value,
        sample_stb: Value,
        in_test: Value,
        restart: Value,
        *,
        dwell_first: Value,
        window_second: Value,
    ) -> None:
        """Count the ones of a dwell and of a window; judge them, and the known answers, a little later."""
        schedule, expected = self._schedule, self._expected
        # Both counts start as what passes. The window's count includes a dwell from the first sample behind it on, and
        # begins below zero, so that a look at the upper bits finds too few and too many.
        dwell_ones = Signal(schedule.dwell_log2 + 1, init=1)
        crc = Signal(CRC_BITS)
        # What seldom changes is one register: faster to simulate.
        state = Signal(
            data.StructLayout(
                {"ones": schedule.window_log2 + 1, "testing": 1, "repetition": 1, "proportion": 1, "known_answer": 1}
            ),
            init={"testing": 1},
        )
        ones = state.ones
        begin = (1 << len(ones)) - schedule.ones_low
        m.d.comb += [
            self.testing.eq(state.testing),
            self.repetition.eq(state.repetition),
            self.proportion.eq(state.proportion),
            self.known_answer.eq(state.known_answer),
        ]
        with m.If(sample_stb):
            with m.If(dwell_first):
                m.d.sync += [dwell_ones.eq(bit), ones.eq(ones + dwell_ones)]
                with m.If(~dwell_ones[: schedule.dwell_log2].any()):  # none or all
                    m.d.sync += state.repetition.eq(1)
            with m.Else():
                m.d.sync += dwell_ones.eq(dwell_ones + bit)
            with m.If(window_second):
                m.d.sync += ones.eq(begin)
                with m.If(ones[schedule.passing_log2 :].any()):
                    m.d.sync += state.proportion.eq(1)
            with m.If(in_test):
                m.d.sync += crc.eq((crc << 1) ^ Mux(crc[-1] ^ bit, CRC_POLYNOMIAL, 0))
        with m.If(state.testing & ~in_test):
            right_ones = ones == (begin + expected.ones) % (1 << len(ones))
            m.d.sync += [
                state.testing.eq(0),
                state.known_answer.eq(~((crc == expected.crc) & right_ones) | restart),
            ]
        with m.If(restart):
            m.d.sync += [dwell_ones.eq(1), ones.eq(0), state.repetition.eq(0), state.proportion.eq(0)]
