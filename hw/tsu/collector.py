# SPDX-License-Identifier: Apache-2.0
"""Lane results to one ordered stream of draws."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import COUNT_BITS, beat_signature, job_layout, params_signature, result_signature

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
    i_result : lanes x In(result)
    i_job : In(stream(job))            jobs in the order in which the lanes were started
    params : 2 banks x In(params)      for the tail weight and V - K
    restart_stb : In(1)                begin at lane 0 again (only while no job is outstanding)
    o_beat : Out(beat)
    done_stb : Out(1), done_bank : Out(1)      the last beat of a job of that bank has left
    Latency      1 cycle from the last result of a beat
    Throughput   one beat per cycle
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        super().__init__(
            {
                "i_result": In(result_signature(config)).array(config.lanes),
                "i_job": In(stream.Signature(job_layout())),
                "params": In(params_signature(config)).array(2),
                "restart_stb": In(1),
                "o_beat": Out(beat_signature(config)),
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
        m.d.comb += send.eq(active & (~keep | available).all() & (~self.o_beat.valid | self.o_beat.ready))
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

        self._send(m, send, ends, keep, job)
        return m

    def _send(self, m: Module, send: Signal, ends: Signal, keep: Signal, job: data.View) -> None:
        """Register one beat."""
        beat = self.o_beat
        low, high = self.params
        tail_weight = Mux(job.bank, high.tail_weight, low.tail_weight)
        with m.If(send):
            m.d.sync += [
                beat.valid.eq(1),
                beat.keep.eq(keep),
                beat.spread.eq(Mux(job.bank, high.spread, low.spread)),
                beat.tag.eq(job.tag),
                beat.last.eq(ends),
            ]
            for result, draw in zip(self.i_result, beat.draws, strict=True):
                m.d.sync += [
                    draw.token.eq(result.token),
                    draw.weight.eq(Mux(result.tail, tail_weight, result.weight)),
                    draw.tail.eq(result.tail),
                ]
        with m.Elif(beat.ready):
            m.d.sync += beat.valid.eq(0)
