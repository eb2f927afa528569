# SPDX-License-Identifier: Apache-2.0
"""PsiChecker: the total of any k_max weights and any tail weight is exact, and judged as such."""

from functools import partial

from amaranth.hdl import Cover, Signal

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.commands import Status
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.psi_checker import PsiChecker

TINY = PRESETS["tiny"]


def fill(b: Bench, *, config: TsuConfig) -> None:
    """Any psi of up to k_max weights."""
    m = b.m
    checker = PsiChecker(config=config)
    design = b.under_test(checker)
    start, weight = checker.start_stb, checker.i_weight
    tail_weight = checker.header.tail_weight

    # The exact sum, in a width that it cannot leave.
    wide = config.total_bits + config.depth + 8
    exact = Signal(wide)
    weights = Signal(range(config.k_max + 1))
    begun = Signal()
    with m.If(start):
        m.d.sync += [exact.eq(tail_weight), weights.eq(0), begun.eq(1)]
    with m.Elif(weight.valid):
        m.d.sync += [exact.eq(exact + weight.weight), weights.eq(weights + 1)]
    b.assume(begun & (weights != config.k_max), when=weight.valid & ~start)
    b.assume(~weight.valid, when=start)

    # From two cycles after the last weight on, until the next start, the total is that sum.
    last = b.past(weight.valid, name="weight_before")
    settled = begun & ~last
    total = design.total
    b.claim(total == exact, when=settled)
    b.claim(checker.total == exact, when=settled & (exact <= config.total_max))
    # A psi whose total is not legal is never OK, six cycles after its last weight at the latest.
    quiet = Signal(range(8))
    with m.If(start | weight.valid):
        m.d.sync += quiet.eq(0)
    with m.Elif(quiet != 7):
        m.d.sync += quiet.eq(quiet + 1)
    legal = (exact >= config.total_min) & (exact <= config.total_max)
    with m.If(begun & (quiet >= 5)):
        b.claim(legal, when=checker.code == Status.OK)
        b.claim(~legal, when=checker.code == Status.BAD_TOTAL)

    # What makes this inductive: a carry and an upper half that are still on their way.
    to_come = design.of("_total", "carry") + design.of("_total", "above")
    on_its_way = Signal(wide)
    m.d.comb += on_its_way.eq(to_come << design.of("_total", "half"))
    b.claim(total + on_its_way == exact, when=begun)
    b.claim(to_come == 0, when=settled)
    most = Signal(wide)
    m.d.comb += most.eq((weights << config.weight_bits) + (1 << config.total_bits))
    b.claim((exact < most) & (weights <= config.k_max))
    m.d.comb += [
        Cover(settled & (weights == config.k_max) & (exact > config.total_max)),
        Cover(begun & (quiet == 7) & (checker.code == Status.OK) & (exact == config.total_max)),
        Cover(begun & (quiet == 7) & (checker.code == Status.BAD_TOTAL)),
    ]


BUGS = (
    Bug(
        name="carry-is-lost",
        where="psi_checker",
        old="high.eq(high + above + carry)",
        new="high.eq(high + above)",
        depth=12,
    ),
    Bug(
        name="total-one-bit-short",
        where="psi_checker",
        old="high = Signal(half), Signal(config.total_bits + config.depth + 1 - half)",
        new="high = Signal(half), Signal(config.total_bits - half)",
        depth=14,
    ),
    Bug(
        name="accepts-a-total-too-large",
        where="psi_checker",
        old="(too_small | too_large, Status.BAD_TOTAL)",
        new="(too_small, Status.BAD_TOTAL)",
        depth=24,
    ),
)


def _proof(variant: str, **changes: object) -> Proof:
    config = TINY.with_fields(**changes)
    return Proof(
        name=f"psi_checker/{variant}",
        claims="the total of k_max weights and a tail weight never overflows, and no illegal one is OK",
        configuration=f"K = {config.k_max}, weights of {config.weight_bits}, Z of {config.total_bits} bits",
        fill=partial(fill, config=config),
        depth=8,
        cover_depth=config.k_max + 14,
        bugs=BUGS,
    )


PROOFS = (
    _proof("tiny"),
    _proof(
        "full-width", k_max=64, vocab_max=1 << 18, weight_bits=48, headroom_bits=8, guard_bits=8, tail_noise_bits=32
    ),
)
