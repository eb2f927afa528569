# SPDX-License-Identifier: Apache-2.0
"""Executes commands: fills the free bank with a psi, queues draws, replaces table and seeds."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec import exp2
from hw.spec.commands import BLOCK_LENGTH_BITS, Status, WeightMode
from hw.spec.config import TsuConfig

from .command_decoder import CommandDecoder
from .context_table import ContextTable
from .layouts import (
    command_layout,
    job_layout,
    leaf_write_signature,
    members,
    params_signature,
    slot_write_signature,
    status_layout,
    stream_write_signature,
    tree_write_signature,
)
from .psi_checker import PsiChecker
from .serial_divider import SerialDivider
from .threshold_builder import ThresholdBuilder
from .weight_engine import WeightEngine


class Loader(wiring.Component):
    """Commands in, one status each out; jobs to the scheduler, memory writes to the lanes.

    A LOAD fills the bank that no job uses, while the lanes go on sampling from the other one. A refused command
    delivers no job; a refused LOAD leaves no psi, a refused TABLE no table, a refused SEED an unseeded TSU.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i_command : In(stream), o_status : Out(stream)
    o_job : Out(stream(job))
    bank_in_use : In(2), params_in_use : In(1)      from the scheduler; with contexts, a third bit for blocks
    starts_in_use : In(1)                           with contexts: see `Scheduler`
    o_slot_write, o_stream_write : Out, loaded : Out(contexts)      with contexts, to every lane
    params : Out(params)                    of the psi loaded last; stable while a fresh job has to copy them
    o_tree_write, o_leaf_write : Out        to every lane
    seeding, seed_stb, o_seed : Out         head of the seed chain
    restart_stb : Out(1)                    new seeds: begin at lane 0 again
    busy : Out(1)                           a command is being taken or executed
    refused_stb : Out(1)                    a status other than OK was taken
    Latency      from last word to job: k and a constant of the configuration (bounded by the throughput bench)
    Golden       host.golden.exact.draft_law (weights, T, Z), docs/DESIGN_TSD.md section 3
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self._weights = WeightEngine(config=config)
        self._table = ContextTable(config=config) if config.contexts else None
        ports = {
            "i_command": In(stream.Signature(command_layout())),
            "o_status": Out(stream.Signature(status_layout())),
            "o_job": Out(stream.Signature(job_layout(config))),
            "bank_in_use": In(3 if config.contexts else 2),
            "params_in_use": In(1),
            "params": Out(params_signature(config)),
            "o_tree_write": Out(tree_write_signature(config)),
            "o_leaf_write": Out(leaf_write_signature(config)),
            "seeding": Out(1),
            "seed_stb": Out(1),
            "o_seed": Out(32),
            "restart_stb": Out(1),
            "busy": Out(1),
            "refused_stb": Out(1),
        }
        if config.contexts:
            ports |= {
                "starts_in_use": In(1),
                "o_slot_write": Out(slot_write_signature(config)),
                "o_stream_write": Out(stream_write_signature(config)),
                "loaded": Out(config.contexts),
            }
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.decoder = decoder = CommandDecoder(config=config)
        m.submodules.checker = checker = PsiChecker(config=config)
        m.submodules.weights = self._weights
        m.submodules.builder = builder = ThresholdBuilder(config=config)
        m.submodules.scale_divider = scale_divider = SerialDivider(
            width=config.total_bits, quotient_bits=config.scale_bits, step_cycles=1 if config.simulated else 2
        )
        m.submodules.tail_divider = tail_divider = SerialDivider(width=config.id_bits, quotient_bits=1, step_cycles=1)
        header = decoder.header

        bank, psi_loaded, seeded = Signal(), Signal(), Signal(init=1)  # reset state: the streams of seed 0
        table_loaded, fresh = Signal(), Signal()
        draws = Signal()
        # Each of these is valid from its state on, and stays so until the next command is taken.
        verdict = Signal(Status)  # JUDGE
        good, reports_total = Signal(), Signal()  # ACT, RESPOND
        m.d.sync += [
            draws.eq(self._asks(decoder)),
            verdict.eq(self._judge(m, decoder, checker, psi_loaded=psi_loaded, unseeded=draws & ~seeded)),
            good.eq(verdict == Status.OK),
            reports_total.eq(good & (decoder.is_load | decoder.is_draw)),
        ]

        load_blocked, seed_blocked = Signal(), Signal()
        m.d.sync += [
            builder.fill_stb.eq(0),
            builder.k_less_one.eq(header.k - 1),
            load_blocked.eq(self.bank_in_use.bit_select(~bank, 1) | self.params_in_use),
            seed_blocked.eq(self.bank_in_use.any()),
            decoder.gate.eq(
                (decoder.index != 0) & ~self._waits(m, decoder, load_blocked) & ~(decoder.is_seed & seed_blocked)
            ),
        ]
        m.d.comb += [
            decoder.i_command.payload.eq(self.i_command.payload),
            decoder.i_command.valid.eq(self.i_command.valid),
            self.i_command.ready.eq(decoder.i_command.ready),
            self.seeding.eq(decoder.seeding),
            self.seed_stb.eq(decoder.seed.stb),
            self.o_seed.eq(decoder.seed.word),
            checker.header.eq(header),
            checker.start_stb.eq(decoder.header_stb),
            checker.entry.eq(decoder.entry),
            checker.table_loaded.eq(table_loaded),
        ]
        target, may_fill, slot_built = ~bank, decoder.is_load & ~load_blocked, Signal()
        if self._table:
            target, may_fill = self._contexts(m, self._table, decoder, slot_built, target, may_fill)
        weights_pending = self._entries(m, decoder, checker, builder, target)

        # 2**tail_noise_bits mod n, computed while the entries arrive.
        m.d.comb += [
            tail_divider.start_stb.eq(decoder.header_stb),
            tail_divider.divisor.eq(checker.spread),
            tail_divider.first.eq(1),
            tail_divider.steps.eq(config.tail_noise_bits),
            # c = floor(2**uniform_bits / Z) fits scale_bits because Z >= total_min.
            scale_divider.divisor.eq(checker.total),
            scale_divider.first.eq(config.total_min - 1),
            scale_divider.steps.eq(config.scale_bits),
            builder.bank.eq(target),
            builder.scale.eq(scale_divider.quotient),
            builder.tail_weight.eq(header.tail_weight),
        ]

        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("RECEIVE") | decoder.busy | decoder.end_stb)
            with m.State("RECEIVE"):
                m.d.comb += decoder.enable.eq(~decoder.end_stb)
                with m.If(decoder.end_stb):
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                with m.If(~weights_pending):
                    m.next = "TOTAL"
            with m.State("TOTAL"):  # Z is complete: c is computed, and trees are filled up, while Z is being judged
                m.d.comb += scale_divider.start_stb.eq(1)
                # A LOAD of one word is not held back by the gate: its bank may still be in use.
                m.d.sync += builder.fill_stb.eq(may_fill)
                m.next = "BOUNDS"
            # Registers of decoder, checker and verdict, one after the other.
            for state, following in (("BOUNDS", "FLAGS"), ("FLAGS", "CODE"), ("CODE", "JUDGE"), ("JUDGE", "ACT")):
                with m.State(state):
                    m.next = following
            with m.State("ACT"):
                m.next = "RESPOND"
                with m.If(decoder.is_seed):
                    # Not when refused: a SEED of one word is answered while draws are still being made.
                    m.d.comb += self.restart_stb.eq(good)
                    m.d.sync += seeded.eq(good)
                with m.If(decoder.is_table):
                    m.d.sync += table_loaded.eq(good)
                with m.If(decoder.is_load):
                    m.d.sync += psi_loaded.eq(0)
                    with m.If(good):
                        m.next = "DIVIDE"
                asks = decoder.is_draw | decoder.is_block if self._table else decoder.is_draw
                with m.If(asks & good & draws):
                    m.next = "QUEUE"
            with m.State("DIVIDE"):
                with m.If(~scale_divider.busy & ~builder.busy):
                    m.d.comb += builder.start_stb.eq(1)
                    m.next = "BUILD"
            with m.State("BUILD"):
                with m.If(~builder.busy & ~tail_divider.busy):
                    m.d.sync += [psi_loaded.eq(1), fresh.eq(1), bank.eq(~bank)]
                    if self._table:
                        m.d.comb += slot_built.eq(decoder.is_context)
                        with m.If(decoder.is_context):
                            m.d.sync += [psi_loaded.eq(0), bank.eq(bank)]
                    m.next = "RESPOND"
                    with m.If(draws):
                        m.next = "QUEUE"
            with m.State("QUEUE"):
                m.d.comb += self.o_job.valid.eq(1)
                with m.If(self.o_job.ready):
                    m.next = "RESPOND"
            with m.State("RESPOND"):
                m.d.comb += self.o_status.valid.eq(1)
                with m.If(reports_total & draws):  # a job went out
                    m.d.sync += fresh.eq(0)
                with m.If(self.o_status.ready):
                    m.d.comb += self.refused_stb.eq(~good)
                    m.next = "RECEIVE"

        m.d.comb += [
            self.params.reject_threshold.eq(builder.reject_threshold),
            self.params.tail_threshold.eq(builder.tail_threshold),
            self.params.spread.eq(checker.spread),
            self.params.tail_reject.eq(Mux(checker.has_choice, tail_divider.remainder, 0)),
            self.params.rank_last.eq(checker.rank),
            self.params.tail_weight.eq(header.tail_weight),
            self.o_job.payload.bank.eq(bank),
            self.o_job.payload.fresh.eq(fresh),
            self.o_job.payload.count.eq(header.count),
            self.o_job.payload.tag.eq(header.tag),
            self.o_status.payload.tag.eq(header.tag),
            self.o_status.payload.opcode.eq(header.opcode),
            self.o_status.payload.code.eq(verdict),
            self.o_status.payload.total.eq(Mux(reports_total, checker.total, 0)),
        ]
        if self._table:
            self._put_slots(m, self._table, decoder, slot_built)
        return m

    def _asks(self, decoder: CommandDecoder) -> Value:
        """Whether the command asks for draws, where it may."""
        count = decoder.header.count
        if self._table is None:
            return count != 0
        return Mux(decoder.is_block, count[:BLOCK_LENGTH_BITS], count).any() & ~decoder.is_context

    def _waits(self, m: Module, decoder: CommandDecoder, load_blocked: Signal) -> Value:
        """Whether what the command writes is still needed; it is told apart by its opcode."""
        if self._table is None:
            return decoder.is_load & load_blocked
        slots_blocked, starts_blocked = Signal(), Signal()
        m.d.sync += [
            slots_blocked.eq(self.bank_in_use[2] | self.params_in_use),
            starts_blocked.eq(self.starts_in_use),
        ]
        of_load = decoder.is_load & Mux(decoder.is_context, slots_blocked, load_blocked)
        return of_load | (decoder.is_block & starts_blocked)

    def _contexts(
        self,
        m: Module,
        table: ContextTable,
        decoder: CommandDecoder,
        slot_built: Signal,
        free_bank: Value,
        may_fill: Value,
    ) -> tuple[Value, Value]:
        """Keep account of slots and streams. Returns: the bank that is written, and whether trees may be filled up.

        The slot of a CONTEXT is empty from the end of its header on; a shorter one has written nothing yet.
        """
        config, header = self._config, decoder.header
        m.submodules.table = table
        emptied = Signal()
        m.d.sync += emptied.eq(decoder.header_stb | (emptied & ~self.o_status.valid))
        m.d.comb += [
            table.slot.eq(header.count),
            table.empty_stb.eq(decoder.header_stb & decoder.is_context),
            table.fill_stb.eq(slot_built),
            table.entry.eq(decoder.block),
            self.loaded.eq(table.loaded),
        ]
        double_buffer = Cat(free_bank, C(1 << (config.context_bits - 1)))
        bank = Mux(decoder.is_context, header.count[: config.context_bits], double_buffer)
        return bank, Mux(decoder.is_context, emptied, may_fill)

    def _put_slots(self, m: Module, table: ContextTable, decoder: CommandDecoder, slot_built: Signal) -> None:
        """Parameters of a slot and starts of streams to the lanes; nothing of a CONTEXT whose slot there is not."""
        entry, bits = decoder.block, self._config.context_bits
        with m.If(decoder.is_context & ~table.slot_ok):
            m.d.comb += [strobe.eq(0) for strobe in (self.o_tree_write.stb, self.o_leaf_write.id_stb)]
            m.d.comb += self.o_leaf_write.weight_stb.eq(0)
        m.d.comb += [
            self.o_slot_write.stb.eq(slot_built),
            self.o_slot_write.slot.eq(table.slot[:bits]),
            self.o_stream_write.stb.eq(entry.stb),
            self.o_stream_write.stream.eq(entry.stream),
            self.o_stream_write.context.eq(entry.context[:bits]),
            self.o_job.payload.block.eq(decoder.is_block),
            self.o_job.payload.streams.eq(table.streams),
        ]
        m.d.comb += [getattr(self.o_slot_write, name).eq(value) for name, value in members(self.params)]
        with m.If(decoder.is_block):
            m.d.comb += self.o_job.payload.count.eq(decoder.header.count[:BLOCK_LENGTH_BITS])
            m.d.comb += self.o_job.payload.fresh.eq(0)

    def _judge(
        self, m: Module, decoder: CommandDecoder, checker: PsiChecker, *, psi_loaded: Signal, unseeded: Signal
    ) -> Signal:
        """The first rule that the command breaks, in the order of hw.spec.commands."""
        is_load, is_draw = decoder.is_load, decoder.is_draw
        verdicts = (
            (decoder.bad_opcode, Status.BAD_OPCODE),
            (decoder.bad_version, Status.BAD_VERSION),
            (decoder.bad_length, Status.BAD_LENGTH),
            (is_load & (checker.code != Status.OK), checker.code),
            (decoder.is_table & int(not self._config.has_table), Status.BAD_MODE),
            (decoder.is_seed & decoder.seed_zero, Status.BAD_SEED),
            (is_draw & ~psi_loaded, Status.NO_PSI),
            ((is_load | is_draw) & unseeded, Status.NO_SEED),
        )
        if self._table:
            verdicts = (*verdicts[:-1], ((is_load | is_draw | decoder.is_block) & unseeded, Status.NO_SEED))
            bad_context = Mux(decoder.is_block, self._table.bad_start, decoder.is_context & ~self._table.slot_ok)
            verdicts = (*verdicts[:3], (bad_context, Status.BAD_CONTEXT), *verdicts[3:])
        code = Signal(Status)
        for broken, verdict in reversed(verdicts):
            with m.If(broken):
                m.d.comb += code.eq(verdict)
        return code

    def _entries(
        self, m: Module, decoder: CommandDecoder, checker: PsiChecker, builder: ThresholdBuilder, bank: Signal
    ) -> Signal:
        """Send entries to weight engine, leaves and rank tree; count weights under way. Returns: some are."""
        config, weights, header = self._config, self._weights, decoder.header
        pending, index = Signal(range(weights.latency_cycles + 3)), Signal(config.depth)
        m.d.sync += pending.eq(pending + decoder.entry.stb - weights.o.valid)
        with m.If(decoder.header_stb):
            m.d.sync += index.eq(0)
        with m.Elif(weights.o.valid):
            m.d.sync += index.eq(index + 1)
        m.d.comb += [
            weights.i.valid.eq(checker.o_distance.valid),
            weights.i.distance.eq(checker.o_distance.distance),
            weights.use_exp2.eq(header.mode == WeightMode.EXP2),
            weights.ratio.eq(header.log2_ratio_q[: exp2.RATIO_BITS]),
            weights.shift.eq(header.shift),
            weights.i_table.eq(decoder.table),
            checker.i_weight.eq(weights.o),
            builder.i_weight.valid.eq(weights.o.valid),
            builder.i_weight.index.eq(index),
            builder.i_weight.weight.eq(weights.o.weight),
            self.o_leaf_write.bank.eq(bank),
            self.o_leaf_write.id_stb.eq(decoder.entry.stb),
            self.o_leaf_write.id_index.eq(decoder.entry.index),
            self.o_leaf_write.id.eq(decoder.entry.id),
            self.o_leaf_write.weight_stb.eq(weights.o.valid),
            self.o_leaf_write.weight_index.eq(index),
            self.o_leaf_write.weight.eq(weights.o.weight),
        ]
        with m.If(decoder.entry.stb):
            m.d.comb += [
                self.o_tree_write.stb.eq(1),
                self.o_tree_write.bank.eq(bank),
                self.o_tree_write.rank.eq(1),
                self.o_tree_write.boundary.eq(decoder.entry.index + 1),
                self.o_tree_write.threshold.eq((decoder.entry.id - decoder.entry.index)[: config.id_bits]),
            ]
        with m.Else():
            write, built = self.o_tree_write, builder.o_write
            m.d.comb += [
                target.eq(value) for (_, target), (_, value) in zip(members(write), members(built), strict=True)
            ]
        return pending.any() | decoder.entry.stb | checker.o_distance.valid
