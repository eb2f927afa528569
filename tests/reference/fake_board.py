# SPDX-License-Identifier: Apache-2.0
"""A board in Python for tests of the host's driver: the rules of docs/reference/link.md around the compiled model.

`FakeDevice` is the device without a line and without time: bytes in, bytes out. `FakeBoard` serves one on a
pseudo-terminal. It shares the frame codec of hw.spec with the driver, and nothing of host.tsu.serial.
"""

import os
import random
import select
import threading
import tty
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from host.tsu.model import ModelTsu
from hw.spec.commands import Opcode, Status
from hw.spec.config import TsuConfig
from hw.spec.frames import (
    SEQUENCE_COUNT,
    DrawRecord,
    Frame,
    FrameReader,
    FrameType,
    LinkError,
    is_behind,
    pack_draws,
)
from hw.spec.registers import REGISTERS, constant_values


class Line:
    """Damages what passes: of each frame a bit is flipped, a byte lost or doubled, its end cut off, or it comes twice.

    Parameters
    ----------
    share : float
        Probability that a frame is damaged.
    seed : int
    """

    def __init__(self, share: float, seed: int) -> None:
        self.share, self._rng, self.passed, self.damaged = share, random.Random(seed), 0, 0
        self._rest = b""

    def __call__(self, data: bytes) -> bytes:
        *whole, self._rest = (self._rest + data).split(b"\0")
        return b"".join(self._pass(part + b"\0") for part in whole)

    def _pass(self, wire: bytes) -> bytes:
        self.passed += 1
        if self._rng.random() >= self.share:
            return wire
        self.damaged += 1
        out, place = bytearray(wire), self._rng.randrange(len(wire))
        match self._rng.randrange(6):
            case 0:
                out[place] ^= 1 << self._rng.randrange(8)
            case 1:
                del out[place]
            case 2:
                out.insert(place, out[place])
            case 3:
                del out[place:]
            case 4:
                out += wire
            case 5:
                out.clear()
        return bytes(out)


class FakeDevice:
    """The device's end of the link.

    Parameters
    ----------
    config : TsuConfig
    receive_pages, send_pages : int
        As those of the gateware.
    registers : dict of str to int
        Values that differ from those of `config`.
    """

    def __init__(
        self, config: TsuConfig, *, receive_pages: int = 2, send_pages: int = 4, registers: dict[str, int] | None = None
    ) -> None:
        self.config = config
        self._room_most, self._window = receive_pages - 1, send_pages
        values = constant_values(config) | (registers or {})
        self.registers = {REGISTERS[name].address: value for name, value in values.items()}
        self._model: ModelTsu | None = None
        self.resets = 0
        self.log: list[tuple[int, int, int]] = []  # opcode, tag and count of every command, in order
        self.executed: list[tuple[int, int, int]] = []  # opcode, total and count of the same
        self.alarm = False
        self.refuse_next_load: Status | None = None
        self.restart()

    def restart(self) -> None:
        """Power-on state."""
        if self._model is not None:
            self._model.close()
        self._model = ModelTsu(config=self.config, seed=0)
        self._reader = FrameReader()
        self._expected = 0  # next command frame
        self._words: list[int] = []
        self._spread = 1
        self._kept: deque[bytes] = deque()  # frames without credit, the last `_unsent` of them not yet sent
        self._unsent = 0
        self._sequence = 0
        self._due: deque[tuple[FrameType, int, bytes]] = deque()  # answers, statuses
        self._runs: deque[Iterator[tuple[int, bytes]]] = deque()  # draws that commands have asked for
        self.out = bytearray(b"\0")
        self._due.append((FrameType.PONG, 0, self._flow()))

    def close(self) -> None:
        """Release the model."""
        if self._model is not None:
            self._model.close()

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the host; what the device then sends."""
        for found in self._reader.feed(data):
            if isinstance(found, LinkError):
                self._answer(FrameType.ERROR, found)
            else:
                self._take(found)
            self._fill()
        self._fill()
        out, self.out = bytes(self.out), bytearray()
        return out

    def _take(self, frame: Frame) -> None:
        match frame.type:
            case FrameType.COMMAND | FrameType.COMMAND_PART:
                self._command(frame)
            case FrameType.CREDIT | FrameType.RESEND:
                ahead = (self._sequence - frame.tag) % SEQUENCE_COUNT
                if self._unsent <= ahead <= len(self._kept):
                    while len(self._kept) > ahead:
                        self._kept.popleft()
                if frame.type is FrameType.RESEND:
                    self._unsent = len(self._kept)
            case FrameType.READ_REGISTER:
                value = self.registers.get(frame.tag & 15, 0)
                self._due.append((FrameType.REGISTER, frame.tag, value.to_bytes(4, "little")))
            case FrameType.PING:
                self._answer(FrameType.PONG, frame.tag)
            case FrameType.RESET:
                self.resets += 1
                self.restart()
            case _:
                self._answer(FrameType.ERROR, LinkError.BAD_TYPE)

    def _flow(self) -> bytes:
        return bytes((self._expected % SEQUENCE_COUNT, self._room_most))

    def _answer(self, kind: FrameType, tag: int) -> None:
        self._due.append((kind, tag, b""))

    def _command(self, frame: Frame) -> None:
        if frame.sequence != self._expected:
            behind = is_behind(frame.sequence, self._expected)
            self._answer(FrameType.GRANT if behind else FrameType.ERROR, 0 if behind else LinkError.GAP)
            return
        self._expected = (self._expected + 1) % SEQUENCE_COUNT
        self._words += np.frombuffer(frame.payload, "<u4").tolist()
        if frame.type is FrameType.COMMAND:
            words, self._words = self._words, []
            self.execute(words)
        self._answer(FrameType.GRANT, 0)

    def execute(self, words: list[int]) -> None:
        """Run one command on the model; its status, and the draws that follow it."""
        opcode, tag = words[0] & 0xFF, words[0] >> 16
        if opcode == Opcode.LOAD and self.refuse_next_load is not None:
            self._model.command(np.array(words[:5], dtype=np.uint32))  # too short: the model drops its psi as well
            (status, total), self.refuse_next_load = (self.refuse_next_load, 0), None
        else:
            status, total = self._model.command(np.array(words, dtype=np.uint32))
        count = words[1] if opcode in (Opcode.LOAD, Opcode.DRAW) and status is Status.OK else 0
        self.log.append((opcode, tag, count))
        self.executed.append((opcode, total, count))
        if opcode == Opcode.LOAD and status is Status.OK:
            self._spread = (words[2] & 0x1F_FFFF) - (words[3] & 0x7FF)  # V - K
        self.status(tag, opcode, status, total)
        if count:
            draws = self._model.take(count)
            rows = list(zip(draws.tokens.tolist(), draws.weights.tolist(), draws.spreads.tolist(), strict=True))
            self._runs.append(self.runs(tag, rows, self._spread))

    def status(self, tag: int, opcode: int, status: int, total: int) -> None:
        """Send a STATUS."""
        self._due.append((FrameType.STATUS, tag, bytes((opcode, status)) + total.to_bytes(8, "little")))

    def runs(self, tag: int, rows: list[tuple[int, int, int]], spread: int) -> Iterator[tuple[int, bytes]]:
        """Tag and payload of each DRAWS frame of one command."""
        size = DrawRecord(config=self.config).frame_draws
        for low in range(0, len(rows), size):
            part = [(token, weight, tail > 1) for token, weight, tail in rows[low : low + size]]
            last = low + size >= len(rows)
            yield tag, pack_draws(self.config, part, spread=max(spread, 1), last=last, alarm=self.alarm)

    def _fill(self) -> None:
        """Make frames while the window has room, and send what was not sent."""
        while len(self._kept) < self._window and (made := self._next()) is not None:
            kind, tag, payload = made
            if kind in (FrameType.PONG, FrameType.GRANT, FrameType.ERROR):
                payload = self._flow()
            self._kept.append(Frame(type=kind, sequence=self._sequence, tag=tag, payload=payload).encode())
            self._sequence = (self._sequence + 1) % SEQUENCE_COUNT
            self._unsent += 1
        for wire in list(self._kept)[len(self._kept) - self._unsent :]:
            self.out += wire
        self._unsent = 0

    def _next(self) -> tuple[FrameType, int, bytes] | None:
        """The next frame that is due: answers and statuses go before draws."""
        if self._due:
            return self._due.popleft()
        while self._runs:
            for tag, payload in self._runs[0]:
                return FrameType.DRAWS, tag, payload
            self._runs.popleft()
        return None


class FakeBoard:
    """A device on a pseudo-terminal, in a thread.

    Parameters
    ----------
    device : FakeDevice
    down, up : callable or None
        What the line does to bytes to and from the device.

    Attributes
    ----------
    port : str
        Path of the pseudo-terminal.
    """

    def __init__(
        self,
        device: FakeDevice,
        *,
        down: Callable[[bytes], bytes] | None = None,
        up: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self.device, self._down, self._up = device, down, up
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._wake_read, self._wake_write = os.pipe()
        self.silent = self.power_cut = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """The port vanishes."""
        os.write(self._wake_write, b"x")
        self._thread.join(5)
        for handle in (self._master, self._slave, self._wake_read, self._wake_write):
            os.close(handle)
        self._master = -1

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._master, self._wake_read], [], [])
            if self._wake_read in ready:
                return
            data = os.read(self._master, 4096)
            if self.silent:
                continue
            if self.power_cut:
                self.power_cut = False
                self.device.restart()
            out = self.device.receive(data if self._down is None else self._down(data))
            out = out if self._up is None else self._up(out)
            while out:
                out = out[os.write(self._master, out) :]

    def __enter__(self) -> "FakeBoard":
        return self

    def __exit__(self, *_: object) -> None:
        if self._master >= 0:
            self.unplug()
        self.device.close()
