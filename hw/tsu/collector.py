# SPDX-License-Identifier: Apache-2.0
"""Lane results to one ordered stream of draws."""

from amaranth.hdl import C, Cat, Module, Mux, Signal, Value
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

    A beat of a block holds a draw of every lane that has one, until all streams have ended; where the draws of the next
    job start does not depend on it.

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
    done_block : Out(1)                with contexts: that job is a block
    Latency      `latency_cycles` from the last result of a beat
    Throughput   one beat per cycle; one cycle more at the begin of a job
    """

    def __init__(self, *, config: TsuConfig) -> None:
        self._config = config
        self.latency_cycles = 1 + config.lanes_far
        ports = {
            "i_result": In(result_signature(config)).array(config.lanes),
            "i_job": In(stream.Signature(job_layout(config))),
            "params": In(params_signature(config)),
            "copied_stb": Out(1),
            "restart_stb": In(1),
            "o_beat": Out(beat_signature(config)),
            "done_stb": Out(1),
            "done_bank": Out(1),
        }
        if config.contexts:
            ports["done_block"] = Out(1)
        super().__init__(ports)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes, beat, results = self._config.lanes, self._beat(m), self._results(m)
        lane_bits = lanes.bit_length() - 1
        # The next job waits here, so that the lanes need not wait for the draws of this one to leave. What is known of
        # its count when it comes keeps wide comparisons out of its begin.
        waiting, job = Signal(), Signal(job_layout(self._config))
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
        # Lanes of which the beat holds a draw, and whether it is the last one of its job; and lane of the next draw.
        held, final, next_first = keep, ends, Mux(ends, following, 0)
        if self._config.contexts:
            in_block = Signal()
            with m.If(begin):
                m.d.sync += in_block.eq(job.block)
            ready, streams_end = self._streams(m, results, job, begin=begin, send=send)
            held, missing = Mux(in_block, ready, keep), Mux(in_block, ~ready.any(), missing)
            final, next_first = Mux(in_block, streams_end, ends), Mux(in_block, first, next_first)
            m.d.comb += self.done_block.eq(in_block)
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
                active.eq(~final),
                behind.eq(behind - lanes),
                first.eq(next_first),
                ends.eq(~many_after),
            ]
            m.d.sync += [kept.eq(many_after | (behind[:lane_bits] >= lane)) for lane, kept in enumerate(keep)]
        with m.If(self.restart_stb):
            m.d.sync += first.eq(0)
        m.d.comb += [self.done_stb.eq(send & final), self.done_bank.eq(bank)]
        m.d.comb += [result.ready.eq(send & kept) for kept, result in zip(held, results, strict=True)]

        with m.If(send):
            m.d.sync += beat.valid.eq(1)
        with m.Elif(beat.ready):
            m.d.sync += beat.valid.eq(0)
        # Once the beat has left, its registers follow the lanes: whether all draws are there decides `valid` alone.
        values = [(beat.keep, held), (beat.spread, spread), (beat.tag, tag), (beat.last, final)]
        for lane, (result, draw) in enumerate(zip(results, beat.draws, strict=True)):
            weight = Mux(result.tail, tail_weight, result.weight)
            if self._config.contexts:
                weight = Mux(in_block, result.weight, weight)
                stream = Cat(C(lane, lane_bits), result.stream)
                values += [(draw.spread, result.spread), (draw.stream, stream), (draw.ends, result.ends)]
            values += [(draw.token, result.token), (draw.weight, weight), (draw.tail, result.tail)]
        if self._config.contexts:
            values.append((beat.block, in_block))
        for index, (port, value) in enumerate(values):
            register = Signal.like(port, name=f"beat_{index}", reset_less=True)
            with m.If(~beat.valid | beat.ready):
                m.d.sync += register.eq(value)
            m.d.comb += port.eq(register)
        return m

    def _streams(
        self, m: Module, results: list[wiring.PureInterface], job: data.View, *, begin: Value, send: Signal
    ) -> tuple[Value, Value]:
        """Count the streams of a block that have not ended. Returns: lanes that have a draw of the block, and whether
        the last streams end with these draws."""
        lane_bits = self._config.lanes.bit_length() - 1
        ready, end = [], []
        for lane, result in enumerate(results):
            left = Signal(self._config.lane_stream_bits + 1, name=f"streams_left_{lane}")
            is_ready, ends = Signal(name=f"ready_{lane}"), Signal(name=f"ends_{lane}")
            m.d.comb += [is_ready.eq(result.valid & left.any()), ends.eq(is_ready & result.ends)]
            with m.If(begin):
                m.d.sync += left.eq(Mux(job.block, (job.streams >> lane_bits) + (lane < job.streams[:lane_bits]), 0))
            with m.Elif(send & ends):
                m.d.sync += left.eq(left - 1)
            ready.append(is_ready)
            end.append(Mux(left == 1, ends, ~left.any()))
        return Cat(ready), Cat(end).all()

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
