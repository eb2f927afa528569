# SPDX-License-Identifier: Apache-2.0
"""SerialTsu on its pins: psi in, draws out, bit for bit against tests/reference/stream.py, over good and bad lines."""

import random
from collections import deque
from functools import partial
from itertools import pairwise
from pathlib import Path

import cocotb
from cocotb.triggers import Timer

from host.golden.exact import draft_law
from host.tsu.lowering import draw_command, load_command, lower, seed_command, table_command, weight_table
from hw.link.serial_tsu import SerialTsu
from hw.spec.commands import GroupChoice, Opcode, Status, WeightMode
from hw.spec.config import PRESETS, TsuConfig
from hw.spec.frames import (
    SEQUENCE_COUNT,
    Frame,
    FrameReader,
    FrameType,
    LinkError,
    command_frames,
    is_behind,
    unpack_draws,
    unpack_status,
)
from hw.spec.registers import REGISTERS, constant_values
from sim.bench_file import load_module
from sim.bfm import CLOCK_NS, start

_HERE = Path(__file__).parent
_SUPPORT, _PINS = load_module(_HERE / "support.py"), load_module(_HERE / "bench_link_uart.py")
_REFERENCE = load_module(_HERE.parent / "reference" / "stream.py")
ReferenceTsu, random_psi = _REFERENCE.ReferenceTsu, _REFERENCE.random_psi

CLK_HZ = 1_000_000_000 // CLOCK_NS
BAUD = 12_000_000
SMALL = TsuConfig(k_max=8, vocab_max=64, weight_bits=12, headroom_bits=2, guard_bits=4, tail_noise_bits=8)
CONFIGS = {
    "small-1": SMALL,
    "small-4": SMALL.with_fields(lanes=4, level_stages=2),
    "up5k": PRESETS["up5k"],
    "groups-3": SMALL.with_fields(groups=3, lanes=2),
}
PAGES = {"small-4": {"receive_pages": 4, "send_pages": 8}}


def options(name: str) -> dict:
    """Arguments of `SerialTsu` for a variant."""
    return {"config": CONFIGS[name], "clk_hz": CLK_HZ, "baud": BAUD, **PAGES.get(name, {})}


TOPLEVELS = {name: partial(SerialTsu, **options(name)) for name in CONFIGS}

QUIET_US = 400
"""Without a byte for this long, a host that waits for something asks again."""


def config() -> TsuConfig:
    return CONFIGS[_SUPPORT.base_variant()]


class Line:
    """Damages what passes: each run of bytes is kept, or some of it is flipped, dropped, doubled or cut off."""

    def __init__(self, share: float, seed: int) -> None:
        self._share, self._rng, self.damaged = share, random.Random(seed), 0

    def __call__(self, data: bytes) -> bytes:
        rng = self._rng
        if rng.random() >= self._share:
            return data
        self.damaged += 1
        out, place = bytearray(data), rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                out[place] ^= 1 << rng.randrange(8)
            case 1:
                del out[place]
            case 2:
                out.insert(place, out[place])
            case 3:
                del out[place:]
            case 4:
                out += data  # the whole frame twice
        return bytes(out)


class LinkHost:
    """The other end of the link, on the pins: numbers, credits, repeats, as docs/reference/link.md has them.

    Attributes
    ----------
    statuses : deque of (tag, opcode, code, total)
    draws : dict of tag to rows; `ended` holds the tags whose last run has come, `runs` the tags of all runs
    refused : LinkErrors that the device reported
    """

    def __init__(self, dut, *, down=None, up=None) -> None:
        self._writer = _PINS.PinWriter(dut.rx, baud=BAUD)
        self._pins = _PINS.PinReader(dut.tx, baud=BAUD)
        self._reader = FrameReader()
        self._down, self._up = down, up
        self._open = False
        self._silent = False
        self.restart()
        cocotb.start_soon(self._receive())
        cocotb.start_soon(self._send())

    def restart(self) -> None:
        """What both ends know after RESET."""
        self._due, self._limit, self._acknowledged, self._next = 0, 1, 0, 0
        self._frames: list[Frame] = []
        self._control: deque[Frame] = deque()
        self._quiet_us = 0
        self._choice, self.groups = GroupChoice(config().groups), {}  # by tag
        self.statuses, self.draws, self.ended, self.refused = deque(), {}, set(), []
        self.runs: list[int] = []
        self.answers: dict[tuple[FrameType, int], bytes] = {}

    async def open(self) -> None:
        """End what the line was doing, then RESET."""
        self._open = False
        self.restart()
        await self._writer.send(b"\0" + Frame(type=FrameType.RESET).encode())
        await self.wait(lambda: self._open, what="PONG 0 after RESET")

    def put(self, words) -> int:
        """Queue a command; returns its tag."""
        frames = command_frames([int(word) for word in words], sequence=len(self._frames) % SEQUENCE_COUNT)
        self._frames += frames
        self.groups[frames[0].tag] = self._choice.of(int(words[0])).start
        return frames[0].tag

    def ask(self, kind: FrameType, tag: int) -> None:
        """Queue a control frame."""
        self._control.append(Frame(type=kind, tag=tag))

    async def wait(self, condition, *, what: str, us: int = 60_000) -> None:
        """Until `condition()`; fails after `us` microseconds."""
        for _ in range(us // 5):
            if condition():
                return
            await Timer(5, "us")
        raise AssertionError(f"{what}: nothing within {us} us")

    def mute(self, silent: bool) -> None:
        """Send nothing by itself: no credits, no repeats."""
        self._silent = silent

    async def _receive(self) -> None:
        while True:
            await Timer(2, "us")
            data = bytes(self._pins.taken)
            end = len(data) if self._up is None else data.rfind(b"\0") + 1
            del self._pins.taken[:end]
            self._quiet_us = 0 if data else self._quiet_us + 2
            if self._up is None or not self._open:
                parts = [data[:end]]
            else:
                parts = [self._up(part + b"\0") for part in data[:end].split(b"\0")[:-1]]
            for found in self._reader.feed(b"".join(parts)):
                if isinstance(found, Frame):
                    self._take(found)
                elif self._open:
                    self._repeat = True

    _repeat = _credit = False

    def _take(self, frame: Frame) -> None:
        if not self._open:
            if (frame.type, frame.sequence, frame.tag) != (FrameType.PONG, 0, 0):
                return
            self._open, self._repeat = True, False
        if frame.sequence != self._due:
            if is_behind(frame.sequence, self._due):
                self._credit = True
            else:
                self._repeat = True
            return
        self._due = (self._due + 1) % SEQUENCE_COUNT
        self._credit = True
        match frame.type:
            case FrameType.STATUS:
                self.statuses.append(unpack_status(frame))
            case FrameType.DRAWS:
                run = unpack_draws(frame, config())
                assert run.tag not in self.ended, "draws behind the last run of their command"
                self.draws.setdefault(run.tag, []).extend(run.rows)
                self.runs.append(run.tag)
                if run.last:
                    self.ended.add(run.tag)
            case FrameType.REGISTER:
                self.answers[frame.type, frame.tag] = frame.payload
            case _:
                self._flow(frame)

    def _flow(self, frame: Frame) -> None:
        """PONG, GRANT, ERROR: how far the device is."""
        expected, room = frame.payload
        self._acknowledged += (expected - self._acknowledged) % SEQUENCE_COUNT
        assert self._acknowledged <= len(self._frames), "the device took a frame that was never sent"
        self._limit = self._acknowledged + room
        self._next = max(self._next, self._acknowledged)
        if frame.type is FrameType.PONG:
            self.answers[frame.type, frame.tag] = frame.payload
        if frame.type is FrameType.ERROR:
            self.refused.append(LinkError(frame.tag))
            self._next = self._acknowledged

    async def _write(self, frame: Frame) -> None:
        wire = frame.encode()
        await self._writer.send(wire if self._down is None else self._down(wire))

    async def _send(self) -> None:
        while True:
            if not self._open or self._silent:
                await Timer(5, "us")
                continue
            waiting = self._acknowledged < len(self._frames) or self._quiet_us > 0
            if self._quiet_us > QUIET_US and waiting:
                self._quiet_us, self._repeat, self._next = 0, True, self._acknowledged
                self.ask(FrameType.PING, 0)
            if self._repeat or self._credit:
                kind = FrameType.RESEND if self._repeat else FrameType.CREDIT
                self._repeat = self._credit = False
                await self._write(Frame(type=kind, tag=self._due))
            elif self._control:
                await self._write(self._control.popleft())
            elif self._next < min(self._limit, len(self._frames)):
                self._next += 1
                await self._write(self._frames[self._next - 1])
            else:
                await Timer(2, "us")


class Client:
    """Commands and their results over a `LinkHost`."""

    def __init__(self, dut, **lines) -> None:
        self.host, self._tag = LinkHost(dut, **lines), 0

    def tag(self) -> int:
        self._tag += 0x0101
        return self._tag

    async def good(self, tag: int, opcode: Opcode) -> int:
        """The next status, which has to be OK; returns the total."""
        await self.host.wait(lambda: self.host.statuses, what=f"status of {opcode.name}")
        found = self.host.statuses.popleft()
        assert found[:3] == (tag, opcode, Status.OK), f"status {found}, expected OK of {opcode.name} {tag:#x}"
        return found[3]

    async def load(self, psi, count: int, mode: str) -> tuple[int, int]:
        """LOAD with its table; tag and total."""
        if mode == "table":
            words = table_command(weight_table(psi.scale, psi.tau, config().weight_bits), tag=self.tag())
            await self.good(self.host.put(words), Opcode.TABLE)
        tag = self.host.put(load_command(lower(psi, config(), WeightMode[mode.upper()]), count=count, tag=self.tag()))
        return tag, await self.good(tag, Opcode.LOAD)

    def put_draw(self, count: int) -> int:
        return self.host.put(draw_command(count=count, tag=self.tag()))

    async def check(self, reference, psi, count: int, mode: str, *, tag: int, what: str) -> None:
        """All draws of a command are those of its group's reference stream."""
        expected = reference.rows(psi, count, mode, group=self.host.groups[tag])
        _SUPPORT.check(await self.rows(tag, count), expected, what)

    async def rows(self, tag: int, count: int) -> list:
        """All draws of a command."""
        await self.host.wait(lambda: tag in self.host.ended, what=f"draws of {tag:#x}")
        rows = self.host.draws.pop(tag)
        assert len(rows) == count, f"{len(rows)} draws, expected {count}"
        return rows


def some_psi(seed: int):
    rng = random.Random(seed)
    k = rng.randint(1, config().k_max)
    return random_psi(seed, k=k, vocab=rng.randint(k + 1, config().vocab_max), tail=rng.choice([0.3, 2.0]), scale=0.03)


def modes() -> list[str]:
    return ["exp2", "table"] if config().has_exp2 else ["table", "table"]


async def started(dut, **lines) -> Client:
    client = Client(dut, **lines)
    await start(dut)
    await client.host.open()
    return client


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def draws_equal_the_reference_stream(dut):
    """Seed, load, draw over the pins: tokens, weights, spreads, tails and totals; then registers and PING."""
    client = await started(dut)
    await client.good(client.host.put(seed_command(config(), 2026, tag=client.tag())), Opcode.SEED)
    reference = ReferenceTsu(config(), 2026)
    for number, mode in enumerate(modes()):
        psi = some_psi(number)
        tag, total = await client.load(psi, 150, mode)
        assert total == draft_law(psi, config(), mode).total
        await client.check(reference, psi, 150, mode, tag=tag, what=f"psi {number}, LOAD")
        for count in (1, 34, 35, 101):
            tag = client.put_draw(count)
            await client.good(tag, Opcode.DRAW)
            await client.check(reference, psi, count, mode, tag=tag, what=f"psi {number}, DRAW {count}")
    for name, value in constant_values(config()).items():
        address = REGISTERS[name].address
        client.host.ask(FrameType.READ_REGISTER, address)
        await client.host.wait(lambda a=address: (FrameType.REGISTER, a) in client.host.answers, what=name)
        assert int.from_bytes(client.host.answers[FrameType.REGISTER, address], "little") == value, name
    client.host.ask(FrameType.PING, 0x5C)
    await client.host.wait(lambda: (FrameType.PONG, 0x5C) in client.host.answers, what="PONG")
    assert not client.host.refused


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def psi_in_flight_together(dut):
    """Commands sent without waiting: runs of several groups come mixed, and each is whole and under its own tag."""
    client = await started(dut)
    reference, mode, jobs = ReferenceTsu(config(), 0), modes()[0], []
    if mode == "table":
        psi = some_psi(70)
        words = table_command(weight_table(psi.scale, psi.tau, config().weight_bits), tag=client.tag())
        await client.good(client.host.put(words), Opcode.TABLE)
    for number, count in enumerate((900, 1, 400, 3, 2)):
        psi = some_psi(70 if mode == "table" else 70 + number)
        words = load_command(lower(psi, config(), WeightMode[mode.upper()]), count=count, tag=client.tag())
        jobs.append((client.host.put(words), psi, count))
        jobs.append((client.put_draw(17), psi, 17))
    for number, (tag, psi, count) in enumerate(jobs):
        await client.good(tag, Opcode.DRAW if number % 2 else Opcode.LOAD)
        await client.check(reference, psi, count, mode, tag=tag, what=f"job {number}")
    mixed = any(before > after for before, after in pairwise(client.host.runs))
    assert mixed == (config().groups > 1), f"runs came in the order {client.host.runs}"


@cocotb.test(timeout_time=900, timeout_unit="ms")
@cocotb.parametrize(share=[0.15, 0.4])
async def a_bad_line_changes_no_token(dut, share):
    """Frames are flipped, cut, doubled and lost both ways; every token is still right, and nothing hangs."""
    down, up = Line(share, 1), Line(share, 2)
    client = await started(dut, down=down, up=up)
    reference = ReferenceTsu(config(), 0)
    for number in range(8):
        psi, mode = some_psi(20 + number), modes()[0]
        tag, total = await client.load(psi, 300, mode)
        assert total == draft_law(psi, config(), mode).total
        second = client.put_draw(77)
        await client.good(second, Opcode.DRAW)
        await client.check(reference, psi, 300, mode, tag=tag, what=f"psi {number}, LOAD")
        await client.check(reference, psi, 77, mode, tag=second, what=f"psi {number}, DRAW")
    assert min(down.damaged, up.damaged) > 3, "the line did no damage"
    assert client.host.refused, "the device refused nothing"


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def a_host_that_stops_reading_stops_nothing(dut):
    """Without credits the device sends its window and waits; RESET gets through, and everything starts anew."""
    client = await started(dut)
    psi, mode = some_psi(40), modes()[0]
    tag, _ = await client.load(psi, 0, mode)
    await Timer(200, "us")  # until every frame so far has its credit
    client.host.mute(True)
    frames = command_frames(draw_command(count=5000, tag=tag).tolist(), sequence=len(client.host._frames))
    client.host._frames += frames
    client.host._next = len(client.host._frames)
    for frame in frames:
        await client.host._write(frame)
    await Timer(6, "ms")
    came = sum(len(rows) for rows in client.host.draws.values())
    assert 0 < came < 5000, f"{came} draws without credits"
    await Timer(1, "ms")
    assert came == sum(len(rows) for rows in client.host.draws.values()), "the device overran its window"
    client.host.mute(False)
    await client.host.open()
    tag, total = await client.load(psi, 60, mode)
    assert total == draft_law(psi, config(), mode).total
    await client.check(ReferenceTsu(config(), 0), psi, 60, mode, tag=tag, what="after RESET")


@cocotb.test(timeout_time=200, timeout_unit="ms")
async def reset_in_the_middle_of_everything(dut):
    """RESET with half a command taken, draws owed and a frame on the line: state of power-on, stream of seed 0."""
    client = await started(dut)
    psi, mode = some_psi(50), modes()[0]
    for wait_us in (30, 111, 333):
        tag, _ = await client.load(psi, 2000, mode)
        client.host.put([0x0102_0101, 40, 40])  # half a LOAD
        await Timer(wait_us, "us")
        client.host.mute(True)
        await Timer(300, "us")
        client.host.mute(False)
        await client.host.open()
        tag = client.put_draw(1)
        await client.host.wait(lambda: client.host.statuses, what="status")
        assert client.host.statuses.popleft() == (tag, Opcode.DRAW, Status.NO_PSI, 0)
        tag, _ = await client.load(psi, 20, mode)
        await client.check(ReferenceTsu(config(), 0), psi, 20, mode, tag=tag, what="after RESET")
