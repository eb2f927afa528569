# SPDX-License-Identifier: Apache-2.0
"""128-bit state of one noise generator: seed chain, stepping, lock-up watch."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import SpecError
from hw.spec.noise import LOCKUP_STATE, STATE_WORDS, WORD_BITS, State


def check_init(init: State) -> State:
    """Return a state after reset, or raise `SpecError` unless it is four 32-bit words that are not all zero."""
    if len(init) != STATE_WORDS or not any(init) or not all(0 <= word < 1 << WORD_BITS for word in init):
        raise SpecError("init", init, f"{STATE_WORDS} words of {WORD_BITS} bits, not all 0")
    return init


SETTLE_CYCLES = 2
"""From a zero state to its replacement, where the search for it is not pipelined."""

PIPELINE_CYCLES = 2
"""How much longer it takes where it is."""

PARTS = 8
"""Parts of the state that a pipelined search looks at by themselves: four levels of LUTs would bound the clock."""


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
    pipelined : bool
        Two registers more in the search for a zero state.

    Members
    -------
    word : 4 x Out(32)      the state
    next_word : 4 x In(32)  the state after a step; zero for a zero state
    step_stb : In(1)        take `next_word`
    seeding : In(1)         high from the first seed word to the last: a state that passes through zero is no lock-up
    seed_stb : In(1)        shift the chain by one word
    i_seed, o_seed : In(32), Out(32)
    zero : Out(1)           the state was zero one cycle ago (three if `pipelined`) and is being replaced

    Latency      SETTLE_CYCLES from a zero state to `LOCKUP_STATE`, PIPELINE_CYCLES more if `pipelined`
    Throughput   one step per cycle
    Reset        `init`
    Raises       SpecError: init
    """

    def __init__(self, *, init: State, pipelined: bool) -> None:
        self._init = check_init(init)
        self._pipelined = pipelined
        super().__init__(
            {
                "word": Out(WORD_BITS).array(STATE_WORDS),
                "next_word": In(WORD_BITS).array(STATE_WORDS),
                "step_stb": In(1),
                "seeding": In(1),
                "seed_stb": In(1),
                "i_seed": In(WORD_BITS),
                "o_seed": Out(WORD_BITS),
                "zero": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        words = [Signal(WORD_BITS, init=value, name=f"state{i}") for i, value in enumerate(self._init)]
        m.d.comb += [port.eq(word) for port, word in zip(self.word, words, strict=True)]
        m.d.comb += self.o_seed.eq(words[0])

        # Registered, in an FPGA three times: a zero state stays zero, so that the delay does no harm. What the first
        # register saw while the state was being seeded or replaced does not count.
        nonzero = Signal(init=1)
        quiet = self.seeding | self.seed_stb | self.zero
        any_column = words[0] | words[1] | words[2] | words[3]
        if self._pipelined:
            any_part = Signal(PARTS, init=-1)
            quiet_before = Signal(2)
            m.d.sync += [
                any_part.eq(Cat(any_column[part::PARTS].any() for part in range(PARTS))),
                nonzero.eq(any_part.any()),
                quiet_before.eq((quiet_before << 1) | quiet),
            ]
            quiet = quiet | quiet_before.any()
        else:
            m.d.comb += nonzero.eq(any_column.any())
        m.d.sync += self.zero.eq(~(nonzero | quiet))

        following = [*words[1:], self.i_seed]
        with m.If(self.step_stb | self.seed_stb | self.zero):
            for word, shifted, stepped, lockup in zip(words, following, self.next_word, LOCKUP_STATE, strict=True):
                m.d.sync += word.eq(Mux(self.seed_stb, shifted, stepped | Mux(self.zero, lockup, 0)))
        return m
