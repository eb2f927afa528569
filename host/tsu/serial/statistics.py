# SPDX-License-Identifier: Apache-2.0
"""What happened on a serial line, and how long to wait for what."""

from dataclasses import asdict, dataclass
from typing import Self

from hw.spec.errors import SpecError, check_int
from hw.spec.frames import WIRE_MAX_BYTES

from .address import byte_seconds, check_baud

_SILENCE_FRAMES = 8
"""Longest frames that may be on their way, in both directions together, when the host begins to wait."""

_SILENCE_BASE_S = 0.15
"""Silence that USB adapters, operating systems and a simulated board may cause."""


@dataclass(kw_only=True)
class LinkStatistics:
    """Counts since the port was opened.

    Parameters
    ----------
    bytes_sent, bytes_received : int
        On the line, delimiters and damaged frames included.
    frames_sent, frames_received : int
        Frames written, and frames of the board that were taken in their turn.
    frames_refused : int
        Frames of the board that were damaged.
    frames_dropped : int
        Good frames of the board that came twice, or behind a gap.
    frames_resent : int
        Command frames that were written again.
    errors_reported : int
        ERROR frames: frames of the host that the board refused.
    silences : int
        Times that nothing came and the host asked again.
    """

    bytes_sent: int = 0
    bytes_received: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    frames_refused: int = 0
    frames_dropped: int = 0
    frames_resent: int = 0
    errors_reported: int = 0
    silences: int = 0

    def as_dict(self) -> dict[str, int]:
        """Names and counts, in declaration order."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class LinkTiming:
    """Waits of the host; the board measures no time.

    Parameters
    ----------
    silence_s : float
        While something is owed and no frame is taken for so long, the host asks again.
    tries : int
        Times that it asks before it calls the board dead.
    stall_s : float
        A board that answers, but finishes nothing that it owes for so long, is called dead too.

    Raises
    ------
    SpecError
        A field is outside its range.
    """

    silence_s: float
    tries: int = 30
    stall_s: float = 30.0

    def __post_init__(self) -> None:
        check_int("tries", self.tries, 1, 1000)
        for name, value in (("silence_s", self.silence_s), ("stall_s", self.stall_s)):
            if not 0 < value <= 600:
                raise SpecError(name, value, "a number in (0, 600]")

    @classmethod
    def of_baud(cls, baud: int) -> Self:
        """The waits that suit a line of `baud` bits per second."""
        return cls(silence_s=_SILENCE_BASE_S + byte_seconds(check_baud(baud), _SILENCE_FRAMES * WIRE_MAX_BYTES))

    @property
    def again_s(self) -> float:
        """Least time between two repeats of the same: what was asked for needs a while to come."""
        return self.silence_s / 4
