# SPDX-License-Identifier: Apache-2.0
"""The thermodynamic sampling unit."""

from amaranth.hdl import Cat, DomainRenamer, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from hw.spec.config import TsuConfig
from hw.spec.noise import WORD_BITS

from .collector import Collector
from .lane import Lane
from .layouts import beat_layout, command_layout, data_register, status_layout
from .loader import Loader
from .noise.bank import NoiseBank
from .register_file import ADDRESS_BITS, RegisterFile
from .replica import replica
from .scheduler import Scheduler


class TsuCore(wiring.Component):
    """Commands in, statuses and draws out: lanes of p-bit trees fed by shift-register noise.

    Data go one way: command words -> code distances -> integer weights -> cumulative thresholds -> p-bits -> draws.
    The law is that of docs/DESIGN_TSD.md, integer for integer; a psi that breaks a rule is flagged in its
    status and never sampled. The next psi is loaded while the one before is still being sampled.

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
        Leave the noise banks out and take the words from `i_noise` (one stream for each lane); SEED then only
        restarts at lane 0. For exhaustive tests.

    Members
    -------
    i_command : In(stream(word, last))
    o_status : Out(stream(status))       one for each command, in order
    o_draw : Out(stream(beat))           draws, in order
    beat                                 what `o_draw` carries, as separate signals: faster to simulate
    register_address : In(4), register_data : Out(32)      see hw.spec.registers
    busy : Out(1)                        the loader is executing a command
    alarm : Out(1)                       a health test of the noise failed; sticky, see `RegisterFile`
    i_noise : lanes x In(stream)         only with external_noise
    Latency      `latency_cycles` from noise word to draw
    Throughput   `lanes` candidates per cycle, of which at least 1 - 2**-guard_bits are draws
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
        self._lanes = [Lane(config=config, load_domain=load_domain) for _ in range(config.lanes)]
        self._collector = Collector(config=config)
        self.latency_cycles = self._lanes[0].latency_cycles + 1
        self.beat = self._collector.o_beat
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
            ports["i_noise"] = In(stream.Signature(config.noise_words * WORD_BITS)).array(config.lanes)
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        loader, scheduler, collector = Loader(config=config), Scheduler(config=config), self._collector
        m.submodules.loader = DomainRenamer(self._load_domain)(loader)
        m.submodules.scheduler = scheduler
        m.submodules.collector = collector
        registers = RegisterFile(config=config)
        m.submodules.registers = DomainRenamer(self._load_domain)(registers)

        connect(m, wiring.flipped(self.i_command), loader.i_command)
        connect(m, loader.o_status, wiring.flipped(self.o_status))
        connect(m, loader.o_job, scheduler.i_job)
        connect(m, scheduler.o_job, collector.i_job)
        beat = self.beat
        packed = self.o_draw.payload
        m.d.comb += [
            self.o_draw.valid.eq(beat.valid),
            beat.ready.eq(self.o_draw.ready),
            packed.keep.eq(beat.keep),
            packed.spread.eq(beat.spread),
            packed.tag.eq(beat.tag),
            packed.last.eq(beat.last),
        ]
        for packed_draw, draw in zip(packed.draws, beat.draws, strict=True):
            m.d.comb += [
                packed_draw.token.eq(draw.token),
                packed_draw.weight.eq(draw.weight),
                packed_draw.tail.eq(draw.tail),
            ]
        m.d.comb += [
            self.busy.eq(loader.busy),
            loader.params_in_use.eq(scheduler.params_in_use),
            scheduler.copied_stb.eq(collector.copied_stb),
            scheduler.done_stb.eq(collector.done_stb),
            scheduler.done_bank.eq(collector.done_bank),
            scheduler.restart_stb.eq(loader.restart_stb),
            collector.restart_stb.eq(loader.restart_stb),
            registers.address.eq(self.register_address),
            registers.refused_stb.eq(loader.refused_stb),
            self.register_data.eq(registers.data),
            self.alarm.eq(registers.alarm),
        ]
        connect(m, loader.params, collector.params)
        for index, lane in enumerate(self._lanes):
            m.submodules[f"lane_{index}"] = lane
            connect(m, lane.o_result, collector.i_result[index])
            connect(m, loader.o_tree_write, lane.i_tree_write)
            connect(m, loader.o_leaf_write, lane.i_leaf_write)
            connect(m, loader.params, lane.params)
            m.d.comb += [
                lane.start.eq(scheduler.start[index]),
                scheduler.idle[index].eq(lane.idle),
            ]
        if self._external_noise:
            for index, lane in enumerate(self._lanes):
                connect(m, wiring.flipped(self.i_noise[index]), lane.i_words)
            m.d.comb += loader.bank_in_use.eq(scheduler.bank_in_use)
        else:
            self._noise(m, loader, scheduler, registers)
        return m

    def _noise(self, m: Module, loader: Loader, scheduler: Scheduler, registers: RegisterFile) -> None:
        """One noise bank a lane; the seed chain enters at the last lane. Their known-answer tests end together."""
        alarms, testing = registers.alarms, Signal()
        # No SEED meanwhile. A bank in use holds a SEED back, and with it every LOAD.
        m.d.comb += [registers.testing.eq(testing), loader.bank_in_use.eq(scheduler.bank_in_use | testing.replicate(2))]
        seeding, seed_stb, chain = Signal(), Signal(), Signal(WORD_BITS)
        m.d.sync += [seeding.eq(loader.seeding), seed_stb.eq(loader.seed_stb), chain.eq(loader.o_seed)]
        if self._config.pipelined:
            chain = data_register(m, chain, name="late_chain")  # as late as the replicas of the strobes
        for index in reversed(range(self._config.lanes)):
            m.submodules[f"noise_{index}"] = bank = NoiseBank(
                self._config, lane=index, monitored=True, monitor_domain=self._monitor_domain
            )
            connect(m, bank.o_words, self._lanes[index].i_words)
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
