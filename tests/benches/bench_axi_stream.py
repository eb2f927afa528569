# SPDX-License-Identifier: Apache-2.0
"""AXI4-Stream adapters on the RTL, between cocotbext-axi and the project's own stream models."""

import random
from pathlib import Path

import cocotb
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from hw.axi.axi_stream import (
    AxiStreamInput,
    AxiStreamOutput,
    axi_stream_input_ports,
    axi_stream_layout,
    axi_stream_output_ports,
    connect_flat,
)
from hw.tsu.layouts import command_layout
from sim.bench_file import load_module
from sim.bfm import StreamSink, StreamSource, cycles, start

_HERE = Path(__file__)
_DRIVER, _SUPPORT = load_module(_HERE.with_name("axi_driver.py")), load_module(_HERE.with_name("support.py"))
COMMAND, DRAW = "s_axis_command", "m_axis_draw"
BYTES, USER_BITS = 6, 5
LAYOUT = axi_stream_layout(byte_count=BYTES, user_bits=USER_BITS)


class Adapters(wiring.Component):
    """Both adapters side by side."""

    def __init__(self, source: type = AxiStreamInput, sink: type = AxiStreamOutput) -> None:
        self._source, self._sink = source, sink
        super().__init__(
            axi_stream_input_ports(COMMAND)
            | axi_stream_output_ports(DRAW, byte_count=BYTES, user_bits=USER_BITS)
            | {
                "o_command": Out(stream.Signature(command_layout())),
                "flush": In(1),
                "i_transfer": In(stream.Signature(LAYOUT)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.source = source = self._source(prefix=COMMAND)
        m.submodules.sink = sink = self._sink(prefix=DRAW, byte_count=BYTES, user_bits=USER_BITS)
        connect_flat(m, self, source, COMMAND)
        connect_flat(m, self, sink, DRAW)
        connect(m, source.o_command, flipped(self.o_command))
        connect(m, flipped(self.i_transfer), sink.i)
        m.d.comb += source.flush.eq(self.flush)
        return m


TOPLEVELS = {"adapters": Adapters}

STALLED = {"none": (), "in": ("in",), "out": ("out",), "both": ("in", "out")}


def command(rng) -> list[int]:
    return [rng.getrandbits(32) for _ in range(rng.choice([1, 2, 3, 9, 30]))]


def expected(words) -> list[int]:
    """Payloads of one command: the word, and above it `last`."""
    return [word | (index == len(words) - 1) << 32 for index, word in enumerate(words)]


async def source_started(dut, stalled):
    """Source of commands, and a sink behind the adapter."""
    dut.flush.value = 0
    source = _DRIVER.stream_source(dut, COMMAND, dut.clk, dut.rst, low_active=False, paused="in" in stalled)
    sink = StreamSink(dut, "o_command", stalls=_SUPPORT.stalls("random" if "out" in stalled else "none", 3))
    await start(dut)
    return source, sink


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stalled=list(STALLED))
async def every_word_arrives_once(dut, stalled):
    """TLAST becomes `last`, nowhere else; words are little-endian."""
    source, sink = await source_started(dut, STALLED[stalled])
    rng = random.Random(11)
    commands = [command(rng) for _ in range(40)]
    for words in commands:
        source.send_nowait(_DRIVER.words_to_bytes(words))
    payloads = [payload for words in commands for payload in expected(words)]
    _SUPPORT.check(await sink.read(len(payloads)), payloads, "commands")
    await cycles(dut, 50)
    assert not sink.taken


@cocotb.test(timeout_time=1, timeout_unit="ms")
async def words_come_at_full_rate(dut):
    """Without pauses there is a word in every cycle."""
    source, sink = await source_started(dut, ())
    source.send_nowait(_DRIVER.words_to_bytes(range(200)))
    sink.want(200)
    await cycles(dut, 206)
    assert len(sink.taken) >= 200, f"{len(sink.taken)} words in 206 cycles"


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stalled=list(STALLED))
async def flush_drops_the_rest_of_a_command(dut, stalled):
    """After a flush at any moment the next word that comes is the first of a whole command."""
    source, sink = await source_started(dut, STALLED[stalled])
    rng = random.Random(12)
    for round_number in range(60):
        source.send_nowait(_DRIVER.words_to_bytes([0xDEAD0000 + i for i in range(12)]))
        sink.want(1 << 30)
        await cycles(dut, rng.randrange(30))
        sink.refuse()
        dut.flush.value = 1
        sink.stop()  # the flush withdraws what is on offer
        dut.o_command__ready.value = 0
        await cycles(dut, 1)
        dut.flush.value = 0
        stalls = _SUPPORT.stalls("random" if "out" in STALLED[stalled] else "none", round_number)
        sink = StreamSink(dut, "o_command", stalls=stalls)
        words = command(rng)
        source.send_nowait(_DRIVER.words_to_bytes(words))
        found = await sink.read(1)
        if found[0] == 0xDEAD0000:  # the flush came before the first word of the command
            found += await sink.read(11)
            assert found == expected([0xDEAD0000 + i for i in range(12)]), "a command lost its head"
            found = await sink.read(1)
        found += await sink.read(len(words) - 1)
        _SUPPORT.check(found, expected(words), f"command after flush {round_number}")


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stalled=list(STALLED))
async def reset_between_the_words_of_a_command(dut, stalled):
    """After a reset the next word is the first of a command, whatever came before."""
    source, sink = await source_started(dut, STALLED[stalled])
    for taken in range(1, 9):
        source.send_nowait(_DRIVER.words_to_bytes(range(100, 120)))
        await sink.read(taken)
        dut.rst.value = 1
        await cycles(dut, 2)
        source.clear()
        sink.taken.clear()
        dut.rst.value = 0
        await cycles(dut, 1)
        source.send_nowait(_DRIVER.words_to_bytes([taken, 7]))
        _SUPPORT.check(await sink.read(2), [taken, 7 | 1 << 32], "after the reset")


@cocotb.test(timeout_time=1, timeout_unit="ms")
@cocotb.parametrize(stalled=list(STALLED))
async def transfers_leave_as_they_came(dut, stalled):
    """TDATA, TKEEP, TLAST and TUSER, null bytes included."""
    dut.flush.value = 0
    stalls = _SUPPORT.stalls("random" if "in" in STALLED[stalled] else "none", 4)
    source = StreamSource(dut, "i_transfer", stalls=stalls)
    paused = "out" in STALLED[stalled]
    sink = _DRIVER.stream_sink(dut, DRAW, dut.clk, dut.rst, low_active=False, paused=paused)
    payload = ("tdata", "tkeep", "tlast", "tuser")
    _DRIVER.watch_stream(dut, DRAW, dut.clk, lambda: bool(dut.rst.value == 1), *payload)
    await start(dut)
    rng = random.Random(13)
    frames = []
    for _ in range(60):
        beats = rng.choice([1, 1, 2, 7])
        frames.append(
            [
                {
                    "data": rng.getrandbits(8 * BYTES),
                    "keep": rng.getrandbits(BYTES),
                    "last": int(beat == beats - 1),
                    "user": rng.getrandbits(USER_BITS),
                }
                for beat in range(beats)
            ]
        )
    source.put(_SUPPORT.pack(LAYOUT, beat) for frame in frames for beat in frame)
    for number, frame in enumerate(frames):
        found = await sink.recv(compact=False)
        assert bytes(found.tdata) == b"".join(beat["data"].to_bytes(BYTES, "little") for beat in frame), number
        assert found.tkeep == [beat["keep"] >> i & 1 for beat in frame for i in range(BYTES)], number
        assert found.tuser == [beat["user"] for beat in frame for _ in range(BYTES)], number
