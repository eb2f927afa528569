# SPDX-License-Identifier: Apache-2.0
"""SkidBuffer: what goes in comes out, once and in order."""

from amaranth.hdl import Cover, Mux, Signal

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.tsu.skid_buffer import SkidBuffer

WIDTH = 4


def fill(b: Bench) -> None:
    """Any entries, any stalls."""
    m = b.m
    skid = SkidBuffer(fields={"word": WIDTH})
    design = b.under_test(skid)
    i, o = skid.i, skid.o
    b.stream("i", i, promised=True)
    b.stream("o", o, promised=False)

    # A queue of at most one entry; the entry that comes meanwhile is offered at once.
    held, word = Signal(), Signal(WIDTH)
    takes, gives = i.valid & i.ready, o.valid & o.ready
    b.claim(o.valid == (held | takes))
    b.claim(o.word == Mux(held, word, i.word), when=o.valid)
    b.claim(~(held & takes))
    m.d.sync += held.eq((held | takes) & ~gives)
    with m.If(takes):
        m.d.sync += word.eq(i.word)
    b.claim(i.ready == ~b.past(o.valid & ~o.ready, name="stalled"))
    b.claim(design.kept == held)
    b.claim(design.signal("kept_word") == word, when=held)
    m.d.comb += [Cover(held & gives), Cover(gives & takes & b.past(held, name="held_before"))]


PROOFS = (
    Proof(
        name="skid_buffer/plain",
        claims="a queue of one entry: nothing lost, doubled or out of order; ready is a register; stream rule",
        configuration=f"{WIDTH} bits",
        fill=fill,
        depth=2,
        cover_depth=6,
        bugs=(
            Bug(
                name="forgets-the-stalled-entry",
                where="skid_buffer",
                old="kept.eq(self.o.valid & ~self.o.ready)",
                new="kept.eq(self.i.valid & ~self.o.ready)",
                depth=6,
            ),
            Bug(name="overwrites-it", where="skid_buffer", old="with m.If(~kept):", new="with m.If(1):", depth=6),
        ),
    ),
)
