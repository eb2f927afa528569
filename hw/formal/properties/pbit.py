# SPDX-License-Identifier: Apache-2.0
"""PBit: fires exactly where the value is above the threshold, split or not."""

from functools import partial

from amaranth.hdl import Cover, Signal, signed

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.tsu.pbit import PBit


def fill(b: Bench, *, width: int, latency_cycles: int) -> None:
    """Any words."""
    m = b.m
    pbit = PBit(width=width, latency_cycles=latency_cycles)
    b.under_test(pbit)
    # Above: the difference, with a bit for its sign, is positive.
    difference = Signal(signed(width + 1))
    m.d.comb += difference.eq(pbit.value - pbit.threshold)
    expected, known = ~difference[-1] & (difference != 0), 1
    for stage in range(latency_cycles):
        expected, known = b.past(expected, name=f"expected_{stage}"), b.past(known, name=f"known_{stage}")
    b.claim(pbit.fires == expected, when=known)
    m.d.comb += [Cover(pbit.fires), Cover(~pbit.fires)]


SPLIT = Bug(
    name="low-half-decides",
    where="pbit",
    old="Mux(low_not_above, ~not_above, ~below)",
    new="Mux(low_not_above, ~not_above, 1)",
    depth=4,
)
WHOLE = Bug(
    name="fires-on-equal",
    where="pbit",
    old="self.fires.eq(self.threshold < self.value)",
    new="self.fires.eq(self.threshold <= self.value)",
    depth=4,
)

PROOFS = tuple(
    Proof(
        name=f"pbit/{('whole', 'split')[latency]}-{width}",
        claims="fires is value > threshold, `latency_cycles` later",
        configuration=f"{width} bits, latency_cycles {latency}",
        fill=partial(fill, width=width, latency_cycles=latency),
        depth=3,
        cover_depth=4,
        bugs=(bug,),
        quick=width == 9 and latency == 1,
    )
    for width in (9, 64)
    for latency, bug in enumerate((WHOLE, SPLIT))
)
