# SPDX-License-Identifier: Apache-2.0
"""AXI benches: bus models of cocotbext-axi, the rules of the channels, and a whole TSU behind AXI ports.

cocotbext-axi is imported where its models are made: the runner reads bench files for their tops, without a simulator.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge

from host.psi.schema import Psi
from host.tsu.lowering import draw_command, load_command, lower, seed_command, table_command, weight_table
from hw.spec.commands import Opcode, Status, WeightMode
from hw.spec.config import TsuConfig
from sim.bfm import CLOCK_NS, random_stalls

CHANNELS = {
    "aw": ("awvalid", "awready", ("awaddr",)),
    "w": ("wvalid", "wready", ("wdata", "wstrb")),
    "b": ("bvalid", "bready", ("bresp",)),
    "ar": ("arvalid", "arready", ("araddr",)),
    "r": ("rvalid", "rready", ("rdata", "rresp")),
}
"""Valid, ready and payload of the channels of AXI4-Lite."""

OKAY, SLVERR, DECERR = 0, 2, 3
"""BRESP and RRESP, from the AXI specification."""

PAUSE = 0.5
"""Share of the cycles in which a paused channel does not move."""


def pauses(seed: int) -> Iterator[bool]:
    """A pause pattern; channels of one test take different seeds."""
    return random_stalls(PAUSE, seed=seed)


def axi_lite_master(dut: Any, clock: Any, reset: Any, *, low_active: bool, paused: Iterable[str] = ()) -> Any:
    """The AXI4-Lite master of cocotbext-axi on the ports `s_axil_*`, with pauses on some channels."""
    from cocotbext.axi import AxiLiteBus, AxiLiteMaster

    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), clock, reset, reset_active_level=not low_active)
    channels = lite_channels(master)
    for number, name in enumerate(paused):
        channels[name].set_pause_generator(pauses(100 + number))
    return master


def lite_channels(master: Any) -> dict[str, Any]:
    """The five channels of a master by name."""
    write, read = master.write_if, master.read_if
    return {
        "aw": write.aw_channel,
        "w": write.w_channel,
        "b": write.b_channel,
        "ar": read.ar_channel,
        "r": read.r_channel,
    }


def stream_source(dut: Any, prefix: str, clock: Any, reset: Any, *, low_active: bool, paused: bool) -> Any:
    """The AXI4-Stream source of cocotbext-axi on the ports `<prefix>_*`."""
    from cocotbext.axi import AxiStreamBus, AxiStreamSource

    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, prefix), clock, reset, reset_active_level=not low_active)
    if paused:
        source.set_pause_generator(pauses(1))
    return source


def stream_sink(dut: Any, prefix: str, clock: Any, reset: Any, *, low_active: bool, paused: bool) -> Any:
    """The AXI4-Stream sink of cocotbext-axi on the ports `<prefix>_*`."""
    from cocotbext.axi import AxiStreamBus, AxiStreamSink

    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, prefix), clock, reset, reset_active_level=not low_active)
    if paused:
        sink.set_pause_generator(pauses(len(prefix)))
    return sink


def watch_lite(dut: Any, clock: Any, in_reset: Any) -> None:
    """Check the channels that the slave drives."""
    for name in ("b", "r"):
        valid, ready, payload = CHANNELS[name]
        _watch(dut, clock, in_reset, *(f"s_axil_{signal}" for signal in (valid, ready, *payload)))


def watch_stream(dut: Any, prefix: str, clock: Any, in_reset: Any, *payload: str) -> None:
    """Check a stream that the design drives."""
    _watch(dut, clock, in_reset, *(f"{prefix}_{name}" for name in ("tvalid", "tready", *payload)))


def _watch(dut: Any, clock: Any, in_reset: Any, valid: str, ready: str, *payload: str) -> None:
    """An offer stays, with the same payload, until it is taken or the design is reset; none is made in a reset."""

    async def run() -> None:
        offered, was_reset = None, False
        while True:
            await RisingEdge(clock)
            offer = getattr(dut, valid).value == 1
            if in_reset():
                assert not (was_reset and offer), f"{valid} in a reset"
                offered, was_reset = None, True
                continue
            was_reset = False
            values = tuple(int(getattr(dut, name).value) for name in payload) if offer else None
            if offered is not None:
                assert offer, f"{valid} fell before {ready} came"
                assert values == offered, f"{payload} changed from {offered} to {values} while {ready} was low"
            offered = values if offer and getattr(dut, ready).value == 0 else None

    cocotb.start_soon(run())


def words_to_bytes(words: Iterable[int]) -> bytes:
    """Words as they lie on a 32-bit stream: little-endian."""
    values = [int(word) for word in words]
    return struct.pack(f"<{len(values)}I", *values)


class AxiTsuDriver:
    """A TSU behind AXI ports: commands, statuses and draws by streams, registers beside them.

    Parameters
    ----------
    dut : cocotb handle
    config : TsuConfig
    paused : names out of `PAUSABLE`
    """

    PAUSABLE = ("s_axil", "s_axis_command", "m_axis_status", "m_axis_draw")

    def __init__(self, dut: Any, config: TsuConfig, *, paused: Iterable[str] = ()) -> None:
        self.dut, self.config = dut, config
        paused = tuple(paused)
        dut.aresetn.value = 0
        signals = (dut.aclk, dut.aresetn)
        lite = tuple(CHANNELS) if "s_axil" in paused else ()
        self.lite = axi_lite_master(dut, *signals, low_active=True, paused=lite)
        command, status, draw = self.PAUSABLE[1:]
        self.source = stream_source(dut, command, *signals, low_active=True, paused=command in paused)
        self.statuses = stream_sink(dut, status, *signals, low_active=True, paused=status in paused)
        self.draws = stream_sink(dut, draw, *signals, low_active=True, paused=draw in paused)

        def in_reset() -> bool:
            return bool(dut.aresetn.value == 0)

        watch_lite(dut, dut.aclk, in_reset)
        watch_stream(dut, status, dut.aclk, in_reset, "tdata", "tkeep", "tlast")
        watch_stream(dut, draw, dut.aclk, in_reset, "tdata", "tkeep", "tlast", "tuser")
        self.position = 0
        self._tag = 0

    async def cycles(self, count: int) -> None:
        """Wait for `count` rising edges."""
        for _ in range(count):
            await RisingEdge(self.dut.aclk)

    async def start(self) -> None:
        """Start the clock and end the reset."""
        Clock(self.dut.aclk, CLOCK_NS, unit="ns").start()
        await self.cycles(3)
        self.dut.aresetn.value = 1
        await self.cycles(1)

    async def reset(self) -> None:
        """Reset by `aresetn`: what was offered or on its way is forgotten, by the bus models too."""
        self.dut.aresetn.value = 0
        await self.cycles(3)
        for model in (self.source, self.statuses, self.draws):
            model.clear()
        self.dut.aresetn.value = 1
        await self.cycles(1)
        self.position = 0

    async def write(self, offset: int, value: int, *, expected: int = OKAY) -> None:
        """Write a whole register; the response must be the expected one."""
        response = await self.lite.write(offset, struct.pack("<I", value))
        assert response.resp == expected, f"write to {offset:#x}: response {response.resp!r}, expected {expected}"

    async def read(self, offset: int, *, expected: int = OKAY) -> int:
        """Read a whole register; the response must be the expected one."""
        response = await self.lite.read(offset, 4)
        assert response.resp == expected, f"read of {offset:#x}: response {response.resp!r}, expected {expected}"
        return int(struct.unpack("<I", response.data)[0])

    def next_tag(self) -> int:
        """A tag that differs from the ones before it."""
        self._tag = (self._tag + 0x1235) & 0xFFFF
        return self._tag

    def put(self, words: Iterable[int]) -> None:
        """Offer one command on the stream, without waiting."""
        self.source.send_nowait(words_to_bytes(words))

    async def status(self) -> tuple[int, int, int, int]:
        """Tag, opcode, code and total of the next status on the stream."""
        frame = await self.statuses.recv(compact=False)
        assert len(frame.tdata) == 16 and all(frame.tkeep), "a status is one transfer of 16 bytes"
        tag, opcode, code, zero, total = struct.unpack("<HBBIQ", frame.tdata)
        assert zero == 0
        return tag, opcode, code, total

    async def good_status(self, tag: int, opcode: Opcode) -> int:
        """The next status, which must be OK; returns the total."""
        found = await self.status()
        assert found[:3] == (tag, opcode, Status.OK), f"status {found}, expected OK of {opcode.name} {tag:#x}"
        return found[3]

    def load_words(self, psi: Psi, count: int, mode: str, *, tag: int) -> list[int]:
        """A LOAD; its table must be there."""
        lowered = lower(psi, self.config, WeightMode[mode.upper()])
        return [int(word) for word in load_command(lowered, count=count, tag=tag)]

    async def seed(self, seed: int) -> None:
        """Start the stream again."""
        tag = self.next_tag()
        self.put(seed_command(self.config, seed, tag=tag))
        await self.good_status(tag, Opcode.SEED)
        self.position = 0

    def put_load(self, psi: Psi, count: int, mode: str) -> int:
        """Offer a LOAD; returns its tag."""
        tag = self.next_tag()
        self.put(self.load_words(psi, count, mode, tag=tag))
        return tag

    def put_draw(self, count: int) -> int:
        """Offer a DRAW; returns its tag."""
        tag = self.next_tag()
        self.put(draw_command(count=count, tag=tag))
        return tag

    async def load(self, psi: Psi, count: int, mode: str) -> tuple[int, int]:
        """LOAD with its table; returns tag and total."""
        if mode == "table":
            tag = self.next_tag()
            self.put(table_command(weight_table(psi.scale, psi.tau, self.config.weight_bits), tag=tag))
            await self.good_status(tag, Opcode.TABLE)
        tag = self.put_load(psi, count, mode)
        return tag, await self.good_status(tag, Opcode.LOAD)

    async def take(self, count: int, *, tag: int) -> list[tuple[int, int, int]]:
        """All draws of one command as (token, weight, spread); checks TKEEP, TLAST and TUSER."""
        if count == 0:
            return []
        frame = await self.draws.recv(compact=False)
        slots, lanes = len(frame.tdata) // 16, self.config.lanes
        beats = -(-(self.position + count) // lanes)
        assert slots == beats * lanes, f"TLAST behind {slots // lanes} beats, expected {beats}"
        assert set(frame.tuser) == {tag}, f"TUSER {set(frame.tuser)}, expected {tag:#x}"
        rows = []
        for slot in range(slots):
            keep = frame.tkeep[16 * slot : 16 * slot + 16]
            kept = self.position <= slot < self.position + count
            assert keep == [int(kept)] * 16, f"TKEEP {keep} of slot {slot}, expected {int(kept)}"
            if kept:
                token, spread, weight = struct.unpack_from("<IIQ", frame.tdata, 16 * slot)
                assert (token >> 31) == (spread > 1) or spread == 1, "the tail bit and the spread differ"
                rows.append((token & 0x7FFF_FFFF, weight, spread))
        self.position = (self.position + count) % lanes
        return rows
