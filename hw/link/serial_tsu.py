# SPDX-License-Identifier: Apache-2.0
"""A TSU on a serial line."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect

from hw.spec.config import TsuConfig
from hw.spec.frames import FrameType
from hw.tsu.core import TsuCore

from .baud import BitTime
from .frame_receiver import FrameReceiver
from .frame_sender import FrameSender
from .uart_receiver import UartReceiver
from .uart_transmitter import UartTransmitter


class SerialTsu(wiring.Component):
    """`TsuCore` behind the frames of hw.spec.frames.

    Whatever comes over the line, a word reaches the core only as part of a frame whose CRC is good and whose number
    is the next one. RESET works whatever core and link are doing. The device never waits for a time to pass: after a
    loss it is the host that asks again.

    Parameters
    ----------
    config : TsuConfig
    clk_hz, baud : int
        Clock of the `sync` domain and rate of the line.
    receive_pages, send_pages : int
        Pages of 256 bytes of `FrameReceiver` and `FrameSender`.

    Members
    -------
    rx : In(1), tx : Out(1)      the line; asynchronous and registered
    alarm : Out(1)               of the health tests, for a lamp; the host finds it in every DRAWS frame
    Reset        a delimiter and PONG 0 are sent
    Raises       SpecError: a parameter is outside its range, or the clock does not suit the rate
    """

    rx: In(1)
    tx: Out(1, init=1)
    alarm: Out(1)

    def __init__(
        self, *, config: TsuConfig, clk_hz: int, baud: int, receive_pages: int = 2, send_pages: int = 4
    ) -> None:
        super().__init__()
        self._bit_time = BitTime(clk_hz=clk_hz, baud=baud)
        self._core = TsuCore(config=config)
        self._receiver = FrameReceiver(pages=receive_pages)
        self._sender = FrameSender(config=config, pages=send_pages, room_bits=(receive_pages - 1).bit_length())

    def elaborate(self, platform: object) -> Module:
        m = Module()
        core, receiver, sender = self._core, self._receiver, self._sender
        m.submodules.uart_receiver = uart_receiver = UartReceiver(bit_time=self._bit_time)
        m.submodules.uart_transmitter = uart_transmitter = UartTransmitter(bit_time=self._bit_time)
        # The line itself goes on: a byte that is half sent is sent to its end.
        restart = Signal()
        m.submodules.core = ResetInserter(restart)(core)
        m.submodules.receiver = ResetInserter(restart)(receiver)
        m.submodules.sender = ResetInserter(restart)(sender)
        m.d.sync += restart.eq(receiver.control_stb & (receiver.control_type == FrameType.RESET))

        connect(m, receiver.o_command, core.i_command)
        connect(m, core.o_status, sender.i_status)
        connect(m, core.o_draw, sender.i_draw)
        connect(m, sender.o_byte, uart_transmitter.i_byte)
        m.d.comb += [
            uart_receiver.pin.eq(self.rx),
            self.tx.eq(uart_transmitter.pin),
            receiver.byte.eq(uart_receiver.byte),
            receiver.byte_stb.eq(uart_receiver.byte_stb),
            receiver.framing_stb.eq(uart_receiver.framing_stb),
            core.register_address.eq(sender.register_address),
            sender.register_data.eq(core.register_data),
            self.alarm.eq(core.alarm),
            sender.alarm.eq(core.alarm),
        ]
        names = ("control_stb", "control_type", "argument", "granted_stb", "error_stb", "error", "expected", "room")
        m.d.comb += [getattr(sender, name).eq(getattr(receiver, name)) for name in names]
        return m
