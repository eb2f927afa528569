# SPDX-License-Identifier: Apache-2.0
"""Shares jobs out to the lanes and keeps count of the banks in use."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .collector import JOB_DEPTH
from .layouts import COUNT_BITS, job_layout


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
    start : lanes x Out(stb, bank, count)
    o_job : Out(stream(job))           to the collector
    done_stb, done_bank : In           from the collector
    restart_stb : In(1)                begin at lane 0 again (only while `quiet`)
    bank_in_use : Out(2)               a job of that bank is queued, running or being collected
    quiet : Out(1)                     no bank is in use
    Latency      4 cycles from i_job to start
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_job": In(stream.Signature(job_layout())),
                "idle": In(config.lanes),
                "start": Out(data.StructLayout({"stb": 1, "bank": 1, "count": COUNT_BITS})).array(config.lanes),
                "o_job": Out(stream.Signature(job_layout())),
                "done_stb": In(1),
                "done_bank": In(1),
                "restart_stb": In(1),
                "bank_in_use": Out(2),
                "quiet": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._config.lanes
        lane_bits = lanes.bit_length() - 1
        m.submodules.jobs = jobs = fifo.SyncFIFOBuffered(width=job_layout().size, depth=JOB_DEPTH)
        m.d.comb += [
            jobs.w_data.eq(self.i_job.payload),
            jobs.w_en.eq(self.i_job.valid),
            self.i_job.ready.eq(jobs.w_rdy),
        ]

        job = data.View(job_layout(), jobs.r_data)
        first = Signal(range(lanes))
        settled, starting = Signal(), Signal()
        m.d.sync += settled.eq(self.idle.all())
        # `settled` is one cycle old: hold it back until the lanes have seen the start before.
        blocked = Signal(2)
        m.d.comb += [
            self.o_job.payload.eq(job),
            self.o_job.valid.eq(jobs.r_rdy & settled & ~blocked.any()),
            starting.eq(self.o_job.valid & self.o_job.ready),
            jobs.r_en.eq(starting),
        ]
        m.d.sync += blocked.eq((blocked >> 1) | (starting << 1))
        with m.If(starting):
            m.d.sync += first.eq(first + job.count)
        with m.If(self.restart_stb):
            m.d.sync += first.eq(0)

        for lane in range(lanes):
            start = self.start[lane]
            m.d.sync += start.stb.eq(starting)
            offset = Signal(range(lanes), name=f"offset_{lane}")
            m.d.comb += offset.eq(lane - first)
            with m.If(starting):
                m.d.sync += [
                    start.bank.eq(job.bank),
                    start.count.eq((job.count >> lane_bits) + (offset < job.count[:lane_bits])),
                ]
        self._count_banks(m)
        return m

    def _count_banks(self, m: Module) -> None:
        """Jobs of each bank between loader and the end of their last beat."""
        accepted = self.i_job.valid & self.i_job.ready
        for bank in range(2):
            # Two queues, one job starting, one job being collected.
            jobs = Signal(range(2 * JOB_DEPTH + 3), name=f"jobs_{bank}")
            arrives = accepted & (self.i_job.payload.bank == bank)
            leaves = self.done_stb & (self.done_bank == bank)
            m.d.sync += jobs.eq(jobs + arrives - leaves)
            m.d.comb += self.bank_in_use[bank].eq(jobs != 0)
        m.d.comb += self.quiet.eq(self.bank_in_use == 0)
