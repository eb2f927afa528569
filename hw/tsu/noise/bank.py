# SPDX-License-Identifier: Apache-2.0
"""The noise generators of one lane."""

from collections.abc import Sequence

from amaranth import C, Cat, DomainRenamer, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError, check_int
from hw.spec.health import known_answer, states_before
from hw.spec.noise import WORD_BITS, State, stream_states

from ..health_monitor import HealthMonitor
from ..replica import MODULE_PREFIX
from .generator import NoiseGenerator
from .lfsr import Lfsr
from .state_register import PIPELINE_CYCLES, SETTLE_CYCLES
from .word_stage import WordStage
from .xoshiro128pp import Xoshiro128pp


def make_generator(*, noise: str, init: State, pipelined: bool, word_stages: int = 0) -> NoiseGenerator:
    """Gateware of the generator called `noise`, which starts from `init` after reset.

    `word_stages` is a parameter of `Xoshiro128pp`, whose additions all have a register where it is `pipelined`.
    """
    match noise:
        case "xoshiro128pp":
            return Xoshiro128pp(init=init, pipelined=pipelined, word_stages=2 if pipelined else word_stages)
        case "lfsr":
            return Lfsr(shifts_per_word=1, init=init, pipelined=pipelined)
        case "lfsr-leap":
            return Lfsr(shifts_per_word=WORD_BITS, init=init, pipelined=pipelined)
    raise SpecError("noise", noise, "a generator that has gateware: xoshiro128pp, lfsr, lfsr-leap")


class NoiseBank(wiring.Component):
    """`noise_words` generators in lock step: one transfer takes one word of each.

    Seed chain: the last stream is at the head, stream 0 at the end. Feeding the four state words of stream 0, then of
    stream 1, and so on, word 0 first, leaves every stream with its own state. Banks of several lanes are chained the
    same way, the last lane at the head: `o_seed` of lane l + 1 feeds `i_seed` of lane l. A seed of n streams takes
    exactly 4 n cycles of `seed_stb`; with gaps between them, `seeding` has to be high from the first to the last.

    A seed discards what was prefetched: `o_words.valid` is low from the cycle after its begin until the new states have
    been checked for zero (the one case in which it falls without a transfer).

    A monitored bank tests its own noise. After reset its streams are one window before their states; the words of that
    window go to the known-answer test, and those behind it are offered. No seed may begin while `testing` is high.

    Parameters
    ----------
    config : TsuConfig
        `noise`, `noise_words` and `pipelined` are used.
    lane : int
        Chooses the states after reset: those of this lane's streams for seed 0.
    states : sequence of State or None
        States after reset in place of those, one for each stream.
    monitored : bool
        Watch the words with a `HealthMonitor`.
    monitor_domain : str
        Its clock domain. It may be a gated copy of `sync` that runs at least until `testing` falls, and from the first
        to the last cycle of `seeding`; the monitor then examines the words of the cycles in which it runs.

    Members
    -------
    o_words : Out(stream)     32 * noise_words bits, stream 0 in the low bits
    seeding, seed_stb, i_seed, o_seed : see `StateRegister`
    locked_up : Out(1)        some generator saw a zero state since the last seed; final when `o_words.valid` rises
    testing, repetition, proportion, known_answer : Out(1)      see `HealthMonitor`; low where there is none

    Latency      `latency_cycles` from the last cycle of seed_stb and seeding, or of reset, to the first words; from
                 the reset of a monitored bank, one window more
    Throughput   one transfer per cycle
    Reset        the sequences of seed 0
    Golden       hw.spec.noise.stream_states and Generator.words (bit-exact)
    Raises       SpecError: lane, states
    """

    def __init__(
        self,
        config: TsuConfig,
        *,
        lane: int = 0,
        states: Sequence[State] | None = None,
        monitored: bool = False,
        monitor_domain: str = "sync",
    ) -> None:
        check_int("lane", lane, 0, config.all_lanes - 1)
        first, count = lane * config.noise_words, config.noise_words
        if states is None:
            states = stream_states(config.noise, 0, first + count)[first:]
        if len(states) != count:
            raise SpecError("states", states, f"{count} states")
        self._monitor, self._monitor_domain = None, monitor_domain
        if monitored:
            self._monitor = HealthMonitor(
                noise_words=count, expected=known_answer(config.noise, states), select=_select_of(config)
            )
            states = states_before(config.noise, states)
        self._config = config
        self._pipelined = config.pipelined
        self._generators = [self._generator(state) for state in states]
        self._settle_cycles = SETTLE_CYCLES + PIPELINE_CYCLES * self._pipelined
        self.latency_cycles = self._settle_cycles + self._generators[0].prefetch
        super().__init__(
            {
                "o_words": Out(stream.Signature(WORD_BITS * count)),
                "seeding": In(1),
                "seed_stb": In(1),
                "i_seed": In(WORD_BITS),
                "o_seed": Out(WORD_BITS),
                "locked_up": Out(1),
                "testing": Out(1),
                "repetition": Out(1),
                "proportion": Out(1),
                "known_answer": Out(1),
            }
        )

    def _generator(self, init: State) -> NoiseGenerator:
        """One generator of this bank."""
        config = self._config
        return make_generator(
            noise=config.noise, init=init, pipelined=config.pipelined, word_stages=int(config.block_ram)
        )

    def elaborate(self, platform):
        m = Module()
        # Cycles since the last seed: first the states settle, then the generators prefetch, then words are there.
        progress = Signal(self.latency_cycles)
        idle, offered = Signal(), Signal()
        m.d.comb += idle.eq(self.seeding | self.seed_stb)
        m.d.sync += progress.eq(Mux(idle, 0, Cat(C(1, 1), progress[:-1])))
        m.d.comb += self.o_words.valid.eq(offered)  # nobody takes words while seeds come
        hand_over = self._hand_over_registered if self._pipelined else self._hand_over
        advance = hand_over(m, progress=progress, idle=idle, offered=offered)
        if self._monitor is None:
            m.d.comb += offered.eq(progress[-1])
        else:
            self._monitored(m, self._monitor, progress=progress, idle=idle, offered=offered, advance=advance)

        seed = self.i_seed
        for index, generator in reversed(list(enumerate(self._generators))):
            m.submodules[f"stream{index}"] = generator
            m.d.comb += [
                generator.seeding.eq(self.seeding),
                generator.seed_stb.eq(self.seed_stb),
                generator.i_seed.eq(seed),
            ]
            seed = generator.o_seed
        zero = Cat(generator.zero for generator in self._generators).any()
        m.d.sync += self.locked_up.eq(~self.seed_stb & (self.locked_up | zero))
        m.d.comb += self.o_seed.eq(seed)
        return m

    def _hand_over(self, m: Module, *, progress: Signal, idle: Signal, offered: Signal) -> Value:
        """Words as the generators have them. Returns: the generators go on."""
        advance = Signal()
        m.d.comb += [
            advance.eq(progress[self._settle_cycles - 1] & (~offered | self.o_words.ready)),
            self.o_words.payload.eq(Cat(generator.word for generator in self._generators)),
        ]
        m.d.comb += [generator.advance.eq(advance) for generator in self._generators]
        return advance

    def _hand_over_registered(self, m: Module, *, progress: Signal, idle: Signal, offered: Signal) -> Value:
        """Words through a stage each. Returns: the generators go on."""
        words = []
        for index, generator in enumerate(self._generators):
            m.submodules[f"{MODULE_PREFIX}stage{index}"] = stage = WordStage()
            m.d.comb += [
                stage.idle.eq(idle),
                stage.runs_next.eq(progress[self._settle_cycles - 2] & ~idle),
                stage.offered.eq(offered),
                stage.ready.eq(self.o_words.ready),
                stage.i.eq(generator.word),
                generator.advance.eq(stage.advance),
            ]
            words.append(stage.o)
        m.d.comb += self.o_words.payload.eq(Cat(words))
        return self._generators[0].advance

    def _monitored(
        self, m: Module, monitor: HealthMonitor, *, progress: Signal, idle: Signal, offered: Signal, advance: Value
    ) -> None:
        """Every word goes to the monitor once, and is offered unless the known-answer test uses it up."""
        m.submodules.monitor = DomainRenamer(self._monitor_domain)(monitor)
        m.d.sync += offered.eq(progress[-2] & ~idle & ~monitor.reserved)
        m.d.comb += [
            monitor.sample_stb.eq(progress[-1] & advance),
            monitor.restart.eq(idle),
            self.testing.eq(monitor.testing),
            self.repetition.eq(monitor.repetition),
            self.proportion.eq(monitor.proportion),
            self.known_answer.eq(monitor.known_answer),
        ]
        m.d.comb += [port.eq(generator.word) for port, generator in zip(monitor.word, self._generators, strict=True)]


def _select_of(config: TsuConfig) -> str:
    """Registers in front of the examined bit: none where simulated, few in a small FPGA, many in a fast one."""
    return "pipelined" if config.pipelined else "compact" if config.block_ram else "plain"
