# SPDX-License-Identifier: Apache-2.0
"""The host's side of the link's rules (docs/reference/link.md), without a port and without a clock.

Bytes go in and bytes come out; `now` is any clock in seconds that does not run backwards. Nothing here waits.
"""

from collections import deque
from collections.abc import Iterable
from enum import Enum, auto

from host.tsu.base import TsuError
from hw.spec.frames import (
    DELIMITER,
    SEQUENCE_COUNT,
    Frame,
    FrameReader,
    FrameType,
    LinkError,
    command_frames,
    is_behind,
)

from .statistics import LinkStatistics, LinkTiming

_FLOW = (FrameType.PONG, FrameType.GRANT, FrameType.ERROR)
"""Frames whose payload says how far the board is."""

_PAGES_MOST = 64
"""Most frames that a board keeps, and so may repeat."""


class Phase(Enum):
    """Where the handshake is."""

    RESETTING = auto()
    """RESET was sent; everything is ignored until PONG 0."""
    CONFIRMING = auto()
    """PONG 0 came; the answer to a PING will show that it belongs to the last RESET."""
    OPEN = auto()
    """Commands may go."""


class Conversation:
    """Numbers, credits, repeats and time-outs of one line.

    Parameters
    ----------
    timing : LinkTiming

    Attributes
    ----------
    statistics : LinkStatistics
    owes : bool
        Whether the board owes an answer to a command; set by the owner.
    """

    def __init__(self, timing: LinkTiming) -> None:
        self._timing = timing
        self.statistics = LinkStatistics()
        self.owes = False
        self._reader = FrameReader()
        self._phase = Phase.RESETTING
        self._resets = 0
        # Command frames count from 0 after RESET: [_acked, _acked + len(_frames)) are kept, those before _limit may go.
        self._frames: deque[Frame] = deque()
        self._acked = self._next = self._sent = self._limit = 0
        self._due = 0  # number of the next frame of the board
        self._credit = self._resend = self._go_back = False
        self._resend_at = self._go_back_at = 0.0  # not before
        self._asks: deque[int] = deque()  # registers that are to be read; the first one was asked for if _asked
        self._asked = self._ping = False
        self._quiet_at = self._progress_at = 0.0
        self._tries = 0
        self._was_waiting = False
        self._controls: list[Frame] = []

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done."""
        return self._phase is Phase.OPEN

    def put(self, words: Iterable[int]) -> None:
        """Queue a command."""
        self._frames += command_frames(words, sequence=(self._acked + len(self._frames)) % SEQUENCE_COUNT)

    def ask(self, address: int) -> None:
        """Queue the reading of a register; its REGISTER frame is one of those that `receive` returns."""
        self._asks.append(address)

    def receive(self, data: bytes, now: float) -> list[Frame]:
        """Take bytes of the board: the STATUS, DRAWS and REGISTER frames that they complete, each once, in order.

        Raises
        ------
        TsuError
            The board was reset, or says what cannot be.
        """
        self.statistics.bytes_received += len(data)
        taken = []
        for found in self._reader.feed(data):
            if self._phase is Phase.RESETTING:
                self._handshake(found, now)
            elif isinstance(found, LinkError):
                self.statistics.frames_refused += 1
                self._resend = True
            elif self._in_turn(found, now) and self._accept(found, now):
                taken.append(found)
        return taken

    def send(self, now: float) -> bytes:
        """What is to be written now.

        Raises
        ------
        TsuError
            The board has not answered for too long.
        """
        self._watch(now)
        frames, self._controls = self._controls, []
        if self._phase is not Phase.RESETTING:
            frames += self._acknowledgement(now)
        if self._phase is Phase.OPEN:
            frames += self._questions()
            frames += self._commands(now)
        self.statistics.frames_sent += len(frames)
        out = b"".join(
            (bytes((DELIMITER,)) if frame.type is FrameType.RESET else b"") + frame.encode() for frame in frames
        )
        self.statistics.bytes_sent += len(out)
        return out

    # --- what comes in ---------------------------------------------------------------------------------------------

    def _handshake(self, found: Frame | LinkError, now: float) -> None:
        """While resetting: nothing counts but PONG 0."""
        if isinstance(found, Frame) and _is_restart(found):
            self._phase = Phase.CONFIRMING
            self._due, self._credit, self._resend = 1, True, False
            self._limit = found.payload[1]
            self._controls.append(Frame(type=FrameType.PING, tag=self._nonce))
            self._quiet_at = now

    def _in_turn(self, frame: Frame, now: float) -> bool:
        """Whether the frame is the next one; one that is not is dropped."""
        if _is_restart(frame):
            if self._phase is Phase.CONFIRMING:  # what came before belonged to another RESET
                self._due, self._credit = 1, True
                return False
            if self.statistics.frames_received > _PAGES_MOST or self._due == 0:
                raise TsuError("the board was reset by somebody else: its stream is lost")
        if frame.sequence == self._due:
            self._due = (self._due + 1) % SEQUENCE_COUNT
            self._credit, self._resend = True, False
            self._quiet_at, self._tries = now, 0
            self.statistics.frames_received += 1
            return True
        self.statistics.frames_dropped += 1
        if is_behind(frame.sequence, self._due):
            self._credit = True
        else:
            self._resend = True
        return False

    def _accept(self, frame: Frame, now: float) -> bool:
        """Take a frame in its turn; whether it is for the owner."""
        if frame.type in _FLOW:
            self._flow(frame, now)
            return False
        if self._phase is not Phase.OPEN:
            return False
        self._progress_at = now
        if frame.type is FrameType.REGISTER:
            if not self._asked or not self._asks or frame.tag != self._asks[0]:
                return False  # the second answer to what was asked twice
            self._asks.popleft()
            self._asked = False
        return True

    def _flow(self, frame: Frame, now: float) -> None:
        """PONG, GRANT, ERROR: how far the board is."""
        expected, room = frame.payload
        ahead = (expected - self._acked) % SEQUENCE_COUNT
        if ahead > self._sent - self._acked:
            raise TsuError(f"the board expects command frame {expected}, which it was not sent: it was reset")
        for _ in range(ahead):
            self._frames.popleft()
        if ahead:
            self._progress_at, self._go_back = now, False
        self._acked += ahead
        self._next = max(self._next, self._acked)
        self._limit = self._acked + room
        if frame.type is FrameType.PONG and self._phase is Phase.CONFIRMING and frame.tag == self._nonce:
            self._phase, self._progress_at = Phase.OPEN, now
        if frame.type is FrameType.ERROR:
            self.statistics.errors_reported += 1
            self._go_back = self._next > self._acked

    # --- what goes out ---------------------------------------------------------------------------------------------

    @property
    def _nonce(self) -> int:
        """Tag of the PING behind the last RESET; never 0."""
        return 1 + self._resets % (SEQUENCE_COUNT - 1)

    @property
    def _waiting(self) -> bool:
        """Whether the board owes anything."""
        return bool(self._phase is not Phase.OPEN or self._frames or self._asks or self.owes)

    def _watch(self, now: float) -> None:
        """Ask again after a silence, and give up after too many of them."""
        waiting = self._waiting
        if waiting and not self._was_waiting:
            self._quiet_at, self._progress_at, self._tries = now, now, 0
        self._was_waiting = waiting
        if self._resets == 0:
            self._reset(now)
        if not waiting or now - self._quiet_at < self._timing.silence_s:
            if waiting and self.is_open and now - self._progress_at > self._timing.stall_s:
                raise TsuError(f"the board answers, but finished nothing for {self._timing.stall_s:g} s")
            return
        self._tries += 1
        if self._tries > self._timing.tries:
            seconds = self._timing.tries * self._timing.silence_s
            what = "stopped answering" if self.is_open else "does not answer: is it a TSU of this baud rate?"
            raise TsuError(f"the board {what} (asked {self._timing.tries} times in {seconds:.3g} s)")
        self.statistics.silences += 1
        self._quiet_at = now
        if self._phase is not Phase.OPEN:
            self._reset(now)
            return
        self._resend, self._resend_at = True, now
        self._go_back, self._go_back_at = True, now
        self._ping = not self._asks
        self._asked = False

    def _reset(self, now: float) -> None:
        self._phase = Phase.RESETTING
        self._resets += 1
        self._quiet_at = now
        self._controls = [Frame(type=FrameType.RESET)]

    def _acknowledgement(self, now: float) -> list[Frame]:
        """RESEND where something is missing, CREDIT where something came."""
        if self._resend and now >= self._resend_at:
            kind = FrameType.RESEND
            self._resend, self._resend_at = False, now + self._timing.again_s
        elif self._credit:
            kind = FrameType.CREDIT
        else:
            return []
        self._credit = False
        return [Frame(type=kind, tag=self._due)]

    def _questions(self) -> list[Frame]:
        """At most one register or PING: the board answers one at a time."""
        if self._asks and not self._asked:
            self._asked = True
            return [Frame(type=FrameType.READ_REGISTER, tag=self._asks[0])]
        if self._ping:
            self._ping = False
            return [Frame(type=FrameType.PING, tag=1)]
        return []

    def _commands(self, now: float) -> list[Frame]:
        """The command frames that the board has room for, from the first one on again after a loss."""
        if self._go_back and now >= self._go_back_at:
            self._go_back, self._go_back_at = False, now + self._timing.again_s
            self._next = self._acked
        end = min(self._limit, self._acked + len(self._frames))
        frames = [self._frames[number - self._acked] for number in range(self._next, end)]
        self.statistics.frames_resent += max(0, min(self._sent, end) - self._next)
        self._next = max(self._next, end)
        self._sent = max(self._sent, self._next)
        return frames


def _is_restart(frame: Frame) -> bool:
    """PONG 0: the first frame of a board behind RESET or power-on. The host itself pings with other tags."""
    return (frame.type, frame.sequence, frame.tag) == (FrameType.PONG, 0, 0) and frame.payload[0] == 0
