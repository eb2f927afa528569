# SPDX-License-Identifier: Apache-2.0
"""Lane results to one ordered stream of draws."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import COUNT_BITS, beat_layout, job_layout, params_layout, result_layout

JOB_DEPTH = 4
"""Jobs whose draws may be outstanding behind the one being collected."""


class Collector(wiring.Component):
    """Gather draws in stream order: draw i of the stream comes from lane i mod lanes.

    A beat holds the next draws of one job, at most one of each lane, in ascending lane order; it is sent when all
    of them are there. Beats of a job start where the job before it ended.

    Parameters
    ----------
    config : TsuConfig

    Members
    -------
    i_result : lanes x In(stream)
    i_job : In(stream(job))            jobs in the order in which the lanes were started
    params : In(2 banks of params)     for the tail weight and V - K
    restart_stb : In(1)                begin at lane 0 again (only while no job is outstanding)
    o_draw : Out(stream(beat))
    done_stb : Out(1), done_bank : Out(1)      the last beat of a job of that bank has left
    Latency      1 cycle from the last result of a beat
    Throughput   one beat per cycle
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_result": In(stream.Signature(result_layout(config))).array(config.lanes),
                "i_job": In(stream.Signature(job_layout())),
                "params": In(data.ArrayLayout(params_layout(config), 2)),
                "restart_stb": In(1),
                "o_draw": Out(stream.Signature(beat_layout(config))),
                "done_stb": Out(1),
                "done_bank": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes = self._config.lanes
        m.submodules.jobs = jobs = fifo.SyncFIFOBuffered(width=job_layout().size, depth=JOB_DEPTH)
        m.d.comb += [
            jobs.w_data.eq(self.i_job.payload),
            jobs.w_en.eq(self.i_job.valid),
            self.i_job.ready.eq(jobs.w_rdy),
        ]

        active, job, left = Signal(), Signal(job_layout()), Signal(COUNT_BITS)
        first = Signal(range(lanes))  # lane of the next draw
        ends = Signal()  # the next beat is the last one
        end = Signal(range(2 * lanes + 1))  # lane behind the last draw of the next beat
        m.d.comb += ends.eq(left <= lanes - first)
        m.d.comb += end.eq(Mux(ends, first + left[: len(end)], lanes))
        keep, available = Signal(lanes), Signal(lanes)
        for lane in range(lanes):
            m.d.comb += [
                keep[lane].eq((first <= lane) & (end > lane)),
                available[lane].eq(self.i_result[lane].valid),
            ]

        send = Signal()
        m.d.comb += send.eq(active & (~keep | available).all() & (~self.o_draw.valid | self.o_draw.ready))
        for lane in range(lanes):
            m.d.comb += self.i_result[lane].ready.eq(send & keep[lane])
        with m.If(send):
            m.d.sync += [left.eq(left - (end - first)), first.eq(end)]
        with m.If(self.restart_stb):
            m.d.sync += first.eq(0)

        m.d.comb += jobs.r_en.eq(~active | (send & ends))
        with m.If(jobs.r_en):
            following = data.View(job_layout(), jobs.r_data)
            m.d.sync += [active.eq(jobs.r_rdy), job.eq(following), left.eq(following.count)]
        m.d.comb += [self.done_stb.eq(send & ends), self.done_bank.eq(job.bank)]

        params = Mux(job.bank, self.params[1].as_value(), self.params[0].as_value())
        self._send(m, send, ends, keep, job, data.View(params_layout(self._config), params))
        return m

    def _send(
        self, m: Module, send: Signal, ends: Signal, keep: Signal, job: data.View, params: data.View
    ) -> None:
        """Register one beat."""
        beat = self.o_draw.payload
        with m.If(send):
            m.d.sync += [
                beat.keep.eq(keep),
                beat.spread.eq(params.spread),
                beat.tag.eq(job.tag),
                beat.last.eq(ends),
            ]
            for lane in range(self._config.lanes):
                result = self.i_result[lane].payload
                m.d.sync += [
                    beat.draws[lane].token.eq(result.token),
                    beat.draws[lane].weight.eq(Mux(result.tail, params.tail_weight, result.weight)),
                    beat.draws[lane].tail.eq(result.tail),
                ]
        with m.If(send):
            m.d.sync += self.o_draw.valid.eq(1)
        with m.Elif(self.o_draw.ready):
            m.d.sync += self.o_draw.valid.eq(0)
