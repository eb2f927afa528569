# SPDX-License-Identifier: Apache-2.0
"""Bit times of the UART, and the parameters that the link refuses."""

import gc
from fractions import Fraction

import pytest

from hw.link.baud import ERROR_MAX, BitTime
from hw.link.crc32 import Crc32
from hw.link.frame_receiver import FrameReceiver
from hw.link.page_sender import PageSender
from hw.link.serial_tsu import SerialTsu
from hw.spec.config import PRESETS
from hw.spec.errors import SpecError

pytestmark = pytest.mark.filterwarnings("ignore::amaranth.hdl.UnusedElaboratable")


@pytest.fixture(autouse=True)
def refused_components_are_collected():
    """Their warnings come when they are collected: here, and not in another test."""
    yield
    gc.collect()


LINES = [(48, 12_000_000), (100, 12_000_000), (100, 3_000_000), (12, 3_000_000), (25, 115_200), (12, 1_000_000)]


@pytest.mark.parametrize("clk_mhz, baud", LINES)
def test_bit_time_is_near_the_rate(clk_mhz, baud):
    bits = BitTime(clk_hz=clk_mhz * 1_000_000, baud=baud)
    cycles = bits.cycles + Fraction(bits.fraction, 1 << bits.fraction_bits)
    assert abs(cycles * baud / (clk_mhz * 1_000_000) - 1) <= ERROR_MAX


def test_fraction_bits_only_where_needed():
    assert BitTime(clk_hz=48_000_000, baud=12_000_000).fraction_bits == 0
    assert BitTime(clk_hz=100_000_000, baud=12_000_000).fraction_bits > 0


@pytest.mark.parametrize(
    "clk_hz, baud", [(48_000_000, 12_000_001), (47_999_999, 12_000_000), (48_000_000, 0), (0, 9600)]
)
def test_rates_are_checked(clk_hz, baud):
    with pytest.raises(SpecError):
        BitTime(clk_hz=clk_hz, baud=baud)


@pytest.mark.parametrize("pages", [1, 3, 128])
def test_pages_are_checked(pages):
    line = {"config": PRESETS["tiny"], "clk_hz": 48_000_000, "baud": 12_000_000}
    with pytest.raises(SpecError):
        FrameReceiver(pages=pages)
    with pytest.raises(SpecError):
        PageSender(pages=pages)
    with pytest.raises(SpecError):
        SerialTsu(**line, receive_pages=pages)
    with pytest.raises(SpecError):
        SerialTsu(**line, send_pages=pages)


@pytest.mark.parametrize("bits", [0, 3, 16])
def test_crc_bits_are_checked(bits):
    with pytest.raises(SpecError):
        Crc32(bits_per_cycle=bits)
