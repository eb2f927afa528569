# SPDX-License-Identifier: Apache-2.0
"""128-bit Fibonacci LFSR as a noise generator."""

from amaranth import Cat, Module

from hw.spec.errors import SpecError
from hw.spec.noise import LFSR_TAPS, WORD_BITS, State

from .generator import NoiseGenerator


class Lfsr(NoiseGenerator):
    """The newest 32 bits of a shift register with taps 128, 126, 101, 99, one word per advance.

    With one shift per word, neighbouring words share 31 bits: LOW QUALITY, their correlation is 0.5. With 32 shifts
    every word has 32 fresh bits, each the XOR of four state bits; the words stay linear over GF(2).

    Parameters
    ----------
    shifts_per_word : int
        1 or 32.
    init : State
        State after reset: four 32-bit words, not all zero.

    Members
    -------
    see `NoiseGenerator`
    Throughput   one word per cycle
    Reset        the sequence of `init`
    Golden       hw.spec.noise.step_lfsr and step_lfsr_leap (bit-exact)
    Raises       SpecError: shifts_per_word, init
    Source       Xilinx XAPP052, XAPP210
    """

    def __init__(self, *, shifts_per_word: int, init: State, pipelined: bool) -> None:
        if shifts_per_word not in (1, WORD_BITS):
            raise SpecError("shifts_per_word", shifts_per_word, f"1 or {WORD_BITS}")
        self._shifts = shifts_per_word
        super().__init__(init=init, pipelined=pipelined)

    def elaborate(self, platform):
        m = Module()
        state = self._state(m)
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

        m.d.comb += self.word.eq(word[0])
        return m
