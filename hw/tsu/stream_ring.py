# SPDX-License-Identifier: Apache-2.0
"""The streams of a block in one lane: who draws next, from which context, and how much is left."""

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.spec.commands import BLOCK_LENGTH_BITS
from hw.spec.config import TsuConfig

from .memories import exclusive_memory


class StreamRing(wiring.Component):
    """Strict round-robin: in each round every stream that has not ended takes one candidate, in the order of streams.

    A stream leaves the ring with its candidate and comes back with what became of it: behind an accepted one in the
    context of the token drawn, behind a rejected one where it was. The pipeline keeps the order, so the ring has it
    without being told, and which stream takes which candidate depends on neither latency nor stalls.

    Streams that wait are in one circular memory, those under way in another one. The first turn of every stream is read
    from a memory of its own, which the loader may fill for the next block as soon as all have started. A block is
    settled once nobody can come back: the last candidate of a stream counts as decided when the filter accepts it. The
    next job may start then, while the last tokens of this one are still under way.

    Parameters
    ----------
    config : TsuConfig
    load_domain : str
        Clock domain of `i_write`; see `TsuCore`.

    Members
    -------
    start : In(stb, streams, length)     only while not `busy`; with streams = 0 nothing happens
    i_write : In(stb, stream, context)   where a stream of the next block starts
    issue_stb : In(1)                    the next stream takes a candidate; only where one waits
    waits_next : Out(1)                  a stream will wait in the next cycle
    context : Out(context_bits)          of the next stream, where one waits
    last : Out(1)                        it has one token left
    final_stb : In(1)                    the candidate of a stream with one token left was accepted
    i_return : In(stb, retry, token, context)      the oldest stream under way is back; `retry`: it was rejected
    loaded : In(contexts)                slots that hold a psi
    stream, ends : Out                   its number, and whether it ends; combinational, with `i_return`
    busy : Out(1)                        a stream may take another candidate
    starts_left : Out(1)                 the memory of first turns is still needed
    Latency      1 cycle from i_return to context
    Throughput   one stream out and one back per cycle
    """

    def __init__(self, *, config: TsuConfig, load_domain: str = "sync") -> None:
        self._config = config
        self._load_domain = load_domain
        bits = config.lane_stream_bits
        returned = {"stb": 1, "retry": 1, "token": config.id_bits, "context": config.context_bits}
        super().__init__(
            {
                "start": In(data.StructLayout({"stb": 1, "streams": bits + 1, "length": BLOCK_LENGTH_BITS})),
                "i_write": In(data.StructLayout({"stb": 1, "stream": bits, "context": config.context_bits})),
                "issue_stb": In(1),
                "waits_next": Out(1),
                "context": Out(config.context_bits),
                "last": Out(1),
                "final_stb": In(1),
                "i_return": In(data.StructLayout(returned)),
                "loaded": In(config.contexts),
                "stream": Out(bits),
                "ends": Out(1),
                "busy": Out(1),
                "starts_left": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._config.lane_stream_bits
        start, issue, back = self.start, self.issue_stb, self.i_return
        begun, last_start, length = Signal(bits), Signal(bits), Signal(BLOCK_LENGTH_BITS)
        waiting, waiting_next, unsettled = Signal(bits + 1), Signal(bits + 1), Signal(bits + 1)
        comes_again, last_back = Signal(), Signal()
        m.d.comb += [
            waiting_next.eq(Mux(start.stb, start.streams, waiting + comes_again - issue)),
            self.waits_next.eq(waiting_next.any()),
            self.busy.eq(unsettled.any()),
        ]
        m.d.sync += [
            waiting.eq(waiting_next),
            begun.eq(begun + issue),
            self.starts_left.eq(self.starts_left & ~(issue & (begun == last_start))),
            # One with a token left is settled by the filter, one that ends earlier only here.
            unsettled.eq(unsettled - self.final_stb - (back.stb & self.ends & ~last_back)),
        ]
        with m.If(start.stb):
            m.d.sync += [
                begun.eq(0),
                last_start.eq(start.streams - 1),
                length.eq(start.length),
                self.starts_left.eq(start.streams.any()),
                unsettled.eq(start.streams),
            ]

        # The next stream: one that starts, or the one that has waited longest.
        first_context = self._memory(m, "starts", write=(self.i_write.stb, self.i_write.stream, self.i_write.context),
                                     read=begun, domain=self._load_domain)  # fmt: skip
        taken, written = Signal(bits), Signal(bits)
        m.d.sync += [taken.eq(taken + (issue & ~self.starts_left)), written.eq(written + comes_again)]
        stream, left, next_left = Signal(bits), Signal(BLOCK_LENGTH_BITS), Signal(BLOCK_LENGTH_BITS)
        context = Mux(back.retry, back.context, back.token[: self._config.context_bits])
        waited = {
            name: self._memory(m, name, write=(comes_again, written, value), read=taken)
            for name, value in {"context": context, "stream": self.stream, "left": next_left}.items()
        }
        m.d.comb += [
            self.context.eq(Mux(self.starts_left, first_context, waited["context"])),
            stream.eq(Mux(self.starts_left, begun, waited["stream"])),
            left.eq(Mux(self.starts_left, length, waited["left"])),
            self.last.eq(left == 1),
        ]

        # Under way, of this block and of the one before: at most one candidate for each stream of both.
        sent, returned = Signal(bits + 1), Signal(bits + 1)
        m.d.sync += [sent.eq(sent + issue), returned.eq(returned + back.stb)]
        left_back = self._memory(m, "left_under_way", write=(issue, sent, left), read=returned)
        stream_back = self._memory(m, "stream_under_way", write=(issue, sent, stream), read=returned)
        m.d.comb += [
            self.stream.eq(stream_back),
            last_back.eq(left_back == 1),
            next_left.eq(Mux(back.retry, left_back, left_back - 1)),
            self.ends.eq(~back.retry & (last_back | ~self._is_loaded(back.token))),
            comes_again.eq(back.stb & ~self.ends),
        ]
        return m

    def _is_loaded(self, token: Value) -> Value:
        """Whether a token is a context whose slot holds a psi."""
        bits = self._config.context_bits
        return ~token[bits:].any() & self.loaded.bit_select(token[:bits], 1)

    def _memory(
        self, m: Module, name: str, *, write: tuple[Value, Value, Value], read: Value, domain: str = "sync"
    ) -> Value:
        """One field of the entries. No word counts in the cycle in which it is written: nobody waits there yet."""
        enable, address, value = write
        words = 1 << len(read)
        m.submodules[name] = memory = exclusive_memory(shape=unsigned(value.shape().width), depth=words)
        port, reader = memory.write_port(domain=domain), memory.read_port(domain="comb")
        m.d.comb += [port.en.eq(enable), port.addr.eq(address), port.data.eq(value), reader.addr.eq(read)]
        return reader.data
