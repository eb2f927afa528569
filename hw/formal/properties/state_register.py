# SPDX-License-Identifier: Apache-2.0
"""StateRegister and the generators on it: a noise state is zero for no longer than the settle time."""

from functools import partial

from amaranth.hdl import C, Cat, Cover, Signal, Value

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.noise import GENERATORS, LOCKUP_STATE, STATE_WORDS, WORD_BITS
from hw.tsu.noise.bank import make_generator
from hw.tsu.noise.state_register import PIPELINE_CYCLES, SETTLE_CYCLES, StateRegister

INIT = tuple(range(1, STATE_WORDS + 1))
LOCKUP = Cat(C(word, WORD_BITS) for word in LOCKUP_STATE)


def claim_settles(b: Bench, is_zero: Value, seeded: Value, *, pipelined: bool) -> Signal:
    """Claim that the state is zero, while nobody seeds, for no longer than the settle time; returns for how long."""
    m = b.m
    settle_cycles = SETTLE_CYCLES + PIPELINE_CYCLES * pipelined
    stuck = Signal(range(settle_cycles + 2), name="stuck")
    with m.If(is_zero & ~seeded):
        m.d.sync += stuck.eq(stuck + (stuck <= settle_cycles))
    with m.Else():
        m.d.sync += stuck.eq(0)
    b.claim(stuck <= settle_cycles)
    return stuck


def fill_register(b: Bench, *, pipelined: bool) -> None:
    """Whatever is seeded, and whatever a generator makes of a state that is not zero."""
    m = b.m
    state = StateRegister(init=INIT, pipelined=pipelined)
    b.under_test(state)
    is_zero = Signal()
    m.d.comb += is_zero.eq(~Cat(state.word).any())
    b.assume(~Cat(state.next_word).any(), when=is_zero)
    stuck = claim_settles(b, is_zero, state.seeding | state.seed_stb, pipelined=pipelined)
    b.claim(is_zero, when=state.zero)  # a good state is never replaced
    replaced = b.past(state.zero & ~state.seed_stb, name="replaced")
    b.claim(Cat(state.word) == LOCKUP, when=replaced)
    m.d.comb += [Cover(replaced), Cover(stuck == SETTLE_CYCLES)]


def fill_generator(b: Bench, *, noise: str, pipelined: bool) -> None:
    """The engine's own steps lead from no state to zero; seeds do what they like."""
    m = b.m
    generator = make_generator(noise=noise, init=INIT, pipelined=pipelined)
    state = b.under_test(generator).state
    is_zero = Signal()
    m.d.comb += is_zero.eq(~Cat(state.word).any())
    seeded = generator.seeding | generator.seed_stb
    claim_settles(b, is_zero, seeded, pipelined=pipelined)
    good = b.past(~is_zero & ~generator.seed_stb, name="good")
    b.claim(~is_zero, when=good)
    m.d.comb += [Cover(generator.zero), Cover(b.past(generator.zero, name="zero_before") & ~is_zero)]


NOT_REPLACED = Bug(
    name="zero-is-not-replaced",
    where="noise.state_register",
    old="with m.If(self.step_stb | self.seed_stb | self.zero):",
    new="with m.If(self.step_stb | self.seed_stb):",
    depth=10,
)
REPLACED_LATE = Bug(
    name="good-state-is-replaced",
    where="noise.state_register",
    old="            quiet = quiet | quiet_before.any()\n",
    new="",
    depth=10,
)
ENGINE_BUGS = {
    "xoshiro128pp": Bug(
        name="engine-is-not-invertible",
        where="noise.xoshiro128pp",
        old="state.next_word[1].eq(s1 ^ x2)",
        new="state.next_word[1].eq(s1 & x2)",
        depth=8,
    ),
    "lfsr": Bug(
        name="feeds-zero",
        where="noise.lfsr",
        old="fresh = window(tap - count, count) ^ fresh",
        new="fresh = window(tap - count, count) & fresh",
        depth=8,
    ),
}
ENGINE_BUGS["lfsr-leap"] = ENGINE_BUGS["lfsr"]


def _register(pipelined: bool) -> Proof:
    return Proof(
        name="state_register/" + ("pipelined" if pipelined else "plain"),
        claims="a zero state is replaced within the settle time, a state that is not zero never is",
        configuration=f"{STATE_WORDS} x {WORD_BITS} bits, any next state" + ", pipelined" * pipelined,
        fill=partial(fill_register, pipelined=pipelined),
        depth=4 + pipelined,
        cover_depth=16,
        bugs=(NOT_REPLACED, *((REPLACED_LATE,) if pipelined else ())),
    )


def _generator(noise: str, pipelined: bool) -> Proof:
    return Proof(
        name=f"state_register/{noise}" + "-pipelined" * pipelined,
        claims="no step leads to a zero state; one that was seeded is replaced within the settle time",
        configuration=f"{noise}, {STATE_WORDS} x {WORD_BITS} bits" + ", pipelined" * pipelined,
        fill=partial(fill_generator, noise=noise, pipelined=pipelined),
        depth=4 + pipelined,
        cover_depth=16,
        bugs=(ENGINE_BUGS[noise],),
    )


PROOFS = tuple(_register(pipelined) for pipelined in (False, True)) + tuple(
    _generator(noise, pipelined) for noise in GENERATORS for pipelined in (False, True)
)
