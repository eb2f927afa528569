# SPDX-License-Identifier: Apache-2.0
"""Lane results to one ordered stream of draws."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.config import TsuConfig

from .layouts import COUNT_BITS, beat_signature, job_layout, params_signature, result_fields, result_signature
from .skid_buffer import SkidBuffer
from .stream_slice import StreamSlice


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
    params : In(params)                of the psi loaded last; copied at the begin of a fresh job
    copied_stb : Out(1)                a fresh job's parameters have been copied
    restart_stb : In(1)                begin at lane 0 again (only while no job is outstanding)
    o_beat : Out(beat)
    done_stb : Out(1), done_bank : Out(1)      the last beat of a job of that bank is leaving
    Latency      `latency_cycles` from the last result of a beat
    Throughput   one beat per cycle; one cycle more at the begin of a job
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self.latency_cycles = 1 + config.lanes_far
        super().__init__(
            {
                "i_result": In(result_signature(config)).array(config.lanes),
                "i_job": In(stream.Signature(job_layout())),
                "params": In(params_signature(config)),
                "copied_stb": Out(1),
                "restart_stb": In(1),
                "o_beat": Out(beat_signature(config)),
                "done_stb": Out(1),
                "done_bank": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, beat, results = self._config.lanes, self._beat(m), self._results(m)
        lane_bits = lanes.bit_length() - 1
        # The next job waits here, so that the lanes need not wait for the draws of this one to leave. What is known of
        # its count when it comes keeps wide comparisons out of its begin.
        waiting, job = Signal(), Signal(job_layout())
        fills, fills_just = Signal(), Signal()  # at least one draw for each lane; exactly one
        active = Signal()
        tag, bank = Signal.like(beat.tag), Signal()
        spread, tail_weight = Signal.like(beat.spread), Signal(self._config.total_bits)
        # The next beat, known from registers: lane of its first draw, lanes it takes, whether it is the last one; the
        # draws behind it, less one, which count while it is not the last one; and the lane behind the job's last draw.
        first, keep, ends = Signal(range(lanes)), Signal(lanes), Signal()
        behind, following = Signal(COUNT_BITS), Signal(range(lanes))

        begin = waiting & ~active
        m.d.comb += self.i_job.ready.eq(~waiting)
        with m.If(begin):
            m.d.sync += waiting.eq(0)
        with m.If(self.i_job.valid & self.i_job.ready):
            count = self.i_job.payload.count
            m.d.sync += [waiting.eq(1), job.eq(self.i_job.payload)]
            m.d.sync += [fills.eq(count[lane_bits:].any()), fills_just.eq(count == lanes)]
        send = Signal()
        missing = Cat(kept & ~result.valid for kept, result in zip(keep, results, strict=True))
        m.d.comb += send.eq(active & ~missing.any() & (~beat.valid | beat.ready))

        reach = Signal(lane_bits + 1)  # lane behind the last draw of a job that fills no beat from lane 0
        many, many_after = Signal(), Signal()  # this beat, or the one behind it, is not the last
        m.d.comb += [
            reach.eq(first + job.count[:lane_bits]),
            many.eq(Mux(fills, ~fills_just | first.any(), reach > lanes)),
            many_after.eq(behind[lane_bits:].any()),
        ]
        with m.If(begin):
            m.d.sync += [
                active.eq(1),
                behind.eq(job.count + first - (lanes + 1)),
                following.eq(reach),
                tag.eq(job.tag),
                bank.eq(job.bank),
                ends.eq(~many),
            ]
            m.d.sync += [kept.eq((lane >= first) & (fills | (reach > lane))) for lane, kept in enumerate(keep)]
        with m.If(begin & job.fresh):
            m.d.sync += [spread.eq(self.params.spread), tail_weight.eq(self.params.tail_weight)]
        m.d.comb += self.copied_stb.eq(begin & job.fresh)

        with m.If(send):
            m.d.sync += [
                active.eq(~ends),
                behind.eq(behind - lanes),
                first.eq(Mux(ends, following, 0)),
                ends.eq(~many_after),
            ]
            m.d.sync += [kept.eq(many_after | (behind[:lane_bits] >= lane)) for lane, kept in enumerate(keep)]
        with m.If(self.restart_stb):
            m.d.sync += first.eq(0)
        m.d.comb += [self.done_stb.eq(send & ends), self.done_bank.eq(bank)]
        m.d.comb += [result.ready.eq(send & kept) for kept, result in zip(keep, results, strict=True)]

        with m.If(send):
            m.d.sync += beat.valid.eq(1)
        with m.Elif(beat.ready):
            m.d.sync += beat.valid.eq(0)
        # Once the beat has left, its registers follow the lanes: whether all draws are there decides `valid` alone.
        values = [(beat.keep, keep), (beat.spread, spread), (beat.tag, tag), (beat.last, ends)]
        for result, draw in zip(results, beat.draws, strict=True):
            weight = Mux(result.tail, tail_weight, result.weight)
            values += [(draw.token, result.token), (draw.weight, weight), (draw.tail, result.tail)]
        for index, (port, value) in enumerate(values):
            register = Signal.like(port, name=f"beat_{index}", reset_less=True)
            with m.If(~beat.valid | beat.ready):
                m.d.sync += register.eq(value)
            m.d.comb += port.eq(register)
        return m

    def _results(self, m: Module) -> list[wiring.PureInterface]:
        """The results of the lanes, by way of registers here where the lanes are far away."""
        if not self._config.lanes_far:
            return list(self.i_result)
        results = []
        layout = data.StructLayout(result_fields(self._config))
        for lane, arriving in enumerate(self.i_result):
            m.submodules[f"slice_{lane}"] = near = StreamSlice(shape=layout)
            result = wiring.PureInterface(result_signature(self._config), path=(f"result_{lane}",))
            for name in layout.members:
                m.d.comb += near.i.payload[name].eq(getattr(arriving, name))
                m.d.comb += getattr(result, name).eq(near.o.payload[name])
            m.d.comb += [near.i.valid.eq(arriving.valid), arriving.ready.eq(near.i.ready)]
            m.d.comb += [result.valid.eq(near.o.valid), near.o.ready.eq(result.ready)]
            results.append(result)
        return results

    def _beat(self, m: Module) -> wiring.PureInterface:
        """The registers of a beat: the port's own, or those before a skid buffer where the taker is far away."""
        if not self._config.pipelined:
            return self.o_beat
        beat = wiring.PureInterface(self.o_beat.signature, path=("beat",))
        sides = []
        for side in (beat, self.o_beat):
            sides.append({"_".join(map(str, path)): value for path, _, value in side.signature.flatten(side)})
        held, port = sides
        fields = {name: len(value) for name, value in port.items() if name not in ("valid", "ready")}
        m.submodules.skid = skid = SkidBuffer(fields=fields)
        for name in (*fields, "valid"):
            m.d.comb += [getattr(skid.i, name).eq(held[name]), port[name].eq(getattr(skid.o, name))]
        m.d.comb += [beat.ready.eq(skid.i.ready), skid.o.ready.eq(self.o_beat.ready)]
        return beat
