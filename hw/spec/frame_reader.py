# SPDX-License-Identifier: Apache-2.0
"""Finds frames in bytes that come in any split."""

from collections.abc import Iterator

from .frame_codec import Frame, decode_frame
from .frame_format import DELIMITER, WIRE_MAX_BYTES, FrameError, LinkError


class FrameReader:
    """Finds frames in bytes that come in any split; a frame that is refused costs nothing but itself.

    Attributes
    ----------
    refused : dict of LinkError to int
        Frames refused so far, by reason.
    """

    def __init__(self) -> None:
        self._partial = bytearray()
        self._too_long = False
        self.refused = {reason: 0 for reason in LinkError}

    @property
    def in_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._partial) or self._too_long

    def feed(self, data: bytes) -> Iterator[Frame | LinkError]:
        """The frames that `data` completes, and for each refused one the reason, in order.

        All of `data` is taken at once, whether or not the result is looped over.
        """
        found: list[Frame | LinkError] = []
        *ended, rest = data.split(bytes((DELIMITER,)))
        for part in ended:
            self._take(part)
            if self.in_frame:
                found.append(self._finish())
        self._take(rest)
        return iter(found)

    def abandon(self) -> LinkError | None:
        """Forget a frame that has begun (its end did not come in time); the reason where there was one."""
        if not self.in_frame:
            return None
        self._partial.clear()
        self._too_long = False
        self.refused[LinkError.MALFORMED] += 1
        return LinkError.MALFORMED

    def _take(self, part: bytes) -> None:
        """Keep the bytes of a frame, up to the longest."""
        self._partial += part[: WIRE_MAX_BYTES - len(self._partial)]
        self._too_long |= len(self._partial) >= WIRE_MAX_BYTES

    def _finish(self) -> Frame | LinkError:
        """Judge what was kept, and start anew."""
        encoded, too_long = bytes(self._partial), self._too_long
        self._partial.clear()
        self._too_long = False
        try:
            if too_long:
                raise FrameError(LinkError.MALFORMED)
            return decode_frame(encoded)
        except FrameError as error:
            self.refused[error.reason] += 1
            return error.reason
