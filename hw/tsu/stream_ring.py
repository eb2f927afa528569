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

    One circular memory holds those that wait and those under way: the oldest one under way makes room just before the
    one that has come back is written. The first turn of every stream is read from a memory of its own, which the loader
    may fill for the next block as soon as all have started.

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
    i_return : In(stb, retry, token, context)      the oldest stream under way is back; `retry`: it was rejected
    loaded : In(contexts)                slots that hold a psi
    stream, ends : Out                   its number, and whether it ends; combinational, with `i_return`
    busy : Out(1)                        a stream has not ended
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
        start, back = self.start, self.i_return
        issued, returned, written = (Signal(bits, name=name) for name in ("issued", "returned", "written"))
        first_turn_back, last_start = Signal(), Signal(bits)  # the streams that come back have had their first turn
        waiting, waiting_next, unfinished = Signal(bits + 1), Signal(bits + 1), Signal(bits + 1)
        length, left, comes_again = Signal(BLOCK_LENGTH_BITS), Signal(BLOCK_LENGTH_BITS), Signal()
        m.d.comb += [
            waiting_next.eq(Mux(start.stb, start.streams, waiting + comes_again - self.issue_stb)),
            self.waits_next.eq(waiting_next.any()),
            self.busy.eq(unfinished.any()),
            self.ends.eq(~back.retry & ((left == 1) | ~self._is_loaded(back.token))),
            comes_again.eq(back.stb & ~self.ends),
        ]
        m.d.sync += [
            waiting.eq(waiting_next),
            issued.eq(issued + self.issue_stb),
            returned.eq(returned + back.stb),
            written.eq(written + comes_again),
            unfinished.eq(unfinished - (back.stb & self.ends)),
            self.starts_left.eq(self.starts_left & ~(self.issue_stb & (issued == last_start))),
            first_turn_back.eq(first_turn_back & ~(back.stb & (returned == last_start))),
        ]
        with m.If(start.stb):
            m.d.sync += [
                issued.eq(0),
                returned.eq(0),
                written.eq(start.streams),
                last_start.eq(start.streams - 1),
                unfinished.eq(start.streams),
                length.eq(start.length),
                self.starts_left.eq(start.streams.any()),
                first_turn_back.eq(start.streams.any()),
            ]

        context = Mux(back.retry, back.context, back.token[: self._config.context_bits])
        next_left = Mux(back.retry, left, left - 1)
        first_context = self._memory(m, "starts", write=(self.i_write.stb, self.i_write.stream, self.i_write.context),
                                     read=issued, domain=self._load_domain)  # fmt: skip
        next_context = self._memory(m, "contexts", write=(comes_again, written, context), read=issued)
        stream = self._memory(m, "numbers", write=(comes_again, written, self.stream), read=returned)
        stored = self._memory(m, "lengths", write=(comes_again, written, next_left), read=returned)
        m.d.comb += [
            self.context.eq(Mux(self.starts_left, first_context, next_context)),
            self.stream.eq(Mux(first_turn_back, returned, stream)),
            left.eq(Mux(first_turn_back, length, stored)),
        ]
        return m

    def _is_loaded(self, token: Value) -> Value:
        """Whether a token is a context whose slot holds a psi."""
        bits = self._config.context_bits
        return ~token[bits:].any() & self.loaded.bit_select(token[:bits], 1)

    def _memory(
        self, m: Module, name: str, *, write: tuple[Value, Value, Value], read: Value, domain: str = "sync"
    ) -> Value:
        """One field of the entries. No word is read in the cycle in which it is written: nobody waits there yet."""
        enable, address, value = write
        words = self._config.lane_streams
        m.submodules[name] = memory = exclusive_memory(shape=unsigned(value.shape().width), depth=words)
        port, reader = memory.write_port(domain=domain), memory.read_port(domain="comb")
        m.d.comb += [port.en.eq(enable), port.addr.eq(address), port.data.eq(value), reader.addr.eq(read)]
        return reader.data
