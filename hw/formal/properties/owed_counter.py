# SPDX-License-Identifier: Apache-2.0
"""OwedCounter: equal to a plain counter, at full width."""

from amaranth.hdl import C, Cat, Cover, Mux, Signal, Value

from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.tsu.layouts import COUNT_BITS
from hw.tsu.owed_counter import LOW_BITS, OwedCounter


def owed_invariant(b: Bench, design: Opened, owed: OwedCounter, reference: Value) -> None:
    """Claim that the counter's registers stand for `reference`; the upper part may have a carry or borrow to come."""
    low, high = design.low, design.high
    upper = Signal(len(high), name="upper")
    pending = Mux(low[LOW_BITS], Cat(C(1, 1), low[0].replicate(len(high) - 1)), 0)  # 0, 1 or -1
    b.m.d.comb += upper.eq(high + pending)
    b.claim(reference == Cat(low[:LOW_BITS], upper))
    b.claim(~low[LOW_BITS] | (low[:LOW_BITS] == low[0].replicate(LOW_BITS)))
    b.claim(~(low[LOW_BITS] & low[0]) | (high != 0))
    b.claim(design.high_any == (high != 0))
    b.claim(owed.owes == (reference != 0))


def fill(b: Bench) -> None:
    """Any starts, issues and returns that a lane may give."""
    m = b.m
    owed = OwedCounter()
    design = b.under_test(owed)
    reference = Signal(COUNT_BITS)
    with m.If(owed.start_stb):
        m.d.sync += reference.eq(owed.count)
    with m.Else():
        m.d.sync += reference.eq(reference + owed.returned - owed.issue)
    b.assume((reference == 0) & ~owed.issue & ~owed.returned, when=owed.start_stb)
    b.assume(owed.some == (owed.count != 0), when=owed.start_stb)
    b.assume(reference != 0, when=owed.issue)
    b.assume(~reference.all(), when=owed.returned)
    owed_invariant(b, design, owed, reference)
    b.claim(owed.owes == b.past(owed.owes_next, name="owes_next_before"))
    m.d.comb += [Cover(reference == 255), Cover((reference == 0) & b.past(owed.issue, name="issued"))]


PROOFS = (
    Proof(
        name="owed_counter/full",
        claims="owes is count != 0 and owes_next is that of the next cycle, equal to a plain counter",
        configuration=f"{COUNT_BITS} bits",
        fill=fill,
        depth=2,
        cover_depth=6,
        bugs=(
            Bug(
                name="borrow-is-forgotten",
                where="owed_counter",
                old="high_any.eq(~low[0] | (high != 1))",
                new="high_any.eq(1)",
                depth=262,
            ),
            Bug(
                name="two-are-none",
                where="owed_counter",
                old="(low[:LOW_BITS] != 1)",
                new="(low[1:LOW_BITS] != 1)",
                depth=8,
            ),
        ),
        quick=True,
    ),
)
