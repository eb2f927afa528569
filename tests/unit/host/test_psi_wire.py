# SPDX-License-Identifier: Apache-2.0
"""The wire format against bytes worked out by hand, a bitwise CRC-32, and every malformation."""

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.psi.schema import Psi
from host.psi.wire import WireError, decode, encode, psi_bytes
from hw.spec.errors import SpecError
from hw.spec.psi_layout import PSI_BYTES_MAX, PSI_HEADER, PSI_HEADER_BYTES, psi_bytes_bound

EXAMPLE = Psi(
    ids=np.array([7, 12, 40], dtype=np.uint32),
    scores_q=np.array([127, -128, 5], dtype=np.int8),
    scale=0.5,
    zero_point=-2,
    tau=1.0,
    tail=0.25,
    vocab_size=100,
)

# By hand: gaps 7, 4, 27 take 17, 15 and 16 bits with r = 2, 3, 4. With r = 3 they are 1 111, 1 001, 0001 110
# (remainders least significant bit first), which fill the bytes 9F 38 from their least significant ends.
EXAMPLE_HEX = (
    "cf88 01 03 0300 640000 fe 0000003f 0000803f 0000803e"  # header
    "7f8005"  # score codes
    "9f38"  # id gaps
    "716d2c5e"  # CRC-32
)


def ref_crc32(data: bytes) -> int:
    """CRC-32 bit by bit: reflected polynomial 0xEDB88320, all ones in, inverted out."""
    crc = 0xFFFF_FFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB8_8320 if crc & 1 else 0)
    return crc ^ 0xFFFF_FFFF


def ref_gap_bytes(ids: list[int], rice_bits: int, padding: str = "0") -> bytes:
    """Golomb-Rice coded gaps through a text of bits."""
    text, previous = "", -1
    for token in ids:
        gap, previous = token - previous - 1, token
        remainder = format(gap % (1 << rice_bits), f"0{rice_bits}b")[::-1] if rice_bits else ""
        text += "0" * (gap >> rice_bits) + "1" + remainder
    text += padding * (-len(text) % 8)
    return bytes(int(text[i : i + 8][::-1], 2) for i in range(0, len(text), 8))


def ref_packet(**changes) -> bytes:
    """EXAMPLE's bytes with raw fields changed, and a good CRC."""
    raw = {
        "magic": b"\xcf\x88",
        "version": b"\x01",
        "rice_bits": b"\x03",
        "k": struct.pack("<H", 3),
        "vocab_size": struct.pack("<I", 100)[:3],
        "zero_point": struct.pack("b", -2),
        "scale": struct.pack("<f", 0.5),
        "tau": struct.pack("<f", 1.0),
        "tail": struct.pack("<f", 0.25),
        "scores_q": struct.pack("3b", 127, -128, 5),
        "gaps": ref_gap_bytes([7, 12, 40], 3),
    }
    body = b"".join({**raw, **changes}.values())
    return body + struct.pack("<I", ref_crc32(body))


@st.composite
def psis(draw: st.DrawFn) -> Psi:
    vocab_size = draw(st.sampled_from([1, 2, 3, 10, 500, 50_257, 151_936, 1 << 20]))
    k = draw(st.integers(1, min(vocab_size, 1024)))
    seed = draw(st.integers(0, 2**32))
    rng = np.random.Generator(np.random.PCG64(seed))
    floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
    tail = draw(st.one_of(st.just(0.0), floats.filter(lambda x: 2.0**-64 <= x <= 2.0**24)))
    return Psi(
        ids=np.sort(rng.choice(vocab_size, size=k, replace=False)).astype(np.uint32),
        scores_q=rng.integers(-128, 128, size=k, dtype=np.int8),
        scale=abs(draw(floats)),
        zero_point=draw(st.integers(-128, 127)),
        tau=draw(floats.filter(lambda x: x > 0)),
        tail=tail if k < vocab_size else 0.0,
        vocab_size=vocab_size,
    )


def test_header_fields_follow_each_other():
    offset = 0
    for field in PSI_HEADER:
        assert field.offset == offset
        offset += field.size
    assert offset == PSI_HEADER_BYTES


def test_golden_vector():
    data = bytes.fromhex(EXAMPLE_HEX)
    assert encode(EXAMPLE).hex() == data.hex()
    assert decode(data) == EXAMPLE
    assert ref_packet() == data
    assert ref_crc32(b"123456789") == 0xCBF4_3926  # the published check value of this CRC-32


@settings(max_examples=150, deadline=None, derandomize=True)
@given(psis())
def test_round_trip_and_size(psi):
    data = encode(psi)
    assert decode(data) == psi
    assert psi_bytes(psi) == len(data) <= psi_bytes_bound(psi.k, psi.vocab_size) <= PSI_BYTES_MAX
    rice_bits = data[3]
    section = data[PSI_HEADER_BYTES + psi.k : -4]
    sizes = {r: len(ref_gap_bytes(psi.ids.tolist(), r)) for r in range(rice_bits, 21)}
    assert section == ref_gap_bytes(psi.ids.tolist(), rice_bits)
    assert len(section) == min(sizes.values())


def test_size_bound_is_met_by_ids_at_the_end_of_the_vocabulary():
    psi = Psi(
        ids=np.arange(1024, dtype=np.uint32) + ((1 << 20) - 1024),
        scores_q=np.zeros(1024, dtype=np.int8),
        scale=1.0,
        zero_point=0,
        tau=1.0,
        tail=1.0,
        vocab_size=1 << 20,
    )
    assert psi_bytes(psi) == PSI_BYTES_MAX == 2586


def test_every_flipped_bit_is_refused():
    data = encode(EXAMPLE)
    for bit in range(8 * len(data)):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(WireError):
            decode(bytes(broken))


def test_every_truncation_and_extension_is_refused():
    data = encode(EXAMPLE)
    for size in range(len(data)):
        with pytest.raises(WireError):
            decode(data[:size])
    for extra in (b"\x00", b"\xff", data):
        with pytest.raises(WireError):
            decode(data + extra)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"magic": b"\xcf\x89"}, "magic = '0x89cf' .* expected 0x88cf"),
        ({"version": b"\x02"}, "version = 2 .* expected 1"),
        ({"rice_bits": b"\x15"}, r"rice_bits = 21 .* \[0, 20\]"),
        ({"k": b"\x00\x00"}, "length = "),
        ({"k": b"\x04\x00"}, "ids|length"),
        ({"k": b"\x02\x00"}, "length = "),
        ({"k": b"\x01\x04"}, "length = "),
        ({"vocab_size": b"\x02\x00\x00"}, "length = "),
        ({"vocab_size": b"\x28\x00\x00"}, "ids.* = 40 .* below vocab_size = 40"),
        ({"vocab_size": b"\x01\x00\x10"}, "vocab_size = 1048577 "),
        ({"scale": struct.pack("<f", -0.5)}, "scale = -0.5 "),
        ({"scale": struct.pack("<f", float("nan"))}, "scale = nan "),
        ({"scale": struct.pack("<f", -0.0)}, "encoding = "),
        ({"tau": struct.pack("<f", 0.0)}, "tau = 0.0 "),
        ({"tau": struct.pack("<f", float("inf"))}, "tau = inf "),
        ({"tail": struct.pack("<f", -1.0)}, "tail = -1.0 "),
        ({"tail": struct.pack("<f", 2.0**25)}, "tail = "),
        ({"tail": struct.pack("<f", 2.0**-65)}, "tail = "),
        ({"tail": struct.pack("<f", -0.0)}, "encoding = "),
        ({"gaps": ref_gap_bytes([7, 12, 40], 3, padding="1")}, "padding = "),
        ({"gaps": ref_gap_bytes([7, 12, 40], 3) + b"\x00"}, "length = "),
        ({"gaps": ref_gap_bytes([7, 12], 3)}, "ids.2. = .* a complete Golomb-Rice code"),
        ({"gaps": b"\x00\x00"}, "ids.0. = .* a complete Golomb-Rice code"),
        ({"gaps": b"\x9f\x80"}, "ids.2. = .* a complete Golomb-Rice code"),
        ({"gaps": ref_gap_bytes([7, 12, 40], 4), "rice_bits": b"\x04"}, "encoding = "),
        ({"gaps": ref_gap_bytes([7, 12, 100], 3)}, "length|ids"),
    ],
)
def test_malformed_packet_with_a_good_crc_is_refused(changes, message):
    with pytest.raises(WireError, match=message) as caught:
        decode(ref_packet(**changes))
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, SpecError)


def test_tail_without_tail_tokens_is_refused():
    packet = ref_packet(vocab_size=b"\x03\x00\x00", gaps=ref_gap_bytes([0, 1, 2], 0), rice_bits=b"\x00")
    with pytest.raises(WireError, match=r"tail = 0.25 .* expected 0"):
        decode(packet)
