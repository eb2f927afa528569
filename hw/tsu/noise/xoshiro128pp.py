# SPDX-License-Identifier: Apache-2.0
"""xoshiro128++ as a stream of 32-bit noise words."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.noise import WORD_BITS, State

from .state_register import StateRegister, check_init


class Xoshiro128pp(wiring.Component):
    """Words rotl(s0 + s3, 7) + s0 of a linear engine of 128 bits, one per transfer, in the order of the reference.

    Pipelined, the two additions are two stages which advance together, when the word register is empty or taken. A
    seed discards the words that were prefetched: `o_word.valid` is low while it is shifted in and until new words
    arrive (the one case in which it falls without a transfer). Not pipelined, the word is made from the state in the
    cycle in which it is taken: the same words, less to simulate, too slow for an FPGA.

    Parameters
    ----------
    init : State
        State after reset: four 32-bit words, not all zero.
    pipelined : bool

    Members
    -------
    o_word : Out(stream)      one 32-bit word per transfer
    seeding, seed_stb, i_seed, o_seed, locked_up : see `StateRegister`

    Latency      LATENCY_CYCLES from the last cycle of seed_stb and seeding, or of reset, to the first word
    Throughput   one word per cycle
    Reset        the sequence of `init`
    Golden       hw.spec.noise.step_xoshiro128pp (bit-exact)
    Raises       SpecError: init
    Source       D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators"
    """

    LATENCY_CYCLES = StateRegister.SETTLE_CYCLES + 2

    ROTATION = 7

    def __init__(self, *, init: State, pipelined: bool = True) -> None:
        self._init = check_init(init)
        self._pipelined = pipelined
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
        s0, s1, s2, s3 = state.word

        x3 = s3 ^ s1
        x2 = s2 ^ s0
        m.d.comb += [
            state.seeding.eq(self.seeding),
            state.seed_stb.eq(self.seed_stb),
            state.i_seed.eq(self.i_seed),
            self.o_seed.eq(state.o_seed),
            self.locked_up.eq(state.locked_up),
            state.next_word[0].eq(s0 ^ x3),
            state.next_word[1].eq(s1 ^ x2),
            state.next_word[2].eq(x2 ^ (s1 << 9)),
            state.next_word[3].eq(x3.rotate_left(11)),
        ]
        if self._pipelined:
            self._pipeline(m, state)
        else:
            m.d.comb += [
                state.step_stb.eq(self.o_word.ready),
                self.o_word.payload.eq((s0 + s3)[:WORD_BITS].rotate_left(self.ROTATION) + s0),
                self.o_word.valid.eq(state.settled),
            ]
        return m

    def _pipeline(self, m, state):
        """Register the sum, then the word."""
        s0, _, _, s3 = state.word
        total = Signal(WORD_BITS, reset_less=True)
        total_s0 = Signal(WORD_BITS, reset_less=True)
        total_valid = Signal()
        word = Signal(WORD_BITS, reset_less=True)
        word_valid = Signal()
        advance = Signal()

        m.d.comb += [
            state.step_stb.eq(advance),
            advance.eq(~word_valid | self.o_word.ready),
            self.o_word.payload.eq(word),
            self.o_word.valid.eq(word_valid & state.settled),
        ]
        with m.If(advance):
            m.d.sync += [
                total.eq(s0 + s3),
                total_s0.eq(s0),
                total_valid.eq(1),
                word.eq(total.rotate_left(self.ROTATION) + total_s0),
                word_valid.eq(total_valid),
            ]
        with m.If(~state.settled):
            m.d.sync += [total_valid.eq(0), word_valid.eq(0)]
