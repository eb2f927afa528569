# SPDX-License-Identifier: Apache-2.0
"""Text on standard output as it comes, and a line of figures on standard error below it, where that is a terminal."""

import os
import sys
from types import TracebackType
from typing import Self

from host.telemetry.files import OutputError

ERASE_BELOW, SAVE, RESTORE = "\x1b[J", "\x1b7", "\x1b8"
DOWN_AND_BACK, DOWN = "\x1bD\x1bM", "\x1b[B"
"""Control sequences of ECMA-48 and DEC terminals. Index and reverse index keep the column, and scroll at the bottom."""


class LiveText:
    """Writes text, and keeps a status line below it.

    With both streams on a terminal the line stands below the cursor and goes away before more text comes. Where only
    standard error is a terminal, it is written over again and again. Elsewhere there is none.
    """

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()
        self._shared = self._shown and sys.stdout.isatty()

    def write(self, text: str) -> None:
        """Text to standard output, at once.

        Raises
        ------
        OutputError
            It is closed, or on a full disk.
        """
        if self._shared:
            self._control(ERASE_BELOW)
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter fails again at its end
            raise OutputError(f"standard output cannot be written: {error.strerror}") from None

    def status(self, line: str) -> None:
        """The line of figures, in place of the one before."""
        if self._shared:
            self._control(f"{DOWN_AND_BACK}{SAVE}{DOWN}\r{line}{RESTORE}")
        elif self._shown:
            self._control(f"\r{line}\x1b[K")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._control(ERASE_BELOW if self._shared else "\r\x1b[K")

    @staticmethod
    def _control(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
