# SPDX-License-Identifier: Apache-2.0
"""Shares jobs out to the lanes and keeps count of the banks in use."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import job_layout, start_layout

JOBS_PER_BANK = 4
"""Most jobs between loader and output: one waiting here, one running, one waiting in the collector, one leaving it."""


class Scheduler(wiring.Component):
    """Start one job after the other on all lanes, as soon as every lane has settled the job before.

    Draw i of the stream belongs to lane i mod lanes, so a job of n draws that starts at lane p gives
    floor(n / lanes) draws to each lane and one more to the n mod lanes lanes from p on.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i_job : In(stream(job))
    idle : In(lanes)                   from the lanes
    start : lanes x Out(start_layout)
    o_job : Out(stream(job))           to the collector, when the lanes start
    copied_stb : In(1)                 the collector has copied the parameters of a fresh job (the lanes did before)
    done_stb, done_bank : In           from the collector: the last beat of a job has left
    restart_stb : In(1)                begin at lane 0 again (only while no bank is in use)
    bank_in_use : Out(2)               a job of that bank is waiting, running or being collected; one cycle late. With
                                       contexts, a third bit: a block is
    params_in_use : Out(1)             a fresh job has not been copied everywhere; begins one cycle late
    done_block : In(1)                 with contexts: what `done_stb` says is of a block
    starts_left : In(lanes), starts_in_use : Out(1)      with contexts: where the streams of the block taken last start
                                       is still needed, by a lane or by any; begins one cycle late
    Latency      2 cycles from i_job to start
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        ports = {
            "i_job": In(stream.Signature(job_layout(config))),
            "idle": In(config.lanes),
            "start": Out(start_layout(config)).array(config.lanes),
            "o_job": Out(stream.Signature(job_layout(config))),
            "copied_stb": In(1),
            "done_stb": In(1),
            "done_bank": In(1),
            "restart_stb": In(1),
            "bank_in_use": Out(3 if config.contexts else 2),
            "params_in_use": Out(1),
        }
        if config.contexts:
            ports |= {"done_block": In(1), "starts_left": In(config.lanes), "starts_in_use": Out(1)}
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._config.lanes
        lane_bits = lanes.bit_length() - 1
        waiting, job = Signal(), Signal(job_layout(self._config))
        first = Signal(range(lanes))
        starting, settled = Signal(), Signal()
        # `settled` is one cycle old and a start takes one: hold the next one back until the lanes show this one.
        blocked = Signal(2)
        m.d.sync += [settled.eq(self.idle.all()), blocked.eq((blocked >> 1) | (starting << 1))]
        m.d.comb += [
            self.i_job.ready.eq(~waiting),
            self.o_job.payload.eq(job),
            self.o_job.valid.eq(waiting & settled & ~blocked.any()),
            starting.eq(self.o_job.valid & self.o_job.ready),
        ]
        with m.If(self.i_job.valid & ~waiting):
            m.d.sync += [waiting.eq(1), job.eq(self.i_job.payload)]
        single = job.count  # draws that are owed by lanes in turn
        if self._config.contexts:
            single = Mux(job.block, 0, job.count)
        with m.If(starting):
            m.d.sync += [waiting.eq(0), first.eq(first + single)]
        with m.If(self.restart_stb):
            m.d.sync += first.eq(0)

        for lane, start in enumerate(self.start):
            offset = Signal(range(lanes), name=f"offset_{lane}")
            m.d.comb += offset.eq(lane - first)
            m.d.sync += [start.stb.eq(starting), start.fresh.eq(starting & job.fresh)]
            with m.If(starting):
                whole, one_more = single >> lane_bits, offset < single[:lane_bits]
                m.d.sync += [
                    start.bank.eq(job.bank),
                    start.some.eq(whole.any() | one_more),
                    start.count.eq(whole + one_more),
                ]
        accepted = self.i_job.valid & ~waiting
        if self._config.contexts:
            self._start_streams(m, job, starting=starting, waiting=waiting)
        self._count_banks(m, accepted=accepted)
        return m

    def _start_streams(self, m: Module, job: data.View, *, starting: Signal, waiting: Signal) -> None:
        """Streams number lane, lane + lanes, ... of a block go to each lane."""
        lane_bits = self._config.lanes.bit_length() - 1
        with m.If(starting):
            for lane, start in enumerate(self.start):
                whole, one_more = job.streams >> lane_bits, lane < job.streams[:lane_bits]
                m.d.sync += [
                    start.block.eq(job.block),
                    start.streams.eq(Mux(job.block, whole + one_more, 0)),
                    start.length.eq(job.count),
                ]
        on_the_way = (waiting & job.block) | (self.start[0].stb & self.start[0].block)
        m.d.comb += self.starts_in_use.eq(on_the_way | self.starts_left.any())

    def _count_banks(self, m: Module, *, accepted: Signal) -> None:
        """Jobs of each bank between loader and the end of their last beat; parameters still to be copied."""
        arriving: data.View = self.i_job.payload
        arriving_bank, done_bank = arriving.bank, self.done_bank
        if self._config.contexts:  # all blocks together are number 2
            arriving_bank, done_bank = (
                Cat(bank & ~block, block)
                for bank, block in ((arriving.bank, arriving.block), (self.done_bank, self.done_block))
            )
        for bank in range(len(self.bank_in_use)):
            jobs = Signal(range(JOBS_PER_BANK + 1), name=f"jobs_{bank}")
            arrives, leaves = Signal(name=f"arrives_{bank}"), Signal(name=f"leaves_{bank}")
            m.d.sync += [
                arrives.eq(accepted & (arriving_bank == bank)),
                leaves.eq(self.done_stb & (done_bank == bank)),
            ]
            with m.If(arrives & ~leaves):
                m.d.sync += jobs.eq(jobs + 1)
            with m.If(leaves & ~arrives):
                m.d.sync += jobs.eq(jobs - 1)
            m.d.comb += self.bank_in_use[bank].eq(jobs != 0)
        fresh_arrives = Signal()
        m.d.sync += fresh_arrives.eq(accepted & arriving.fresh)
        with m.If(fresh_arrives):
            m.d.sync += self.params_in_use.eq(1)
        with m.Elif(self.copied_stb):
            m.d.sync += self.params_in_use.eq(0)
