# SPDX-License-Identifier: Apache-2.0
"""The host's end of a line without faults, in simulated time: one command at a time, an answer in no time."""

from collections.abc import Callable, Iterable

from hw.spec.frames import SEQUENCE_COUNT, Frame, FrameReader, FrameType, command_frames, is_behind

from .device import BoardDevice, BoardError

_PATIENCE_BITS = 40_000
"""Bit times after which a silent board is called dead."""


class LinkHost:
    """Talks to a `BoardDevice` as docs/reference/link.md has it; used to measure, and in tests.

    Every second frame of the device is acknowledged, half the smallest window that a device may have.

    Parameters
    ----------
    device : BoardDevice
    cycles_per_bit : int
        At least the clock cycles of a bit.

    """

    def __init__(self, device: BoardDevice, *, cycles_per_bit: int) -> None:
        self.device = device
        self._patience = cycles_per_bit * _PATIENCE_BITS
        self._reader = FrameReader()
        self.bytes_down = self.bytes_up = 0
        self._restart()

    def _restart(self) -> None:
        self.sent, self._limit = 0, 1  # command frames sent, and that may be sent
        self.due = self._credited = 0

    def open(self) -> None:
        """RESET; what the board said before is passed over."""
        self._send(b"\0" + Frame(type=FrameType.RESET).encode())
        self._restart()
        for found in iter(self._next_frame, None):
            if (found.type, found.sequence, found.tag) == (FrameType.PONG, 0, 0) and not self.device.waiting:
                self._take(found)
                return

    def ask(self, frame: Frame) -> Frame:
        """Send a PING or READ_REGISTER; the frame that answers it."""
        self._send(frame.encode())
        kind = FrameType.PONG if frame.type is FrameType.PING else FrameType.REGISTER
        return self.receive(lambda found: found.type is kind)[-1]

    def command(self, words: Iterable[int], *, until: Callable[[Frame], bool] | None = None) -> list[Frame]:
        """Send a command; every frame up to the one for which `until` holds (its STATUS if None), and its grants."""
        found: list[Frame] = []
        for frame in command_frames(words, sequence=self.sent):
            while self.sent == self._limit:
                found += self.receive(lambda came: came.type is FrameType.GRANT)
            self.sent = (self.sent + 1) % SEQUENCE_COUNT
            self._send(frame.encode())
        return found + self.receive(until or (lambda came: came.type is FrameType.STATUS))

    def receive(self, until: Callable[[Frame], bool]) -> list[Frame]:
        """Frames up to the one for which `until` holds."""
        found: list[Frame] = []
        while not found or not until(found[-1]):
            frame = self._next_frame()
            if self._take(frame):
                found.append(frame)
        return found

    def _send(self, data: bytes) -> None:
        """Queue bytes on the line; they go out as time passes."""
        self.bytes_down += len(data)
        self.device.queue(data)

    def _next_frame(self) -> Frame:
        """Run until a frame is complete, to the very cycle."""
        end = self.device.cycles + self._patience
        self.device.quiet = False
        while self.device.cycles < end and not self.device.quiet:
            data = self.device.run(cycles=end - self.device.cycles, quiet_cycles=self._patience, bytes_max=1)
            self.bytes_up += len(data)
            for found in self._reader.feed(data):
                if isinstance(found, Frame):
                    return found
        raise BoardError("the simulated board is silent")

    def _take(self, frame: Frame) -> bool:
        """Note what a frame says; whether it is a new one."""
        if frame.sequence != self.due:
            if is_behind(frame.sequence, self.due):
                return False
            raise BoardError(f"frame {frame.sequence} came from the simulated board, {self.due} was due")
        self.due = (self.due + 1) % SEQUENCE_COUNT
        if frame.type in (FrameType.PONG, FrameType.GRANT, FrameType.ERROR):
            limit = (frame.payload[0] + frame.payload[1]) % SEQUENCE_COUNT
            self._limit = self.sent if is_behind(limit, self.sent) else limit
        if (self.due - self._credited) % SEQUENCE_COUNT >= 2:
            self._credited = self.due
            self._send(Frame(type=FrameType.CREDIT, tag=self.due).encode())
        return True
