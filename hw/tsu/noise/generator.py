# SPDX-License-Identifier: Apache-2.0
"""What every noise generator offers its bank."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.noise import WORD_BITS, State

from .state_register import StateRegister, check_init


class NoiseGenerator(wiring.Component):
    """Base of the generators: one 32-bit word per `advance`, in the order of the reference.

    A generator has no handshake of its own. Its bank, which keeps several of them in lock step, advances it
    `prefetch` times after a seed and then once for each word taken.

    Parameters
    ----------
    init : State
        State after reset: four 32-bit words, not all zero.
    pipelined : bool
        Registers for an FPGA: in the search for a zero state, and where a generator has long paths of its own.

    Members
    -------
    advance : In(1)       go on to the next word
    word : Out(32)        the word now
    seeding, seed_stb, i_seed, o_seed, zero : see `StateRegister`
    Raises       SpecError: init
    """

    prefetch = 0
    """Advances from a new state to its first word."""

    def __init__(self, *, init: State, pipelined: bool) -> None:
        self._init = check_init(init)
        self._pipelined = pipelined
        super().__init__(
            {
                "advance": In(1),
                "word": Out(WORD_BITS),
                "seeding": In(1),
                "seed_stb": In(1),
                "i_seed": In(WORD_BITS),
                "o_seed": Out(WORD_BITS),
                "zero": Out(1),
            }
        )

    def _state(self, m):
        """The state register, stepping with every advance."""
        m.submodules.state = state = StateRegister(init=self._init, pipelined=self._pipelined)
        m.d.comb += [
            state.step_stb.eq(self.advance),
            state.seeding.eq(self.seeding),
            state.seed_stb.eq(self.seed_stb),
            state.i_seed.eq(self.i_seed),
            self.o_seed.eq(state.o_seed),
            self.zero.eq(state.zero),
        ]
        return state
