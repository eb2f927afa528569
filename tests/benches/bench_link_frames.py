# SPDX-License-Identifier: Apache-2.0
"""FrameReceiver on the RTL: damaged, doubled, lost and good frames; only whole commands come out, in order, once."""

import random
from binascii import crc32
from functools import partial
from pathlib import Path

import cocotb
from cocotb.triggers import RisingEdge

from hw.link.frame_receiver import FrameReceiver
from hw.spec.frames import Frame, FrameType, LinkError, cobs_encode, command_frames
from sim.bench_file import load_module
from sim.bfm import StreamSink, cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

PAGES = {"pages-2": 2, "pages-4": 4}
TOPLEVELS = {name: partial(FrameReceiver, pages=pages) for name, pages in PAGES.items()}

BYTE_CYCLES = 6
"""Between two bytes: shorter than on any line."""

ENDLESS = 1 << 62


class Driver:
    """Sends bytes to the receiver and notes what it reports."""

    def __init__(self, dut, *, kind: str = "none") -> None:
        self.dut = dut
        self.sink = StreamSink(dut, "o_command", stalls=_SUPPORT.stalls(kind, 5))
        self.events: list[tuple] = []
        dut.byte_stb.value = dut.framing_stb.value = 0

    async def start(self) -> None:
        await start(self.dut)
        self.sink.want(ENDLESS)
        cocotb.start_soon(self._watch())

    async def _watch(self) -> None:
        dut = self.dut
        while True:
            await RisingEdge(dut.clk)
            if dut.error_stb.value == 1:
                self.events.append(("error", LinkError(int(dut.error.value))))
            if dut.control_stb.value == 1:
                self.events.append(("control", FrameType(int(dut.control_type.value)), int(dut.argument.value)))

    async def send(self, data: bytes, *, framing_at: int | None = None) -> None:
        """Bytes as the UART receiver gives them; in place of byte `framing_at` comes a framing error."""
        for index, byte in enumerate(data):
            lost = index == framing_at
            self.dut.byte.value = byte
            self.dut.byte_stb.value, self.dut.framing_stb.value = int(not lost), int(lost)
            await RisingEdge(self.dut.clk)
            self.dut.byte_stb.value = self.dut.framing_stb.value = 0
            await cycles(self.dut, BYTE_CYCLES - 1)

    def take(self) -> list[tuple]:
        events, self.events = self.events, []
        return events

    def words(self) -> list[int]:
        words = list(self.sink.taken)
        self.sink.taken.clear()
        return words


def pages() -> int:
    return PAGES[_SUPPORT.base_variant()]


def marked(words: list[int], *, last: bool = True) -> list[int]:
    """Words as the command stream has them."""
    return [word | (last and index == len(words) - 1) << 32 for index, word in enumerate(words)]


async def started(dut, *, kind: str = "none") -> Driver:
    driver = Driver(dut, kind=kind)
    await driver.start()
    return driver


def wire_of(body: bytes, *, crc_error: int = 0) -> bytes:
    return cobs_encode(body + (crc32(body) ^ crc_error).to_bytes(4, "little")) + b"\0"


PING = Frame(type=FrameType.PING, tag=0x77)
REFUSED = [
    (b"\x05\x01\x02\0", LinkError.MALFORMED),
    (cobs_encode(b"\x01\x06\x00\x00\x00\x00\x00\x00\x00") + b"\0", LinkError.MALFORMED),
    (b"\x01\0", LinkError.MALFORMED),
    (wire_of(b"\x01\x01\x00\x00\x00\x08abcd"), LinkError.MALFORMED),
    (wire_of(b"\x01\x01\x00\x00\x00\xf8" + bytes(248)), LinkError.MALFORMED),
    (wire_of(b"\x01\x01\x00\x00\x00\x04" + bytes(256 + 4)), LinkError.MALFORMED),
    *((wire_of(b"\x01\x06\x00\x00\x00" + bytes([n])), LinkError.MALFORMED) for n in (252, 253, 254, 255)),
    *((wire_of(b"\x01\x01\x00\x00\x00\xfc"[:n]), LinkError.MALFORMED) for n in range(6)),
    *((wire_of(b"\x01\x06\x00\x00\x00\x00", crc_error=1 << bit), LinkError.BAD_CRC) for bit in range(32)),
    (wire_of(b"\x02\x06\x00\x00\x00\x00"), LinkError.BAD_VERSION),
    *((wire_of(bytes([1, kind, 0, 0, 0, 0])), LinkError.BAD_TYPE) for kind in (0, 8, 0x11, 0x81, 0xFF)),
    (wire_of(b"\x01\x01\x00\x00\x00\x00"), LinkError.BAD_LENGTH),
    (wire_of(b"\x01\x02\x00\x00\x00\x05abcde"), LinkError.BAD_LENGTH),
    (wire_of(b"\x01\x06\x00\x00\x00\x01a"), LinkError.BAD_LENGTH),
    (wire_of(b"\x01\x07\x00\x00\x00\x04abcd"), LinkError.BAD_LENGTH),
    (wire_of(b"\x01\x01\x01\x00\x00\x04abcd"), LinkError.GAP),
    (wire_of(b"\x01\x01\x7f\x00\x00\x04abcd"), LinkError.GAP),
]


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def each_rule_refuses_and_the_next_frame_is_taken(dut):
    """Every kind of bad frame gives its error and nothing else; PING behind it is taken; no word comes out."""
    driver = await started(dut)
    for wire, reason in REFUSED:
        await driver.send(wire)
        assert driver.take() == [("error", reason)], wire.hex()
        await driver.send(PING.encode())
        assert driver.take() == [("control", FrameType.PING, 0x77)]
    await driver.send(b"\0\0\0" + PING.encode())
    assert driver.take() == [("control", FrameType.PING, 0x77)], "an empty frame means nothing"
    await driver.send(PING.encode(), framing_at=4)
    assert driver.take() == [("error", LinkError.MALFORMED)]
    assert not driver.words()


@cocotb.test(timeout_time=2, timeout_unit="ms")
@cocotb.parametrize(kind=list(_SUPPORT.STALLS))
async def commands_come_out_whole_and_once(dut, kind):
    """Commands of 1 to 130 words over several frames; each frame twice; numbers wrap around."""
    driver, sequence, rng = await started(dut, kind=kind), 0, random.Random(6)
    for size in (1, 2, 60, 61, 62, 122, 130, *[1] * 260):
        words = [rng.getrandbits(32) for _ in range(size)]
        for frame in command_frames(words, sequence=sequence):
            await driver.send(frame.encode())
            await cycles(dut, 40 * (len(frame.payload) // 4) + 40)
            await driver.send(frame.encode())
        sequence = (sequence + -(-size // 61)) % 256
        await cycles(dut, 20)
        assert driver.words() == marked(words)
        assert int(dut.expected.value) == sequence
    assert not driver.take()


@cocotb.test(timeout_time=2, timeout_unit="ms")
async def control_frames_pass_commands_that_wait(dut):
    """With the command stream blocked, `pages` - 1 frames are kept, the next is refused, and PING gets through."""
    driver = await started(dut)
    driver.sink.refuse()
    frames = [command_frames([0x100 + n, n], sequence=n)[0] for n in range(pages())]
    for number, frame in enumerate(frames):
        assert int(dut.room.value) == pages() - 1 - number
        await driver.send(frame.encode())
        expected = [] if number < pages() - 1 else [("error", LinkError.NO_ROOM)]
        assert driver.take() == expected
        await driver.send(PING.encode())
        assert driver.take() == [("control", FrameType.PING, 0x77)]
    driver.sink.want(ENDLESS)
    await cycles(dut, 100)
    assert int(dut.room.value) == pages() - 1
    await driver.send(frames[-1].encode())
    await cycles(dut, 100)
    assert driver.words() == [word for n in range(pages()) for word in marked([0x100 + n, n])]


@cocotb.test(timeout_time=40, timeout_unit="ms")
async def no_damaged_frame_has_an_effect(dut):
    """2000 frames flipped, cut, doubled, with bytes lost or added; a good one behind each fifth is always taken."""
    driver, rng, sequence = await started(dut), random.Random(7), 0
    errors = 0
    for number in range(2000):
        frame = command_frames([rng.getrandbits(32) for _ in range(rng.randint(1, 3))], sequence=sequence)[0]
        wire = bytearray(frame.encode()[:-1])
        place = rng.randrange(len(wire))
        match rng.randrange(4):
            case 0:
                wire[place] ^= 1 << rng.randrange(8)
            case 1:
                del wire[place]
            case 2:
                wire.insert(place, rng.randrange(1, 256))
            case 3:
                del wire[place:]
        if bytes(wire) == frame.encode()[:-1]:
            continue
        await driver.send(bytes(wire) + b"\0")
        events = driver.take()
        assert all(kind == "error" for kind, *_ in events), f"frame {number}: {events}"
        errors += len(events)
        assert not driver.words(), f"frame {number}: words of a damaged frame"
        if number % 5 == 0:
            await driver.send(frame.encode())
            await cycles(dut, 60)
            sequence = (sequence + 1) % 256
            words = [int.from_bytes(frame.payload[i : i + 4], "little") for i in range(0, len(frame.payload), 4)]
            assert driver.words() == marked(words), f"frame {number}: the next one was not taken"
    assert errors > 1500
