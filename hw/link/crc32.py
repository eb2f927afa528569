# SPDX-License-Identifier: Apache-2.0
"""CRC-32 of IEEE 802.3."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.spec.errors import check_power_of_two

POLYNOMIAL = 0xEDB8_8320
"""Generator polynomial 0x04C11DB7, lowest power at the top: bytes come lowest bit first."""

GOOD_STATE = 0xDEBB_20E3
"""Where the register is after a message and its own CRC, whatever the message was."""


class Crc32(wiring.Component):
    """Absorbs bytes, lowest bit first; then shifts the CRC out, lowest byte first.

    Parameters
    ----------
    bits_per_cycle : int
        1, 2, 4 or 8. Up to 2 bits take one table of four inputs for each bit of the register.

    Members
    -------
    clear_stb : In(1)      start a message; not in a cycle with `busy` or `byte_stb`
    byte : In(8)           stable from `byte_stb` on until `busy` is low
    byte_stb : In(1)       absorb `byte`; not while `busy`
    drain : In(1)          with `byte_stb`, held as `byte` is: shift the next byte of the CRC into `crc_byte` instead
    busy : Out(1)          more bits of the byte are to come
    crc_byte : Out(8)      lowest byte of the CRC of what was absorbed
    good : Out(1)          what was absorbed ends with its own CRC
    Latency      8 / bits_per_cycle cycles from byte_stb to `crc_byte` and `good`
    Throughput   `bits_per_cycle` bits per cycle
    Golden       binascii.crc32
    Raises       SpecError: bits_per_cycle
    """

    clear_stb: In(1)
    byte: In(8)
    byte_stb: In(1)
    drain: In(1)
    busy: Out(1)
    crc_byte: Out(8)
    good: Out(1)

    def __init__(self, *, bits_per_cycle: int = 8) -> None:
        super().__init__()
        self._bits = check_power_of_two("bits_per_cycle", bits_per_cycle, 1, 8)
        self.latency_cycles = 8 // bits_per_cycle

    def elaborate(self, platform: object) -> Module:
        m = Module()
        state, bits = Signal(32, init=0xFFFF_FFFF), self.byte
        step = Signal()
        m.d.comb += [step.eq(self.byte_stb | self.busy), self.crc_byte.eq(~state[:8])]
        m.d.comb += self.good.eq(state == GOOD_STATE)
        if self.latency_cycles > 1:
            part = Signal(range(self.latency_cycles))
            m.d.comb += self.busy.eq(part != 0)
            with m.If(step):
                m.d.sync += part.eq(part + 1)
            bits = self.byte.word_select(part, self._bits)
        following = state
        for index in range(self._bits):
            feedback = Signal(name=f"feedback_{index}")
            m.d.comb += feedback.eq((following[0] ^ bits[index]) & ~self.drain)
            following = (following >> 1) ^ Mux(feedback, POLYNOMIAL, 0)
        with m.If(self.clear_stb):
            m.d.sync += state.eq(state.init)
        with m.Elif(step):
            m.d.sync += state.eq(following)
        return m
