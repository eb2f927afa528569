# SPDX-License-Identifier: Apache-2.0
"""128-bit state of one noise generator: seed chain, stepping, lock-up watch."""

from amaranth import C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import SpecError
from hw.spec.noise import LOCKUP_STATE, STATE_WORDS, WORD_BITS, State


def check_init(init: State) -> State:
    """Return a state after reset, or raise `SpecError` unless it is four 32-bit words that are not all zero."""
    if len(init) != STATE_WORDS or not any(init) or not all(0 <= word < 1 << WORD_BITS for word in init):
        raise SpecError("init", init, f"{STATE_WORDS} words of {WORD_BITS} bits, not all 0")
    return init


class StateRegister(wiring.Component):
    """Four 32-bit state words that are either shifted by the seed chain, or replaced when the generator steps.

    The chain enters at word 3 and leaves at word 0: of all words fed in, the first travels furthest. Where `o_seed` of
    one register feeds `i_seed` of another, the register at the head of the chain holds the state that was fed last.

    An all-zero state is a fixed point of every linear engine. It is watched for all the time, replaced by
    `LOCKUP_STATE`, and reported.

    Parameters
    ----------
    init : State
        Four 32-bit words after reset, not all zero.

    Members
    -------
    word : Out(32) x 4      state words
    next_word : In(32) x 4  what a step puts in their place
    step_stb : In(1)        take `next_word`; without effect while a seed is shifted or checked
    settled : Out(1)        no seed is being shifted and the state has been checked for zero
    seeding : In(1)         keeps the generator idle while a seed is delivered with gaps; may stay low without gaps
    seed_stb : In(1)        shift the chain by one word
    i_seed, o_seed : In(32), Out(32)
    locked_up : Out(1)      a zero state was seen since the last seed; registered, final when `settled` rises

    Latency      SETTLE_CYCLES from the last cycle of seed_stb and seeding, or of reset, to `settled`
    Throughput   one step per cycle
    Reset        `init`
    Raises       SpecError: init
    """

    SETTLE_CYCLES = 2

    def __init__(self, *, init: State) -> None:
        self._init = check_init(init)
        super().__init__(
            {
                "word": Out(WORD_BITS).array(STATE_WORDS),
                "next_word": In(WORD_BITS).array(STATE_WORDS),
                "step_stb": In(1),
                "settled": Out(1),
                "seeding": In(1),
                "seed_stb": In(1),
                "i_seed": In(WORD_BITS),
                "o_seed": Out(WORD_BITS),
                "locked_up": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()

        words = [Signal(WORD_BITS, init=value, name=f"state{i}") for i, value in enumerate(self._init)]
        zero = Signal()
        idle = Signal()
        progress = Signal(self.SETTLE_CYCLES)
        m.d.comb += [
            Cat(*self.word).eq(Cat(*words)),
            self.o_seed.eq(words[0]),
            idle.eq(self.seeding | self.seed_stb),
            self.settled.eq(progress[-1] & ~idle),
        ]

        # Registered: a zero state stays zero, so that the delay does no harm.
        any_one = words[0] | words[1] | words[2] | words[3]
        m.d.sync += [zero.eq(~(any_one.any() | idle | zero)), progress.eq(Mux(idle, 0, Cat(C(1, 1), progress[:-1])))]

        # One expression for each word: simulators evaluate it in place.
        step = self.step_stb & progress[-1]
        chain = [*words[1:], self.i_seed]
        for word, following, next_word, lockup in zip(words, chain, self.next_word, LOCKUP_STATE, strict=True):
            # The bits of a zero state are zero, stepped or not.
            stepped = Mux(step, next_word, word) | Mux(zero, lockup, 0)
            m.d.sync += word.eq(Mux(self.seed_stb, following, stepped))
        m.d.sync += self.locked_up.eq(~self.seed_stb & (self.locked_up | zero))

        return m
