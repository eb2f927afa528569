# SPDX-License-Identifier: Apache-2.0
"""HealthMonitor: equal to plain counters of the bits to examine; alarms stay; a stuck bit is found in time."""

from functools import partial

from amaranth.hdl import Array, Cat, Cover, Mux, Signal, Value

from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug
from hw.formal.health_reference import DWELL, EXPECTED, ONES, ROUND, SCHEDULE, VISITS, WINDOW, Counts, Sample
from hw.formal.proof import Proof
from hw.spec.health import WORDS_MAX, chosen_word
from hw.spec.noise import WORD_BITS
from hw.tsu.health_monitor import SELECT_SPLITS, HealthMonitor


def say_samples(b: Bench, monitor: HealthMonitor) -> None:
    """No sample in the cycle of a restart. Narrowed: samples in every cycle, and one of two stories.

    Two restarts in the test, then ones but for one sample; the ones and zeros of `EXPECTED`.
    """
    b.assume(~(monitor.sample_stb & monitor.restart))
    if b.narrowed:
        story, age = b.constant(range(2), "story"), Signal(range(2 * WINDOW))
        b.m.d.sync += age.eq(age + 1)
        ones = Array([age != 20, age < ONES])[story]
        b.assume(monitor.restart == ((story == 0) & ((age == 11) | (age == 12))))
        b.assume(monitor.sample_stb == ~monitor.restart)
        for word in monitor.word:
            b.assume(word == ones.replicate(WORD_BITS))


def count_input(
    b: Bench, design: Opened, taken: Value, restart: Value, inputs: list[Value]
) -> tuple[Sample, Signal, Value]:
    """The sample that is to be taken, the word that a window examines, and the place of the bit."""
    m, words = b.m, len(inputs)
    index, in_test, word = Signal(SCHEDULE.window_log2), Signal(init=1), Signal(range(WORDS_MAX))
    with m.If(taken):
        m.d.sync += [index.eq(index + 1), in_test.eq(in_test & ~index.all())]
        with m.If(index.all() & ~in_test):
            m.d.sync += word.eq(Mux(word == words - 1, 0, word + 1))
    with m.If(restart):
        m.d.sync += [index.eq(0), in_test.eq(0), word.eq(0)]
    place, chosen = index[SCHEDULE.dwell_log2 :], Signal(range(WORDS_MAX))
    in_turn = Array([chosen_word(number * WORD_BITS, words) for number in range(WORDS_MAX)])[place[5:]]
    m.d.comb += chosen.eq(Mux(in_test, in_turn, word))
    b.claim((design.number == Cat(index, ~in_test)) & (design.word == word) & (word < words))
    return Sample(taken, in_test, index, Array(inputs)[chosen].bit_select(place[:5], 1)), word, place


def claim_flight(b: Bench, stages: list[Sample], counts: Counts, open_test: Value) -> None:
    """Samples between the first stage and the last one: their numbers, and whether they belong to the test."""
    for number, stage in enumerate(stages):
        behind = [later.taken for later in stages[number + 1 :]]
        inside = sum(behind, Cat())
        b.claim(stage.index == (counts.at + inside)[: len(stage.index)], when=stage.taken if number else 1)
        with b.m.If(open_test):
            b.claim(stage.index >= counts.at, when=stage.in_test & (stage.taken if number else 1))
            b.claim(counts.fresh == (counts.at == 0), when=stage.in_test)
            b.claim(~counts.fresh | Cat(behind).any(), when=~stage.in_test)
            if number + 1 < len(stages):
                edge = ~stage.in_test & stages[number + 1].in_test
                b.claim((counts.at + inside)[: len(counts.at)] == 0, when=edge)
                b.claim(stages[number + 1].in_test, when=stage.in_test)


def claim_stuck(
    b: Bench, counts: Counts, end: Sample, restart: Value, word: Value, place: Value, inputs: list[Value]
) -> None:
    """While a bit is stuck without an alarm, no whole visit to it has passed: at most the documented windows."""
    m, words = b.m, len(inputs)
    bit, which, value = (
        b.constant(5, "stuck_bit"),
        b.constant(range(WORDS_MAX), "stuck_word"),
        b.constant(1, "stuck_at"),
    )
    b.assume(which < words)
    longest = (words + 1) * WINDOW
    stuck, here = Signal(range(longest + 2)), Signal()
    holds = Array(inputs)[which].bit_select(bit, 1) == value
    with m.If(end.in_test | (end.taken & ~holds) | restart):
        m.d.sync += stuck.eq(0)
    with m.Elif(end.taken):
        m.d.sync += stuck.eq(stuck + 1)
    with m.If(end.taken):
        m.d.sync += here.eq(~end.in_test & (word == which) & (place[:5] == bit))
    # Samples since a window of this word began, the last one in which a visit was judged, and where that visit began.
    turns = Signal(range(WORDS_MAX), name="turns")
    time, first = Signal(range(2 * longest), name="time"), Signal(range(WINDOW), name="first")
    m.d.comb += turns.eq(Mux(word >= which, word - which, word + words - which))
    within = turns * WINDOW + counts.at
    m.d.comb += [first.eq(bit * DWELL), time.eq(Mux(within > first + DWELL, within, within + words * WINDOW))]
    visits = (time - first - DWELL - 1) // ROUND
    start = first + Mux(visits >= VISITS, VISITS - 1, visits) * ROUND
    b.claim(stuck <= time - start - 1, when=~counts.repetition)
    b.claim(stuck == 0, when=counts.fresh | end.in_test)
    # Where the last sample was, and that a dwell that is stuck from its start has equal bits.
    last = (counts.at - 1)[: len(counts.at)]
    of_word = Mux(counts.at == 0, turns == (1 if words > 1 else 0), word == which)
    there = of_word & (last[SCHEDULE.dwell_log2 :][:5] == bit)
    b.claim(here == there, when=~counts.fresh & ~end.in_test & ((counts.at != 0) | (stuck != 0)))
    in_dwell = last[: SCHEDULE.dwell_log2] + 1
    b.claim(counts.dwell == Mux(value, in_dwell, 0), when=here & ~counts.fresh & (stuck >= in_dwell))
    b.claim(counts.repetition, when=stuck > longest)


def claim_test(b: Bench, monitor: HealthMonitor, first: Sample, *, plain: bool) -> None:
    """The known-answer test holds `testing` and `reserved` for its window, from the samples alone."""
    m = b.m
    samples, restarted = Signal(range(WINDOW + 1), name="samples"), Signal(name="restarted")
    m.d.sync += [samples.eq(samples + (monitor.sample_stb & (samples != WINDOW)))]
    m.d.sync += restarted.eq(restarted | monitor.restart)
    counted = b.past(samples, name="samples_before") if plain else samples
    with m.If(~(b.past(restarted, name="restarted_before") if plain else restarted)):
        b.claim(first.in_test == (counted != WINDOW))
        b.claim(first.index == counted, when=first.in_test)
    over: Value = samples == WINDOW
    for stage in range(monitor.latency_cycles):
        over = b.past(over, name=f"over_{stage}")
    b.claim(monitor.testing == ~over, when=~restarted)
    gone = b.past(b.past(restarted, name="gone_1"), name="gone_2")
    b.claim(~monitor.testing, when=gone)
    asked = monitor.sample_stb if plain else 1  # there samples come in every cycle
    b.claim(monitor.reserved == (samples + monitor.sample_stb < WINDOW), when=~restarted & ~monitor.restart & asked)
    b.claim(~monitor.reserved, when=gone)


def fill(b: Bench, *, select: str, words: int, whole_window: bool) -> None:
    """Any words, samples and restarts. `whole_window`: with the cover statements that need one."""
    m, plain = b.m, select == "plain"
    monitor = HealthMonitor(noise_words=words, expected=EXPECTED, select=select, schedule=SCHEDULE)
    design = b.under_test(monitor)
    say_samples(b, monitor)
    taken, restart, inputs = monitor.sample_stb, monitor.restart, list(monitor.word)
    if plain:  # registers in front of everything
        taken, restart = b.past(taken, name="taken"), b.past(restart, name="restart")
        inputs = [b.past(word, name=f"word_{number}") for number, word in enumerate(inputs)]
    first, word, place = count_input(b, design, taken, restart, inputs)
    stages = [first]
    for number in range(len(SELECT_SPLITS[select])):
        last = stages[-1]
        stage = Sample(
            b.past(last.taken & ~restart, name=f"taken_{number}"),
            b.past(last.in_test & ~restart, name=f"in_test_{number}", init=1),
            b.past(last.index, name=f"index_{number}"),
            b.past(last.bit, name=f"bit_{number}"),
        )
        stages.append(stage)
        b.claim(design.signal(f"sample_stb{number}") == stage.taken)
        b.claim(design.signal(f"in_test{number}") == stage.in_test)
        with m.If(stage.taken):
            b.claim(design.signal(f"dwell_first{number}") == ~stage.index[: SCHEDULE.dwell_log2].any())
            b.claim(design.signal(f"window_second{number}") == (stage.index == 1))
    end = stages[-1]
    counts = Counts(b, end, restart)
    counts.claim_counters(b, design)

    # Alarms are those of the plain counters, and stay.
    b.claim((monitor.repetition == counts.repetition) & (monitor.proportion == counts.proportion))
    for name in ("repetition", "proportion", "known_answer"):
        alarm = getattr(monitor, name)
        b.claim(alarm, when=b.past(alarm & (~restart if name != "known_answer" else 1), name=f"{name}_before"))

    # The known-answer test is judged once; a restart meanwhile is a wrong answer.
    testing, cut, wrong = Signal(init=1), Signal(), Signal()
    right = (counts.crc == EXPECTED.crc) & (counts.window - counts.dwell == EXPECTED.ones) & ~cut
    m.d.sync += cut.eq(cut | (restart & testing))
    with m.If(testing & ~end.in_test):
        m.d.sync += [testing.eq(0), wrong.eq(~right | restart)]
        b.claim((counts.at == 0) & ~counts.fresh, when=~cut)
    b.claim((monitor.testing == testing) & (monitor.known_answer == wrong))
    b.claim(testing, when=end.in_test)
    b.claim(~end.in_test & counts.fresh & (counts.at == 0), when=cut & testing)
    b.claim(~wrong, when=testing)
    b.claim(wrong, when=cut & ~testing)
    claim_flight(b, stages, counts, testing & ~cut)
    claim_test(b, monitor, first, plain=plain)
    if plain:
        claim_stuck(b, counts, end, restart, word, place, inputs)
    m.d.comb += [Cover(wrong & cut), Cover(monitor.repetition & ~monitor.testing)]
    if whole_window:
        m.d.comb += [Cover(~wrong & ~testing), Cover(monitor.proportion & ~monitor.testing)]


def _bug(name: str, old: str, new: str, depth: int) -> Bug:
    return Bug(name=name, where="health_monitor", old=old, new=new, depth=depth, narrowed=True)


_SEEN = "with m.If(~dwell_ones[: schedule.dwell_log2].any()):  # none or all"
BUGS = (
    _bug("all-ones-pass", _SEEN, "with m.If(~dwell_ones.any()):", 40),
    _bug("one-too-many-passes", "- schedule.ones_low\n", "- schedule.ones_low + 1\n", 40),
    _bug("alarm-survives-restart", "ones.eq(0), state.repetition.eq(0),", "ones.eq(0),", 40),
    _bug("restart-keeps-the-dwell", "number.eq(1 << window_log2)", "number[-1].eq(1)", 40),
    _bug("alarm-falls", _SEEN, f"m.d.sync += state.repetition.eq(0)\n                {_SEEN}", 40),
    _bug("cut-test-passes", "right_ones) | restart)", "right_ones) & ~restart)", 40),
    _bug("other-polynomial", "CRC_POLYNOMIAL = 16, 0x1021", "CRC_POLYNOMIAL = 16, 0x1023", 40),
    _bug("dwell-is-not-counted", "ones.eq(ones + dwell_ones)", "ones.eq(ones)", 40),
    _bug("test-ends-early", "used_up.eq(number[-1] |", "used_up.eq(number[-1] | number[4] |", 64),
)


def _proof(select: str, words: int) -> Proof:
    whole_window = select == "plain" and words == 1
    return Proof(
        name=f"health_monitor/{select}-{words}",
        claims="alarms are those of plain counters of the examined bits, and stay; `testing` lasts for one window"
        + "; a stuck bit is found within 1 + (words) windows" * (select == "plain"),
        configuration=f"{words} words, dwell {DWELL}, window {WINDOW}, {select}",
        fill=partial(fill, select=select, words=words, whole_window=whole_window),
        depth=3 + len(SELECT_SPLITS[select]),
        cover_depth=WINDOW + 24 if whole_window else 40,
        cover_narrowed=True,
        bugs=BUGS,
    )


PROOFS = tuple(_proof(*variant) for variant in (("plain", 1), ("plain", 3), ("compact", 2), ("pipelined", 3)))
