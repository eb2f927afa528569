# SPDX-License-Identifier: Apache-2.0
"""BeatMerger: every beat once, whole and under its group; no group waits for more than one beat of each other."""

from functools import partial

from amaranth.hdl import Array, Cat, Cover, Mux, Signal
from amaranth.lib import wiring

from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.config import PRESETS, TsuConfig
from hw.tsu.beat_merger import BeatMerger
from hw.tsu.layouts import members

TINY = PRESETS["tiny"]


def payload_of(interface: object) -> Cat:
    """Everything of a beat but its handshake and its group."""
    return Cat(value for name, value in members(interface) if name not in ("valid", "ready", "group"))


def fill(b: Bench, *, config: TsuConfig) -> None:
    """Any beats, any stalls."""
    m, groups = b.m, config.groups
    m.submodules.merger = merger = BeatMerger(config=config)
    design = Opened(merger)
    given = [wiring.flipped(beat) for beat in merger.i_beat]
    for index, beat in enumerate(given):
        for place, (name, value) in enumerate(members(beat)):
            if name != "ready":
                m.d.comb += value.eq(b.free(len(value), f"beat_{index}_{place}_{name}"))
        b.stream_rule(f"i_beat_{index}", beat.valid, beat.ready, payload_of(beat), promised=True)
    out = merger.o_beat
    m.d.comb += out.ready.eq(b.free(1, "o_beat_ready"))
    b.stream_rule("o_beat", out.valid, out.ready, Cat(payload_of(out), out.group), promised=False)

    # A queue of one beat: what is taken is offered next, and nothing else ever is.
    takes = Cat(beat.valid & beat.ready for beat in given)
    holds, kept, owner = Signal(), Signal(len(payload_of(out))), Signal(range(groups))
    m.d.sync += holds.eq(takes.any() | (holds & ~out.ready))
    for index, beat in enumerate(given):
        with m.If(takes[index]):
            m.d.sync += [kept.eq(payload_of(beat)), owner.eq(index)]
            b.claim(takes == 1 << index)
    b.claim(out.valid == holds)
    b.claim(~holds | out.ready, when=takes.any())
    b.claim((payload_of(out) == kept) & (out.group == owner), when=holds)

    # Any two groups: while one offers a beat, the other delivers one at most, and the grant comes nearer.
    one, other = b.constant(range(groups), "one"), b.constant(range(groups), "other")
    b.assume((one < groups) & (other < groups) & (one != other))
    offers = Array([beat.valid for beat in given])[one]
    taken, passes = Array(list(takes))[one], Array(list(takes))[other]
    waits = offers & ~taken
    passed, grant = Signal(2), Signal(range(groups))
    m.d.sync += passed.eq(Mux(waits, passed + passes, 0))
    b.claim(passed <= 1)
    m.d.comb += grant.eq(sum((Mux(design.grant[index], index, 0) for index in range(groups)), start=0))

    def way(index: Signal, name: str) -> Signal:
        """From a group up to the one that waits, in the order of the turns."""
        distance = Signal(range(groups), name=name)
        m.d.comb += distance.eq(Mux(index > one, groups + one - index, one - index))
        return distance

    left, others = way(grant, "left"), way(other, "others")
    free = ~out.valid | out.ready
    b.claim(left < b.past(left, name="left_before"), when=b.past(waits & free, name="was_free"))
    b.claim(left <= b.past(left, name="left_ago"), when=b.past(waits, name="waited"))
    b.claim(taken, when=offers & free & (left == 0))
    # What makes this inductive.
    b.claim(design.grant == 1 << grant)
    b.claim(grant < groups)
    b.claim(offers & (left < others), when=passed != 0)

    m.d.comb += [
        Cover(taken & (passed == 1) & (left == 0)),
        Cover(takes.any() & holds & (owner == groups - 1)),
        Cover(waits & free & ~takes.any()),
    ]


BUGS = (
    Bug(
        name="keeps-the-grant",
        where="beat_merger",
        old="others.any() & (free | ~has_beat)",
        new="others.any() & ~has_beat",
        depth=10,
    ),
    Bug(
        name="torn",
        where="beat_merger",
        old="with m.If(free):\n                m",
        new="with m.If(1):\n                m",
        depth=8,
    ),
    Bug(
        name="doubled",
        where="beat_merger",
        old="beat.ready.eq(free & granted)",
        new="beat.ready.eq(self.o_beat.ready & granted)",
        depth=8,
    ),
    Bug(name="lost", where="beat_merger", old="beat.ready.eq(free & granted)", new="beat.ready.eq(granted)", depth=8),
    Bug(
        name="misnamed",
        where="beat_merger",
        old="C(index, len(self.o_beat.group))",
        new="C(0, len(self.o_beat.group))",
        depth=8,
    ),
)

UNFAIR = Bug(
    name="always-back-to-group-0",
    where="beat_merger",
    old="others[index] & is_next",
    new="others[index] & ~others[:index].any()",
    depth=12,
)

PROOFS = tuple(
    Proof(
        name=f"beat_merger/groups-{groups}",
        claims="each beat once, whole, under its group; one beat at most of each other group comes before; stream rule",
        configuration=f"tiny, {groups} groups",
        fill=partial(fill, config=TINY.with_fields(groups=groups)),
        depth=2,
        cover_depth=10,
        bugs=BUGS + ((UNFAIR,) if groups > 2 else ()),
        quick=groups == 2,
    )
    for groups in (2, 3)
)
