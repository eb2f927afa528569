# SPDX-License-Identifier: Apache-2.0
"""CreditFifo: one entry, chosen by the solver among all that are ever written, comes out once, in order, unchanged.

What holds for an arbitrary entry holds for all: none is lost, none is doubled, none overtakes another.
"""

from functools import partial

from amaranth.hdl import C, Cat, Cover, Signal, Value

from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug
from hw.formal.proof import Proof
from hw.tsu.credit_fifo import CreditFifo

WIDTH = 2


def claim_entries(b: Bench, design: Opened, fifo: CreditFifo, count: Value, *, block_ram: bool) -> tuple[Value, Value]:
    """Claim that an opened FIFO holds `count` entries; returns how many its memory and its output registers hold."""
    written, taken = design.written, design.taken
    level = Signal.like(written, name="level")
    b.m.d.comb += level.eq(written - taken)
    in_registers = C(0, 1) if block_ram else sum(design.of("_register_pointers", "valids"))
    b.claim(count == level + in_registers)
    if block_ram:
        b.claim(design.of("_block_pointers", "following") == (taken + 1)[: len(taken)])
        b.claim(level != 0, when=fifo.o.valid)
    return level, in_registers


def fill(b: Bench, *, depth: int, block_ram: bool, pipelined: bool) -> None:
    """Any entries, any stalls; one entry is followed."""
    m = b.m
    fifo = CreditFifo(fields={"word": WIDTH}, depth=depth, block_ram=block_ram, pipelined=pipelined)
    design = b.under_test(fifo)
    probe = design.submodules.word.read_port(domain="comb")
    valid, ready, word = fifo.o.valid, fifo.o.ready, fifo.o.word
    pop = valid & ready

    # The writer's credits.
    count = b.counter(range(depth + 1), "count", up=fifo.write_stb, down=pop)
    b.assume(~fifo.write_stb, when=count == depth)

    # One write is marked; `ahead` entries leave before it.
    mark = b.free(1, "mark")
    chosen = Signal()
    inside_now = Signal()
    marked = Signal(WIDTH)
    ahead = Signal(range(depth + 1))
    slot = Signal(range(2 * depth))
    with m.If(fifo.write_stb & mark & ~chosen):
        m.d.sync += [chosen.eq(1), inside_now.eq(1), marked.eq(fifo.i.word), ahead.eq(count - pop)]
        m.d.sync += slot.eq(design.written)
    with m.Elif(pop):
        m.d.sync += [ahead.eq(ahead - 1), inside_now.eq(inside_now & (ahead != 0))]
    b.claim(word == marked, when=valid & inside_now & (ahead == 0))
    b.claim(count != 0, when=valid)
    b.stream("o", fifo.o, promised=False)

    # Nothing stays inside for longer than the latency without being offered.
    quiet = Signal(range(fifo.latency_cycles + 1))
    m.d.sync += quiet.eq((quiet + 1)[: len(quiet)])
    with m.If((count == 0) | valid):
        m.d.sync += quiet.eq(0)
    b.claim(quiet < fifo.latency_cycles)

    # What makes this inductive: where the entries are.
    written, taken = design.written, design.taken
    level, in_registers = claim_entries(b, design, fifo, count, block_ram=block_ram)
    distance = Signal.like(written)
    m.d.comb += [distance.eq(slot - taken), probe.addr.eq(slot)]
    if block_ram:
        registers = []
    elif pipelined:
        registers = [design.of("elaborate", "read").data, design.signal("word_1")]
    else:
        registers = [design.signal("word_0")]
    valids = [] if block_ram else design.of("_register_pointers", "valids")
    out = Signal(range(4))
    m.d.comb += out.eq(in_registers)
    b.claim(count <= depth)
    b.claim(~inside_now | (ahead < count))
    in_memory = inside_now & (ahead >= out)
    b.claim((probe.data == marked) & (distance == ahead - out) & (distance < level), when=in_memory)
    if block_ram:
        before = b.past(probe.data, name="probe_before")
        b.claim(~valid | ~inside_now | (ahead != 0) | (before == marked))
    for index, (register, full) in enumerate(zip(registers, valids, strict=True)):
        behind = sum(valids[index + 1 :], Cat())
        b.claim(register == marked, when=full & inside_now & (ahead == behind))
    # The claim about `quiet`, state by state: what is in the memory waits for one register after the other.
    if registers:
        b.claim((quiet == 0) | (out != 0) | (quiet <= 1))

    m.d.comb += [Cover(pop & inside_now & (ahead == 0) & (count == depth)), Cover(pop & (taken == depth))]


LOST = Bug(
    name="loses-an-entry",
    where="credit_fifo",
    old="load.eq(~valids[index] | ahead)",
    new="load.eq(1)",
    depth=12,
)
STALE = Bug(
    name="offers-a-stale-word",
    where="credit_fifo",
    old="Mux(pop, written != following, written != taken)",
    new="Mux(pop, written != taken, written != taken)",
    depth=12,
)


def _proof(depth: int, variant: str, bug: Bug, **options: bool) -> Proof:
    options = {"block_ram": False, "pipelined": False} | options
    return Proof(
        name=f"credit_fifo/{variant}depth-{depth}",
        claims="every entry comes out once, in order, unchanged, and is offered in time; stream rule",
        configuration=f"{WIDTH} bits, {depth} places" + "".join(f", {name}" for name, on in options.items() if on),
        fill=partial(fill, depth=depth, **options),
        depth=3,
        cover_depth=2 * depth + 6,
        bugs=(bug,),
        quick=depth == 4 and variant == "",
    )


PROOFS = tuple(
    _proof(depth, variant, bug, **options)
    for depth in (4, 8)
    for variant, bug, options in (
        ("", LOST, {}),
        ("pipelined-", LOST, {"pipelined": True}),
        ("block-ram-", STALE, {"block_ram": True}),
    )
)
