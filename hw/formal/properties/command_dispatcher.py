# SPDX-License-Identifier: Apache-2.0
"""CommandDispatcher: every word to the groups of its command, once and in order; statuses in the order of commands."""

from functools import partial

from amaranth.hdl import Cat, Cover, Mux, Signal

from hw.formal.bench import Bench
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.spec.commands import COMMAND_VERSION, Opcode
from hw.tsu.command_dispatcher import CommandDispatcher


def fill(b: Bench, *, groups: int) -> None:
    """Any commands, groups as slow as the solver likes; the groups are numbers here, and bits in the gateware."""
    m = b.m
    dispatcher = CommandDispatcher(groups=groups)
    design = b.under_test(dispatcher)
    command, status = dispatcher.i_command, dispatcher.o_status
    b.stream_rule("i_command", command.valid, command.ready, command.payload.as_value(), promised=True)
    b.stream_rule("o_status", status.valid, status.ready, status.payload.as_value(), promised=False)
    everyone = (1 << groups) - 1
    given = Cat(port.valid for port in dispatcher.o_command)
    ready = Cat(port.ready for port in dispatcher.o_command)
    answers = Cat(port.ready & port.valid for port in dispatcher.i_status)
    takes, hands_over = command.valid & command.ready, status.valid & status.ready

    # What a group promises: it answers what it took, and takes nothing before that. `owes` is a bit for each group.
    owes, ends = Signal(groups), Signal()
    m.d.sync += owes.eq((owes | Mux(ends, given, 0)) & ~answers)
    for index, port in enumerate(dispatcher.i_status):
        b.stream_rule(f"i_status_{index}", port.valid, port.ready, port.payload.as_value(), promised=True)
        b.assume(owes[index], when=port.valid)
        b.assume(~owes[index], when=ready[index])

    # One word waits, for the groups of its command.
    holds, word, opens = Signal(), Signal(33), Signal()
    begins = Signal(init=1)
    turn, last, target = Signal(range(groups)), Signal(range(groups)), Signal(groups)
    gives = given.any()
    with m.If(takes):
        m.d.sync += [word.eq(command.payload.as_value()), opens.eq(begins), begins.eq(command.payload.last)]
    m.d.sync += holds.eq(takes | (holds & ~gives))
    ours = command.payload.data[8:16] == COMMAND_VERSION
    opcode = command.payload.data[:8]
    with m.If(takes & begins):
        m.d.sync += target.eq(1 << last)
        with m.If(ours & ((opcode == Opcode.SEED) | (opcode == Opcode.TABLE))):
            m.d.sync += target.eq(everyone)
        with m.If(ours & (opcode == Opcode.SEED)):
            m.d.sync += turn.eq(0)
        with m.If(ours & (opcode == Opcode.LOAD)):
            m.d.sync += [target.eq(1 << turn), last.eq(turn), turn.eq(Mux(turn == groups - 1, 0, turn + 1))]
    b.claim(holds & (given == target) & ((given & ~ready) == 0), when=gives)
    b.claim(~holds | gives, when=takes)
    for port in dispatcher.o_command:
        b.claim(port.payload.as_value() == word, when=port.valid)
    m.d.comb += ends.eq(gives & word[32])
    b.claim(design.full == holds)
    b.claim((design.word.as_value() == word) & (design.opens == opens), when=holds)
    b.claim(design.begins == begins)
    b.claim(begins == word[32], when=holds)

    # Commands that began and were not answered, first one first; one of them is marked.
    begun = gives & opens
    count = b.counter(range(groups + 1), "count", up=begun, down=hands_over)
    mark, marked, mine, ahead = b.free(1, "mark"), Signal(), Signal(groups), Signal(range(groups + 1))
    with m.If(begun & mark & ~marked):
        m.d.sync += [marked.eq(1), mine.eq(target), ahead.eq(count - hands_over)]
    with m.Elif(hands_over & marked):
        m.d.sync += [ahead.eq(ahead - 1), marked.eq(ahead != 0)]
    b.claim(answers == Mux(hands_over, design.first, 0))
    b.claim(answers == mine, when=hands_over & marked & (ahead == 0))
    for index, port in enumerate(dispatcher.i_status):
        alone = mine == 1 << index
        heard = alone | ((mine == everyone) & (index == 0))
        shown = status.payload.as_value() == port.payload.as_value()
        b.claim(shown, when=status.valid & marked & (ahead == 0) & heard)
    b.claim(dispatcher.busy, when=holds | ~begins | (count != 0))

    # What makes this inductive: the rules as numbers and as bits, and whose commands wait in which place.
    b.claim((turn < groups) & (last < groups))
    b.claim((design.of("_choice", "turn") == 1 << turn) & (design.of("_choice", "last") == 1 << last))
    between = begins & ~holds  # two commands
    b.claim(design.target == target, when=~between)
    one_of_them = [target == 1 << index for index in range(groups)]
    b.claim(Cat(one_of_them).any() | (target == everyone), when=~between)
    places = design.of("_order", "places")
    underway = Signal()  # a command has begun whose last word was not given
    m.d.sync += underway.eq((underway | begun) & ~ends)
    b.claim(underway == (~begins | holds) & ~(holds & opens))
    listed = Mux(underway, target, 0)
    for index, place in enumerate(places):
        b.claim(place.any() == (index < count))
        b.claim(place == mine, when=marked & (ahead == index))
        alone = Cat(place == 1 << group for group in range(groups)).any()
        b.claim(alone | (place == everyone), when=index < count)
        for other in places[:index]:
            b.claim((place & other) == 0)
    b.claim((owes | listed) == sum((place for place in places[1:]), start=places[0])[:groups])
    b.claim((owes & listed) == 0)
    b.claim(ahead < count, when=marked)
    b.claim(count <= groups)

    m.d.comb += [
        Cover(hands_over & (design.first == everyone)),
        Cover(count == groups),
        Cover(hands_over & marked & (ahead == 0) & (mine == 1 << (groups - 1))),
        Cover((turn == 0) & b.past((turn == 1) & takes, name="seed_at_1")),
    ]


BUGS = (
    Bug(
        name="load-goes-where-the-last-one-went",
        where="command_dispatcher",
        old="choice.eq(turn)",
        new="choice.eq(last)",
        depth=14,
    ),
    Bug(
        name="seed-keeps-the-turn",
        where="command_dispatcher",
        old="m.d.sync += turn.eq(1)",
        new="m.d.sync += turn.eq(turn)",
        depth=14,
    ),
    Bug(
        name="word-is-overwritten",
        where="command_dispatcher",
        old="self.i_command.ready.eq(~full | sent)",
        new="self.i_command.ready.eq(1)",
        depth=8,
    ),
    Bug(
        name="one-group-is-enough",
        where="command_dispatcher",
        old="self._all(target, (port.ready for port in self.o_command))",
        new="(target & Cat(port.ready for port in self.o_command)).any()",
        depth=8,
    ),
    Bug(
        name="one-answer-is-enough",
        where="command_dispatcher",
        old="self._all(first, (port.valid for port in self.i_status))",
        new="(first & Cat(port.valid for port in self.i_status)).any()",
        depth=10,
    ),
    Bug(
        name="answers-overtake",
        where="command_dispatcher",
        old="m.Elif(push & before_used & ~place.any())",
        new="m.Elif(push & (before_used | place.any()))",
        depth=10,
    ),
)

PROOFS = tuple(
    Proof(
        name=f"command_dispatcher/groups-{groups}",
        claims="each word once to the groups that hw.spec.commands names, together; one status each, in order",
        configuration=f"{groups} groups",
        fill=partial(fill, groups=groups),
        depth=2,
        cover_depth=16,
        bugs=BUGS,
        quick=groups == 2,
    )
    for groups in (2, 3)
)
