# SPDX-License-Identifier: Apache-2.0
"""The noise generators of one lane."""

from amaranth import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError, check_int
from hw.spec.noise import WORD_BITS, State, stream_states

from .lfsr import Lfsr
from .xoshiro128pp import Xoshiro128pp


def make_generator(*, noise: str, init: State, pipelined: bool = True) -> Xoshiro128pp | Lfsr:
    """Gateware of the generator called `noise`, which starts from `init` after reset."""
    match noise:
        case "xoshiro128pp":
            return Xoshiro128pp(init=init, pipelined=pipelined)
        case "lfsr":
            return Lfsr(shifts_per_word=1, init=init)
        case "lfsr-leap":
            return Lfsr(shifts_per_word=WORD_BITS, init=init)
    raise SpecError("noise", noise, "a generator that has gateware: xoshiro128pp, lfsr, lfsr-leap")


class NoiseBank(wiring.Component):
    """`noise_words` generators in lock step: one transfer takes one word of each.

    Seed chain: the last stream is at the head, stream 0 at the end. Feeding the four state words of stream 0, then of
    stream 1, and so on, word 0 first, leaves every stream with its own state. Banks of several lanes are chained the
    same way, the last lane at the head: `o_seed` of lane l + 1 feeds `i_seed` of lane l. A seed of n streams takes
    exactly 4 n cycles of `seed_stb`; with gaps between them, `seeding` has to be high from the first to the last.

    Parameters
    ----------
    config : TsuConfig
        `noise`, `noise_words` and `pipelined` are used.
    lane : int
        Chooses the states after reset: those of this lane's streams for seed 0.

    Members
    -------
    o_words : Out(stream)     32 * noise_words bits, stream 0 in the low bits
    seeding, seed_stb, i_seed, o_seed : see `StateRegister`
    locked_up : Out(1)        some generator saw a zero state since the last seed; final when `o_words.valid` rises

    Latency      LATENCY_CYCLES at most, from the last cycle of seed_stb and seeding, or of reset, to the first words
    Throughput   one transfer per cycle
    Reset        the sequences of seed 0
    Golden       hw.spec.noise.stream_states and Generator.words (bit-exact)
    Raises       SpecError: lane
    """

    LATENCY_CYCLES = max(Xoshiro128pp.LATENCY_CYCLES, Lfsr.LATENCY_CYCLES)

    def __init__(self, config: TsuConfig, *, lane: int = 0) -> None:
        check_int("lane", lane, 0, config.lanes - 1)
        first, count = lane * config.noise_words, config.noise_words
        self._noise = config.noise
        self._pipelined = config.pipelined
        self._states = stream_states(config.noise, 0, first + count)[first:]
        super().__init__(
            {
                "o_words": Out(stream.Signature(WORD_BITS * count)),
                "seeding": In(1),
                "seed_stb": In(1),
                "i_seed": In(WORD_BITS),
                "o_seed": Out(WORD_BITS),
                "locked_up": Out(1),
            }
        )

    def _generator(self, init: State) -> Xoshiro128pp | Lfsr:
        """One generator of this bank."""
        return make_generator(noise=self._noise, init=init, pipelined=self._pipelined)

    def elaborate(self, platform):
        m = Module()
        generators = [self._generator(state) for state in self._states]
        seed = self.i_seed
        for index in reversed(range(len(generators))):
            generator = generators[index]
            m.submodules[f"stream{index}"] = generator
            m.d.comb += [
                generator.seeding.eq(self.seeding),
                generator.seed_stb.eq(self.seed_stb),
                generator.i_seed.eq(seed),
                generator.o_word.ready.eq(self.o_words.ready),
            ]
            seed = generator.o_seed
        # Generators of one kind that share reset, seed strobe and ready are valid in the same cycles.
        m.d.comb += [
            self.o_seed.eq(seed),
            self.locked_up.eq(Cat(generator.locked_up for generator in generators).any()),
            self.o_words.payload.eq(Cat(generator.o_word.payload for generator in generators)),
            self.o_words.valid.eq(generators[0].o_word.valid),
        ]
        return m
