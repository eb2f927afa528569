# SPDX-License-Identifier: Apache-2.0
"""SerialDivider: quotient * divisor + remainder == first * 2**steps, and remainder < divisor."""

from functools import partial

from amaranth.hdl import Cover, Signal

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.tsu.serial_divider import SerialDivider


def fill(b: Bench, *, width: int, step_cycles: int) -> None:
    """Any division, begun anew at any time."""
    m = b.m
    steps_max = width + 1
    divider = SerialDivider(width=width, quotient_bits=steps_max, step_cycles=step_cycles)
    design = b.under_test(divider, but=(divider.divisor,))
    left, decides = design.left, design.decides
    b.assume((divider.steps != 0) & (divider.steps <= steps_max), when=divider.start_stb)

    # The division under way; its divisor is there from the cycle after the start on.
    divisor = Signal(width)
    first = Signal(width)
    steps = Signal.like(divider.steps)
    started = Signal()
    offered = b.free(width, "offered")
    m.d.comb += divider.divisor.eq(divisor)
    b.assume(divider.first < offered, when=divider.start_stb)
    with m.If(divider.start_stb):
        m.d.sync += [divisor.eq(offered), first.eq(divider.first), steps.eq(divider.steps), started.eq(1)]

    # True after every step, for the part of the numerator that has come in; at the end all of it has.
    numerator = Signal(width + steps_max)
    m.d.comb += numerator.eq(first << (steps - left)[: steps_max.bit_length()])
    with m.If(started):
        b.claim(divider.quotient * divisor + divider.remainder == numerator)
        b.claim(divider.remainder < divisor)
        b.claim(divider.busy == (left != 0))
        b.claim((left <= steps) & (steps <= steps_max) & (steps != 0))
        b.claim((divider.quotient >> (steps - left)[: steps_max.bit_length()]) == 0)
    with m.Else():
        b.claim(~divider.busy & (left == 0))

    # It ends in time: busy for steps * step_cycles cycles.
    busy_cycles = Signal(range(step_cycles * steps_max + 2))
    with m.If(divider.start_stb | ~divider.busy):
        m.d.sync += busy_cycles.eq(0)
    with m.Else():
        m.d.sync += busy_cycles.eq(busy_cycles + 1)
    b.claim(busy_cycles < step_cycles * steps, when=started & divider.busy)
    second = decides if step_cycles == 2 else 0
    b.claim(busy_cycles + step_cycles * left == step_cycles * steps + second, when=started & divider.busy)
    m.d.comb += Cover(started & ~divider.busy & (divider.remainder != 0) & (steps == steps_max))


BUGS = (
    Bug(
        name="sign-of-the-wrong-bit",
        where="serial_divider",
        old="fits.eq(~difference[-1])",
        new="fits.eq(~difference[-3])",
        depth=16,
    ),
    Bug(
        name="one-step-short",
        where="serial_divider",
        old="self.busy.eq(left != 1)",
        new="self.busy.eq(left != 2)",
        depth=24,
    ),
)

PROOFS = tuple(
    Proof(
        name=f"serial_divider/step-cycles-{step_cycles}",
        claims="quotient * divisor + remainder == first * 2**steps, remainder < divisor, and in time",
        configuration=f"{width}-bit divisor, 1 .. {width + 1} steps, step_cycles {step_cycles}",
        fill=partial(fill, width=width, step_cycles=step_cycles),
        depth=2 * step_cycles,
        cover_depth=step_cycles * (width + 1) + 6,
        bugs=BUGS,
    )
    for width in (5,)
    for step_cycles in (1, 2)
)
