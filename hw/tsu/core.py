# SPDX-License-Identifier: Apache-2.0
"""The thermodynamic sampling unit."""

from amaranth.hdl import Cat, DomainRenamer, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from hw.spec.config import TsuConfig
from hw.spec.noise import WORD_BITS, stream_states

from .beat_merger import BeatMerger
from .command_dispatcher import CommandDispatcher
from .layouts import beat_layout, command_layout, data_register, status_layout
from .noise.bank import NoiseBank
from .register_file import ADDRESS_BITS, RegisterFile
from .replica import replica
from .sampler_group import SamplerGroup


class TsuCore(wiring.Component):
    """Commands in, statuses and draws out: lanes of p-bit trees fed by shift-register noise.

    Data go one way: command words -> code distances -> integer weights -> cumulative thresholds -> p-bits -> draws.
    The law is that of docs/DESIGN_TSD.md, integer for integer; a psi that breaks a rule is flagged in its
    status and never sampled. The next psi is loaded while the one before is still being sampled. Where there are
    several groups of lanes, each has a psi of its own, and they load and sample side by side. With contexts a bank of
    psi stays on chip, and a BLOCK draws tokens for many streams, each from the psi of the token before.

    Parameters
    ----------
    config : TsuConfig
    load_domain : str
        Clock domain of the loader and of its writes. It may be a gated copy of `sync` that runs at least while a
        command is offered or `busy` is high.
    monitor_domain : str
        Clock domain of the health monitors. It may be a gated copy of `sync` that runs at least while `load_domain`
        does.
    external_noise : bool
        Leave the noise banks out and take the words from `i_noise` (one stream for each lane, those of group 0
        first); SEED then only restarts at lane 0. For exhaustive tests.

    Members
    -------
    i_command : In(stream(word, last))
    o_status : Out(stream(status))       one for each command, in order
    o_draw : Out(stream(beat))           draws, in order in each group
    beat                                 what `o_draw` carries, as separate signals: faster to simulate
    register_address : In(4), register_data : Out(32)      see hw.spec.registers
    busy : Out(1)                        a command is being taken or executed
    alarm : Out(1)                       a health test of the noise failed; sticky, see `RegisterFile`
    i_noise : all lanes x In(stream)     only with external_noise
    Latency      `latency_cycles` from noise word to draw
    Throughput   `all_lanes` candidates per cycle, of which at least 1 - 2**-guard_bits are draws, but one beat of
                 `lanes` draws per cycle
    Reset        no psi, no table, the noise streams of seed 0. For the first 8192 cycles, a known-answer test of the
                 noise: LOAD, SEED and draws wait for its end
    Golden       host.golden.exact.draft_law (law), host.tsu.model.ModelTsu (stream, bit-exact)
    """

    def __init__(
        self,
        *,
        config: TsuConfig,
        load_domain: str = "sync",
        monitor_domain: str = "sync",
        external_noise: bool = False,
    ) -> None:
        self._config = config
        self._load_domain = load_domain
        self._monitor_domain = monitor_domain
        self._external_noise = external_noise
        self._groups = [SamplerGroup(config=config, load_domain=load_domain) for _ in range(config.groups)]
        self._lanes = [lane for group in self._groups for lane in group.lanes]
        self._merger = BeatMerger(config=config) if config.groups > 1 else None
        self.latency_cycles = self._groups[0].latency_cycles + (config.groups > 1)
        self.beat = self._merger.o_beat if self._merger else self._groups[0].beat
        ports = {
            "i_command": In(stream.Signature(command_layout())),
            "o_status": Out(stream.Signature(status_layout())),
            "o_draw": Out(stream.Signature(beat_layout(config))),
            "register_address": In(ADDRESS_BITS),
            "register_data": Out(32),
            "busy": Out(1),
            "alarm": Out(1),
        }
        if external_noise:
            ports["i_noise"] = In(stream.Signature(config.noise_words * WORD_BITS)).array(config.all_lanes)
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        registers = RegisterFile(config=self._config)
        if self._merger is None:
            busy, refused_stb = self._one_group(m, self._groups[0])
        else:
            busy, refused_stb = self._several_groups(m, self._merger)
        m.submodules.registers = DomainRenamer(self._load_domain)(registers)
        m.d.comb += [
            self.busy.eq(busy),
            registers.address.eq(self.register_address),
            registers.refused_stb.eq(refused_stb),
            self.register_data.eq(registers.data),
            self.alarm.eq(registers.alarm),
        ]
        self._draws(m)
        if self._external_noise:
            for index, lane in enumerate(self._lanes):
                connect(m, wiring.flipped(self.i_noise[index]), lane.i_words)
            m.d.comb += [group.loader.bank_in_use.eq(group.scheduler.bank_in_use) for group in self._groups]
        else:
            self._noise(m, registers)
        return m

    def _one_group(self, m: Module, group: SamplerGroup) -> tuple[Value, Value]:
        """The group is part of the core. Returns `busy`, and that a command is refused."""
        group.add_to(m)
        connect(m, wiring.flipped(self.i_command), group.loader.i_command)
        connect(m, group.loader.o_status, wiring.flipped(self.o_status))
        return group.loader.busy, group.loader.refused_stb

    def _several_groups(self, m: Module, merger: BeatMerger) -> tuple[Value, Value]:
        """Commands go to the groups, statuses and beats come from them. Returns what `_one_group` does."""
        dispatcher = CommandDispatcher(groups=self._config.groups)
        m.submodules.dispatcher = DomainRenamer(self._load_domain)(dispatcher)
        m.submodules.merger = merger
        connect(m, wiring.flipped(self.i_command), dispatcher.i_command)
        connect(m, dispatcher.o_status, wiring.flipped(self.o_status))
        for number, group in enumerate(self._groups):
            m.submodules[f"group_{number}"] = inside = Module()
            group.add_to(inside)
            connect(m, dispatcher.o_command[number], group.loader.i_command)
            connect(m, group.loader.o_status, dispatcher.i_status[number])
            merger.take(m, number, group.beat)
        # Groups that answer a command together refuse it in the same cycle.
        loaders = [group.loader for group in self._groups]
        busy = Cat(dispatcher.busy, *(loader.busy for loader in loaders)).any()
        return busy, Cat(loader.refused_stb for loader in loaders).any()

    def _draws(self, m: Module) -> None:
        """The beat as a stream."""
        beat, packed = self.beat, self.o_draw.payload
        contexts = self._config.contexts
        fields = ("keep", "spread", "tag", "last", *(("group",) if self._merger else ()))
        of_draw = ("token", "weight", "tail", *(("spread", "stream", "ends") if contexts else ()))
        fields += ("block",) if contexts else ()
        m.d.comb += [self.o_draw.valid.eq(beat.valid), beat.ready.eq(self.o_draw.ready)]
        m.d.comb += [getattr(packed, name).eq(getattr(beat, name)) for name in fields]
        for packed_draw, draw in zip(packed.draws, beat.draws, strict=True):
            m.d.comb += [getattr(packed_draw, name).eq(getattr(draw, name)) for name in of_draw]

    def _noise(self, m: Module, registers: RegisterFile) -> None:
        """One noise bank a lane; the seed chain enters at the last lane. Their known-answer tests end together."""
        alarms, testing = registers.alarms, Signal()
        m.d.comb += registers.testing.eq(testing)
        # No SEED meanwhile. A bank in use holds a SEED back, and with it every LOAD.
        for group in self._groups:
            in_use = group.scheduler.bank_in_use
            m.d.comb += group.loader.bank_in_use.eq(in_use | testing.replicate(len(in_use)))
        # All groups take the words of a SEED in the same cycles, each when its banks are free: one loader is enough.
        loader = self._groups[0].loader
        seeding, seed_stb, chain = Signal(), Signal(), Signal(WORD_BITS)
        m.d.sync += [seeding.eq(loader.seeding), seed_stb.eq(loader.seed_stb), chain.eq(loader.o_seed)]
        if self._config.pipelined:
            chain = data_register(m, chain, name="late_chain")  # as late as the replicas of the strobes
        words = self._config.noise_words
        states = stream_states(self._config.noise, 0, self._config.noise_streams)
        for index, lane in reversed(list(enumerate(self._lanes))):
            m.submodules[f"noise_{index}"] = bank = NoiseBank(
                self._config,
                states=states[words * index : words * (index + 1)],
                monitored=True,
                monitor_domain=self._monitor_domain,
            )
            connect(m, bank.o_words, lane.i_words)
            strobes = Cat(seeding, seed_stb)
            if self._config.pipelined:
                strobes = replica(m, strobes, name=f"seed_{index}", reset=True)
            m.d.comb += [
                Cat(bank.seeding, bank.seed_stb).eq(strobes),
                bank.i_seed.eq(chain),
                alarms.repetition[index].eq(bank.repetition),
                alarms.proportion[index].eq(bank.proportion),
                alarms.known_answer[index].eq(bank.known_answer),
                alarms.lockup[index].eq(bank.locked_up),
            ]
            chain = bank.o_seed
        m.d.comb += testing.eq(bank.testing)
