# SPDX-License-Identifier: Apache-2.0
"""StreamSlice: what goes in comes out, once and in order, and no signal passes through within a cycle."""

from amaranth.hdl import Cover, Mux, Signal

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.tsu.stream_slice import StreamSlice

WIDTH = 4


def fill(b: Bench) -> None:
    """Any entries, any stalls."""
    m = b.m
    piece = StreamSlice(shape=WIDTH)
    design = b.under_test(piece)
    i, o = piece.i, piece.o
    b.stream("i", i, promised=True)
    b.stream("o", o, promised=False)

    # A queue of two entries, known from registers; the older one is offered.
    queued, older, newer = Signal(range(3)), Signal(WIDTH), Signal(WIDTH)
    takes, gives = i.valid & i.ready, o.valid & o.ready
    b.claim(queued <= 2)
    b.claim(o.valid == (queued != 0))
    b.claim(o.payload == older, when=o.valid)
    b.claim(i.ready == (queued != 2))
    m.d.sync += queued.eq(queued + takes - gives)
    with m.If(gives):
        m.d.sync += older.eq(Mux(queued == 2, newer, i.payload))
    with m.Elif(queued == 0):
        m.d.sync += older.eq(i.payload)
    with m.If(takes):
        m.d.sync += newer.eq(i.payload)
    b.claim(design.full == (queued == 2))
    b.claim((design.writes_second ^ design.reads_second) == queued[0])
    places = [design.signal(f"place_{index}") for index in range(2)]
    b.claim(Mux(design.reads_second, places[0], places[1]) == newer, when=queued == 2)
    m.d.comb += [Cover(gives & (queued == 2)), Cover(gives & takes & b.past(queued == 1, name="one_before"))]


PROOFS = (
    Proof(
        name="stream_slice/plain",
        claims="a queue of two entries: none lost, doubled or out of order; both handshakes are registers; stream rule",
        configuration=f"{WIDTH} bits",
        fill=fill,
        depth=2,
        cover_depth=6,
        bugs=(
            Bug(
                name="overwrites-an-entry",
                where="stream_slice",
                old="with m.If(takes & written):",
                new="with m.If(self.i.valid & written):",
                depth=6,
            ),
            Bug(
                name="forgets-which-comes-first",
                where="stream_slice",
                old="reads_second.eq(reads_second ^ gives)",
                new="reads_second.eq(reads_second ^ takes)",
                depth=6,
            ),
            Bug(
                name="forgets-the-second-entry",
                where="stream_slice",
                old="self.o.valid.eq(takes | full | (self.o.valid & ~gives))",
                new="self.o.valid.eq(takes | (self.o.valid & ~gives))",
                depth=6,
            ),
        ),
    ),
)
