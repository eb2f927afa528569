# SPDX-License-Identifier: Apache-2.0
"""128-bit Fibonacci LFSR as a stream of 32-bit noise words."""

from amaranth import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import SpecError
from hw.spec.noise import LFSR_TAPS, WORD_BITS, State

from .state_register import StateRegister, check_init


class Lfsr(wiring.Component):
    """The newest 32 bits of a shift register with taps 128, 126, 101, 99, one word per transfer.

    With one shift per word, neighbouring words share 31 bits: LOW QUALITY, their correlation is 0.5. With 32 shifts
    every word has 32 fresh bits, each the XOR of four state bits; the words stay linear over GF(2).
    A seed acts as in `Xoshiro128pp`.

    Parameters
    ----------
    shifts_per_word : int
        1 or 32.
    init : State
        State after reset: four 32-bit words, not all zero.

    Members
    -------
    o_word : Out(stream)      one 32-bit word per transfer, from the state register
    seeding, seed_stb, i_seed, o_seed, locked_up : see `StateRegister`

    Latency      LATENCY_CYCLES from the last cycle of seed_stb and seeding, or of reset, to the first word
    Throughput   one word per cycle
    Reset        the sequence of `init`
    Golden       hw.spec.noise.step_lfsr and step_lfsr_leap (bit-exact)
    Raises       SpecError: shifts_per_word, init
    Source       Xilinx XAPP052, XAPP210
    """

    LATENCY_CYCLES = StateRegister.SETTLE_CYCLES

    def __init__(self, *, shifts_per_word: int, init: State) -> None:
        if shifts_per_word not in (1, WORD_BITS):
            raise SpecError("shifts_per_word", shifts_per_word, f"1 or {WORD_BITS}")
        self._shifts = shifts_per_word
        self._init = check_init(init)
        super().__init__(
            {
                "o_word": Out(stream.Signature(WORD_BITS)),
                "seeding": In(1),
                "seed_stb": In(1),
                "i_seed": In(WORD_BITS),
                "o_seed": Out(WORD_BITS),
                "locked_up": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.state = state = StateRegister(init=self._init)
        word = state.word

        def window(low, width):
            """State bits [low, low + width) without a 128-bit signal; at most two words wide."""
            index, offset = divmod(low, WORD_BITS)
            return Cat(*word[index : index + 2])[offset : offset + width]

        # Tap t is state bit t - 1. The last of n shifts makes bit 0 from bit t - n, the first bit n - 1.
        count = self._shifts
        fresh = 0
        for tap in LFSR_TAPS:
            fresh = window(tap - count, count) ^ fresh

        for i, next_word in enumerate(state.next_word):
            older = window(WORD_BITS * i - count, WORD_BITS) if i else Cat(fresh[:count], word[0])[:WORD_BITS]
            m.d.comb += next_word.eq(older)

        m.d.comb += [
            state.seeding.eq(self.seeding),
            state.seed_stb.eq(self.seed_stb),
            state.i_seed.eq(self.i_seed),
            self.o_seed.eq(state.o_seed),
            self.locked_up.eq(state.locked_up),
            state.step_stb.eq(self.o_word.ready),
            self.o_word.payload.eq(word[0]),
            self.o_word.valid.eq(state.settled),
        ]
        return m
