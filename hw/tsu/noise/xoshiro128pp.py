# SPDX-License-Identifier: Apache-2.0
"""xoshiro128++ as a noise generator."""

from amaranth import Module, Signal

from hw.spec.errors import check_int
from hw.spec.noise import WORD_BITS, State

from .generator import NoiseGenerator


class Xoshiro128pp(NoiseGenerator):
    """Words rotl(s0 + s3, 7) + s0 of a linear engine of 128 bits.

    Registers behind the two additions advance together. Without them the word is made from the state in the cycle in
    which it is taken: the same words, smaller, slower in an FPGA.

    Parameters
    ----------
    init : State
        State after reset: four 32-bit words, not all zero.
    pipelined : bool
    word_stages : int
        Additions that have a register behind them: 0, 1 or 2.

    Members
    -------
    see `NoiseGenerator`
    Throughput   one word per cycle
    Reset        the sequence of `init`
    Golden       hw.spec.noise.step_xoshiro128pp (bit-exact)
    Raises       SpecError: init, word_stages
    Source       D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators"
    """

    ROTATION = 7

    def __init__(self, *, init: State, pipelined: bool, word_stages: int) -> None:
        self.prefetch = check_int("word_stages", word_stages, 0, 2)
        super().__init__(init=init, pipelined=pipelined)

    def elaborate(self, platform):
        m = Module()
        state = self._state(m)
        s0, s1, s2, s3 = state.word
        x3 = s3 ^ s1
        x2 = s2 ^ s0
        m.d.comb += [
            state.next_word[0].eq(s0 ^ x3),
            state.next_word[1].eq(s1 ^ x2),
            state.next_word[2].eq(x2 ^ (s1 << 9)),
            state.next_word[3].eq(x3.rotate_left(11)),
        ]
        total, total_s0 = (s0 + s3)[:WORD_BITS], s0
        if self.prefetch > 0:
            registered, registered_s0 = Signal(WORD_BITS, reset_less=True), Signal(WORD_BITS, reset_less=True)
            with m.If(self.advance):
                m.d.sync += [registered.eq(total), registered_s0.eq(total_s0)]
            total, total_s0 = registered, registered_s0
        word = total.rotate_left(self.ROTATION) + total_s0
        if self.prefetch > 1:
            with m.If(self.advance):
                m.d.sync += self.word.eq(word)
        else:
            m.d.comb += self.word.eq(word)
        return m
