# SPDX-License-Identifier: Apache-2.0
"""FrameReceiver: whatever bytes come, it takes exactly the frames that are right, and hands over what was in them.

As it takes every right frame behind any delimiter, it is ready again after one delimiter at most.
"""

from binascii import crc32
from functools import partial

from amaranth.hdl import Array, C, Cat, Cover, Mux, Signal, Value

from hw.formal.bench import Bench, Opened
from hw.formal.bugs import Bug
from hw.formal.frame_reference import TOO_LONG, FrameReference, crc_bits, reflected
from hw.formal.proof import Proof
from hw.link.frame_receiver import FrameReceiver
from hw.link.uart_receiver import UartReceiver
from hw.spec.frames import FRAME_HEADER, HEADER_BYTES, PAYLOAD_MAX_BYTES, Frame, FrameType, LinkError, cobs_encode

BYTE_CYCLES = UartReceiver.STABLE_CYCLES
"""Fewest cycles from byte to byte; a byte stays for as long."""

LOST = 0x100
"""In a script: a byte without stop bit."""

AT = {name: field.offset for name, field in FRAME_HEADER.items()}


def wire(body: bytes, *, flip: int = 0) -> list[int]:
    """A body with its CRC, of which bits may be flipped, as it comes over the line."""
    return [*cobs_encode(body + (crc32(body) ^ flip).to_bytes(4, "little")), 0]


PING = list(Frame(type=FrameType.PING, tag=0x77).encode())
FIRST, SECOND = (
    list(Frame(type=FrameType.COMMAND, sequence=number, payload=bytes((number, 0, 3, 4))).encode()) for number in (0, 1)
)
SCRIPTS = (
    PING,
    FIRST + FIRST,
    FIRST + SECOND,
    wire(b"\1\6\1\1\1\0", flip=1) + PING,
    [*PING[:5], LOST, *PING[5:]],
    [5, 1, 0, *PING],
    wire(b"\2\6\1\1\1\0"),
    wire(b"\1\6\1\1\1\0\7"),
)
"""Narrowed benches send one of these, a byte every `BYTE_CYCLES` cycles."""


def say_line(b: Bench, receiver: FrameReceiver) -> tuple[Value, Value]:
    """Bytes as the UART receiver gives them; returns "a byte has come less than `BYTE_CYCLES` ago" and how long ago."""
    m = b.m
    event = receiver.byte_stb | receiver.framing_stb
    age = Signal(range(BYTE_CYCLES + 1), init=BYTE_CYCLES)
    recent = age != BYTE_CYCLES
    m.d.sync += age.eq(Mux(event, 1, Mux(recent, age + 1, age)))
    b.assume(~recent, when=event)
    b.assume(~(receiver.byte_stb & receiver.framing_stb))
    b.assume(receiver.byte == b.past(receiver.byte, name="byte_before"), when=recent)
    b.claim((age != 0) & (age <= BYTE_CYCLES))
    if b.narrowed:
        script = b.constant(range(len(SCRIPTS)), "script")
        longest = max(map(len, SCRIPTS))
        place, symbol = Signal(range(longest + 1)), Signal(9)
        m.d.comb += symbol.eq(Array(Array(row + [0] * (longest - len(row) + 1)) for row in SCRIPTS)[script][place])
        b.assume(event == (~recent & (place != longest)))
        b.assume((receiver.framing_stb == symbol[8]) & (receiver.byte == symbol[:8]), when=event)
        m.d.sync += place.eq(place + event)
    return recent, age


def claim_bytes(b: Bench, receiver: FrameReceiver, ref: FrameReference, cobs: Opened, crc: Opened) -> None:
    """COBS and CRC: the registers of the component are those of the definition."""
    m = b.m
    recent, age = say_line(b, receiver)
    line, was_code, was_data = Signal(8), Signal(), Signal()
    with m.If(receiver.byte_stb):
        m.d.sync += [line.eq(receiver.byte), was_code.eq(ref.complete)]
    with m.If(receiver.byte_stb | receiver.framing_stb):
        m.d.sync += was_data.eq(ref.data_stb)
    taking = recent & was_data
    b.claim((receiver.byte == line) & (ref.last[0] == Mux(was_code, 0, line)) & (ref.count != 0), when=taking)
    b.claim(cobs.was_code == was_code, when=taking)
    b.claim(recent & (age == 1) & ~was_data, when=ref.ended)
    with m.If(ref.ended):
        b.claim((cobs.left == 0) & cobs.no_zero)
    with m.Else():
        b.claim(cobs.left == Mux(ref.code == 0, 0, ref.code - 1 - ref.inside)[:8])
        b.claim(cobs.no_zero == ((ref.code == 0) | (ref.code == 255)))
    b.claim((ref.inside < ref.code) | ((ref.code == 0) & (ref.inside == 0)))
    b.claim((ref.count == 0) & (ref.code == 0) & ~ref.lost, when=~ref.some)
    # The CRC takes the bits of a byte two by two; `crc[0]` is ahead of it meanwhile.
    part = Mux(taking, age, 0)
    b.claim(crc.part == part[: len(crc.part)])
    for done in range(0, 8, 2):
        state = crc_bits(ref.crc[1], ref.last[0][:done])
        b.claim(crc.state == reflected(state), when=taking & (age == done // 2))
    b.claim(crc.state == reflected(ref.crc[0]), when=~taking | (age == BYTE_CYCLES))
    ref.claim_history(b)


def claim_facts(b: Bench, receiver: FrameReceiver, ref: FrameReference, facts: object, index: Value) -> None:
    """What the component notes of a frame is so."""
    length, kind, count = ref.field["length"], ref.field["type"], ref.count
    b.claim(facts.begun == ref.some)
    b.claim(facts.verdict_stb == (ref.ended & ref.some))
    b.claim(facts.broken, when=count == TOO_LONG)
    has = {name: (count > offset) & (count != TOO_LONG) for name, offset in AT.items()}
    wraps = has["length"] & (length >= 252)
    b.claim(facts.broken == (ref.lost | wraps | (ref.ended & ~ref.complete)), when=count != TOO_LONG)
    b.claim(index == count[:8], when=count != TOO_LONG)
    b.claim(facts.left == 0x80 - count, when=count < HEADER_BYTES)
    b.claim(facts.left == (length + HEADER_BYTES - count)[:8], when=has["length"])
    b.claim((facts.empty == (length == 0)) & (facts.whole_words == (length % 4 == 0)), when=has["length"])
    b.claim(facts.version_good == ref.version_good, when=has["version"])
    b.claim((facts.type_good == ref.type_good) & (facts.is_command == ref.is_command), when=has["type"])
    b.claim(receiver.control_type == kind[:3], when=has["type"])
    b.claim((facts.due == ref.due) & (facts.taken == ref.taken), when=has["sequence"])
    b.claim(receiver.argument == ref.field["tag"], when=has["tag"])


def fill(b: Bench, *, pages: int) -> None:
    """Any bytes in any rhythm that a line can have, any stalls."""
    m = b.m
    receiver = FrameReceiver(pages=pages)
    design = b.under_test(receiver)
    crc, cobs, feeder = Opened(design.crc), Opened(design.cobs), Opened(design.feeder)
    ref = FrameReference(b, byte=receiver.byte, byte_stb=receiver.byte_stb, lost_stb=receiver.framing_stb)
    claim_bytes(b, receiver, ref, cobs, crc)
    claim_facts(b, receiver, ref, design.facts, design.index)

    # The verdict is that of the definition, and nothing but it has an effect.
    used = Signal(range(pages), name="used")
    reasons = (
        (~ref.whole, LinkError.MALFORMED),
        (~ref.crc_right, LinkError.BAD_CRC),
        (~ref.version_good, LinkError.BAD_VERSION),
        (~ref.type_good, LinkError.BAD_TYPE),
        (~ref.length_fits, LinkError.BAD_LENGTH),
        (ref.is_command & ~ref.due & ~ref.taken, LinkError.GAP),
        (ref.is_command & ref.due & (used == pages - 1), LinkError.NO_ROOM),
    )
    reason = Signal(LinkError)
    for broken, name in reversed(reasons):
        with m.If(broken):
            m.d.comb += reason.eq(name)
    judged, right = ref.ended & ref.some, Signal()
    m.d.comb += right.eq(~Cat(broken for broken, _ in reasons).any())
    accept = judged & right & ref.is_command & ref.due
    control = b.past(judged & right & ~ref.is_command, name="control")
    refused = b.past(judged & ~right, name="refused")
    again = b.past(judged & right & ref.is_command & ref.taken, name="again")
    b.claim(receiver.control_stb == control)
    kind, tag = ref.field["type"], ref.field["tag"]
    told = b.past(Cat(kind[:3], tag), name="told")
    b.claim(Cat(receiver.control_type, receiver.argument) == told, when=control)
    b.claim(receiver.error_stb == refused)
    b.claim(receiver.error == b.past(reason, name="reason_before"), when=refused)
    page_done = design.feeder.page_done_stb
    b.claim(receiver.granted_stb == (b.past(page_done, name="done_before") | again))
    m.d.sync += [ref.expected.eq(ref.expected + accept), used.eq(used + accept - page_done)]
    b.claim((receiver.expected == ref.expected) & (receiver.room == pages - 1 - used))

    # Pages are used in turn. One of them is watched: what was accepted into it, and any one byte of its payload.
    page, place = b.constant(range(pages), "page"), b.constant(8, "place")
    b.assume((page < pages) & (place >= HEADER_BYTES) & (place < HEADER_BYTES + PAYLOAD_MAX_BYTES))
    coming, current = Signal(8), Signal(range(pages))
    in_use, kept, kept_length, kept_kind = Signal(), Signal(8), Signal(8), Signal(8)
    writes_here, reads_here = design.page_written == page, design.page_read == page
    with m.If(ref.data_stb & (ref.count == place)):
        m.d.sync += coming.eq(ref.data)
    with m.If(accept & writes_here):
        m.d.sync += [in_use.eq(1), kept.eq(coming), kept_length.eq(ref.field["length"]), kept_kind.eq(kind)]
    with m.Elif(page_done & reads_here):
        m.d.sync += in_use.eq(0)
    m.d.comb += current.eq(page - design.page_read)
    b.claim(in_use == (current < used))
    b.claim(design.page_written == (design.page_read + used)[: len(design.page_read)])
    legal = (kept_length != 0) & (kept_length % 4 == 0) & (kept_length <= PAYLOAD_MAX_BYTES)
    b.claim(legal & ((kept_kind == FrameType.COMMAND) | (kept_kind == FrameType.COMMAND_PART)), when=in_use)
    known = (
        (place, coming, kept),
        (C(AT["type"], 8), kind, kept_kind),
        (C(AT["length"], 8), ref.field["length"], kept_length),
    )
    for offset, byte, byte_kept in known:
        probe = design.memory.read_port(domain="comb")
        m.d.comb += probe.addr.eq(Cat(offset, page))
        came = writes_here & (ref.count > offset) & (ref.count != TOO_LONG)
        b.claim(probe.data == byte, when=came)
        b.claim(probe.data == byte_kept, when=in_use & (offset < HEADER_BYTES + kept_length))

    # Its words come out in order, each once, and `last` is where it should be.
    o, address, low = receiver.o_command, design.feeder.address, feeder.low
    word = Signal(6)
    with m.If(page_done):
        m.d.sync += word.eq(0)
    with m.Elif(o.valid & o.ready):
        m.d.sync += word.eq(word + 1)
    b.stream("o_command", o, promised=False)
    b.claim(used != 0, when=o.valid)
    ends = word == kept_length[2:] - 1
    mine = o.valid & reads_here
    b.claim((word < kept_length[2:]) & (o.payload.last == (ends & (kept_kind == FrameType.COMMAND))), when=mine)
    b.claim(page_done == (ends & o.ready), when=mine)
    in_payload = (place - HEADER_BYTES)[:8]
    b.claim(o.payload.data.word_select(in_payload[:2], 8) == kept, when=mine & (word == in_payload[2:]))
    # What makes this inductive: where the feeder is.
    now = design.memory.read_port(domain="comb")
    m.d.comb += now.addr.eq(design.read.addr)
    b.claim(design.read.data == now.data, when=feeder.came)
    b.claim((address == 0) & ~feeder.came & ~feeder.in_payload & (word == 0), when=used == 0)
    beyond = (address - HEADER_BYTES)[:8]
    with m.If((used != 0) & reads_here):
        b.claim(address < HEADER_BYTES + kept_length)
        b.claim(feeder.in_payload == (address >= HEADER_BYTES))
        b.claim(word == Mux(feeder.in_payload, beyond[2:], 0))
        b.claim(feeder.ends == (kept_kind == FrameType.COMMAND), when=address > AT["type"])
        b.claim(feeder.words_left == (kept_length[2:] - beyond[2:])[:6], when=feeder.in_payload)
        for back in (1, 2, 3):
            b.claim(low.word_select(3 - back, 8) == kept, when=address == place + back)

    m.d.comb += Cover(control)
    if pages == 2:
        before = b.past(receiver.error == LinkError.BAD_CRC, name="crc_error_before")
        m.d.comb += [Cover(again), Cover(o.valid & o.ready & o.payload.last), Cover(control & before)]


def _bug(name: str, where: str, old: str, new: str, depth: int = 72) -> Bug:
    return Bug(name=name, package="hw.link", where=where, old=old, new=new, depth=depth, narrowed=True)


BUGS = (
    _bug("any-crc", "frame_receiver", "(~crc_was_good, LinkError.BAD_CRC)", "(~crc_good & 0, LinkError.BAD_CRC)"),
    _bug("other-polynomial", "crc32", "POLYNOMIAL = 0xEDB8_8320", "POLYNOMIAL = 0xEDB8_8321"),
    _bug("crc-is-not-begun-anew", "frame_receiver", "crc.clear_stb.eq(facts.verdict_stb)", "crc.clear_stb.eq(0)"),
    _bug("any-length", "frame_receiver", "facts.broken | ~at_end", "facts.broken"),
    _bug("any-version", "frame_receiver", "(~facts.version_good, LinkError", "(~facts.version_good & 0, LinkError"),
    _bug("lost-byte-is-forgotten", "frame_receiver", "m.If(self.framing_stb | (cobs.end_stb", "m.If((cobs.end_stb"),
    _bug("cut-block-passes", "cobs_decoder", "self.cut.eq(~is_code)", "self.cut.eq(0)"),
    _bug("block-goes-on-behind-a-delimiter", "cobs_decoder", "[left.eq(0), no_zero.eq(1)]", "no_zero.eq(1)"),
    _bug("takes-twice", "frame_receiver", "facts.due.eq(behind.all())", "facts.due.eq(behind.all() | ~behind[7])", 136),
    _bug("word-does-not-wait", "command_feeder", "came & (~self.o_command.valid | self.o_command.ready)", "came", 96),
    _bug("never-last", "command_feeder", "ends.eq(self.data[:2] == FrameType.COMMAND)", "ends.eq(0)", 96),
)

PROOFS = tuple(
    Proof(
        name=f"frame_receiver/pages-{pages}",
        claims="a frame has an effect exactly where its CRC, computed bit by bit, and all fields are right; words are "
        "those of accepted frames, in order, once; ready again after one delimiter; stream rule",
        configuration=f"{pages} pages, frames of every length, bytes at least {BYTE_CYCLES} cycles apart",
        fill=partial(fill, pages=pages),
        depth=2,
        cover_depth=132 if pages == 2 else 56,
        cover_narrowed=True,
        map_memories=False,
        bugs=BUGS if pages == 2 else BUGS[:1],
    )
    for pages in (2, 4)
)
