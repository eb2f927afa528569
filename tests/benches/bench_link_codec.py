# SPDX-License-Identifier: Apache-2.0
"""CRC unit, COBS decoder and encoder on the RTL: published values, then random packets against the Python codec."""

import random
from binascii import crc32
from functools import partial
from pathlib import Path

import cocotb
from amaranth.hdl import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from cocotb.triggers import RisingEdge

from hw.link.cobs_decoder import CobsDecoder
from hw.link.cobs_encoder import CobsEncoder
from hw.link.crc32 import Crc32
from hw.spec.frames import CRC_CHECK, cobs_encode
from sim.bench_file import load_module
from sim.bfm import cycles, start

_SUPPORT = load_module(Path(__file__).with_name("support.py"))

ASCENDING = bytes(range(1, 256))
EXAMPLES = {
    "00": "01 01",
    "00 00": "01 01 01",
    "00 11 00": "01 02 11 01",
    "11 22 00 33": "03 11 22 02 33",
    "11 22 33 44": "05 11 22 33 44",
    "11 00 00 00": "02 11 01 01 01",
    ASCENDING[:254].hex(): "ff" + ASCENDING[:254].hex(),
    "00" + ASCENDING[:254].hex(): "01 ff" + ASCENDING[:254].hex(),
    ASCENDING.hex(): "ff" + ASCENDING[:254].hex() + "02 ff",
    ASCENDING[1:].hex() + "00": "ff" + ASCENDING[1:].hex() + "01 01",
    ASCENDING[2:].hex() + "00 01": "fe" + ASCENDING[2:].hex() + "02 01",
}
"""The eleven examples of the Wikipedia article on COBS; the encoder takes those of up to 254 bytes."""


class Codec(wiring.Component):
    """The three units side by side; the encoder writes a memory that can be read."""

    crc_clear_stb: In(1)
    crc_byte: In(8)
    crc_byte_stb: In(1)
    crc_drain: In(1)
    crc_busy: Out(1)
    crc_result: Out(8)
    crc_good: Out(1)
    decoder_byte: In(8)
    decoder_byte_stb: In(1)
    decoder_data: Out(8)
    decoder_data_stb: Out(1)
    decoder_end_stb: Out(1)
    decoder_cut: Out(1)
    encoder_data: In(8)
    encoder_data_stb: In(1)
    encoder_end_stb: In(1)
    encoder_done_stb: Out(1)
    read_address: In(8)
    read_data: Out(8)

    def __init__(self, *, bits_per_cycle):
        super().__init__()
        self._bits = bits_per_cycle

    def elaborate(self, platform):
        m = Module()
        m.submodules.crc = crc = Crc32(bits_per_cycle=self._bits)
        m.submodules.decoder = decoder = CobsDecoder()
        m.submodules.encoder = encoder = CobsEncoder()
        m.submodules.memory = memory = Memory(shape=unsigned(8), depth=256, init=[])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [
            crc.clear_stb.eq(self.crc_clear_stb),
            crc.byte.eq(self.crc_byte),
            crc.byte_stb.eq(self.crc_byte_stb),
            crc.drain.eq(self.crc_drain),
            self.crc_busy.eq(crc.busy),
            self.crc_result.eq(crc.crc_byte),
            self.crc_good.eq(crc.good),
            write.addr.eq(encoder.address),
            write.data.eq(encoder.byte),
            write.en.eq(encoder.write_stb),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        for unit, part, inputs in (
            (decoder, "decoder", ("byte", "byte_stb")),
            (encoder, "encoder", ("data", "data_stb", "end_stb")),
        ):
            m.d.comb += [getattr(unit, name).eq(getattr(self, f"{part}_{name}")) for name in inputs]
        m.d.comb += [
            getattr(self, f"decoder_{name}").eq(getattr(decoder, name))
            for name in ("data", "data_stb", "end_stb", "cut")
        ]
        m.d.comb += self.encoder_done_stb.eq(encoder.done_stb)
        return m


TOPLEVELS = {f"bits-{bits}": partial(Codec, bits_per_cycle=bits) for bits in (1, 2, 8)}


async def started(dut) -> None:
    for name in (
        "crc_clear_stb",
        "crc_byte_stb",
        "crc_drain",
        "decoder_byte_stb",
        "encoder_data_stb",
        "encoder_end_stb",
    ):
        getattr(dut, name).value = 0
    await start(dut)


async def absorb(dut, byte: int, *, drain: int = 0) -> int:
    """One byte into the CRC unit; the lowest byte of the CRC before it."""
    await RisingEdge(dut.clk)
    result = int(dut.crc_result.value)
    dut.crc_byte.value, dut.crc_byte_stb.value, dut.crc_drain.value = byte, 1, drain
    await RisingEdge(dut.clk)
    dut.crc_byte_stb.value = 0
    for _ in range(10):
        await RisingEdge(dut.clk)
        if dut.crc_busy.value == 0:
            return result
    raise AssertionError("the CRC unit stays busy")


async def crc_of(dut, message: bytes) -> int:
    """Clear, absorb, shift the CRC out."""
    dut.crc_clear_stb.value = 1
    await RisingEdge(dut.clk)
    dut.crc_clear_stb.value = 0
    for byte in message:
        await absorb(dut, byte)
    crc = [await absorb(dut, 0xA5, drain=1) for _ in range(4)]
    return int.from_bytes(bytes(crc), "little")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def crc_check_value_and_random_messages(dut):
    """0xCBF43926 for 123456789; then messages of 0 to 40 bytes against binascii."""
    await started(dut)
    assert await crc_of(dut, b"123456789") == CRC_CHECK
    rng = random.Random(1)
    for size in range(41):
        message = rng.randbytes(size)
        assert await crc_of(dut, message) == crc32(message), f"{size} bytes"


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def a_message_with_its_crc_is_good(dut):
    """And with any bit of it flipped it is not."""
    await started(dut)
    whole = b"123456789" + CRC_CHECK.to_bytes(4, "little")
    for flip in (None, *range(0, 8 * len(whole), 7)):
        message = bytearray(whole)
        if flip is not None:
            message[flip // 8] ^= 1 << flip % 8
        dut.crc_clear_stb.value = 1
        await RisingEdge(dut.clk)
        dut.crc_clear_stb.value = 0
        for byte in message:
            await absorb(dut, byte)
        assert int(dut.crc_good.value) == (flip is None), f"bit {flip}"


async def decode(dut, encoded: bytes, *, gaps: random.Random | None = None) -> tuple[bytes, bool]:
    """Bytes that come out for these and a delimiter, and whether the last block was cut."""
    found = bytearray()
    for byte in (*encoded, 0):
        if gaps is not None:
            await cycles(dut, gaps.randrange(3))
        dut.decoder_byte.value, dut.decoder_byte_stb.value = byte, 1
        await RisingEdge(dut.clk)
        if dut.decoder_data_stb.value == 1:
            found.append(int(dut.decoder_data.value))
        assert int(dut.decoder_end_stb.value) == (byte == 0)
        cut = bool(dut.decoder_cut.value)
        dut.decoder_byte_stb.value = 0
        dut.decoder_byte.value = 0xEE
    return bytes(found), cut


async def encode(dut, data: bytes) -> bytes:
    """What the encoder leaves in memory, up to the delimiter."""
    for byte in data:
        dut.encoder_data.value, dut.encoder_data_stb.value = byte, 1
        await RisingEdge(dut.clk)
    dut.encoder_data_stb.value, dut.encoder_end_stb.value = 0, 1
    await RisingEdge(dut.clk)
    dut.encoder_end_stb.value = 0
    await RisingEdge(dut.clk)
    assert dut.encoder_done_stb.value == 1
    found = bytearray()
    for address in range(256):
        dut.read_address.value = address
        await RisingEdge(dut.clk)
        if dut.read_data.value == 0:
            return bytes(found)
        found.append(int(dut.read_data.value))
    raise AssertionError("no delimiter was written")


@cocotb.test(timeout_time=5, timeout_unit="ms")
async def published_cobs_examples(dut):
    """Decoded all, encoded where they fit a frame."""
    await started(dut)
    for data, encoded in ((bytes.fromhex(a), bytes.fromhex(b)) for a, b in EXAMPLES.items()):
        assert await decode(dut, encoded) == (data, False)
        if len(data) <= 254:
            assert await encode(dut, data) == encoded


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def random_packets_and_cut_ones(dut):
    """300 packets with many zeros, both ways; a packet that ends early is flagged and the next one is good."""
    await started(dut)
    rng = random.Random(4)
    for _ in range(300):
        data = bytes(rng.choice((0, rng.randrange(256))) for _ in range(rng.choice((0, 1, 2, 10, 60))))
        encoded = cobs_encode(data)
        assert await encode(dut, data) == encoded
        last_code = 1 + max((i for i, byte in enumerate(data) if byte == 0), default=-1)
        if last_code < len(encoded) - 1:
            assert (await decode(dut, encoded[:-1]))[1], "a cut block passes"
        assert await decode(dut, encoded, gaps=rng) == (data, False)
