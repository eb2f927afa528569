# SPDX-License-Identifier: Apache-2.0
"""The text of tokens that come one at a time, in whole characters."""

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
"""What a decoder writes for bytes that are not, or not yet, a character."""


class TextStream:
    """Turns one token after the other into the characters that it completes.

    A token may end inside a character: its text is held back until the last character is whole. What `push` and
    `finish` return adds up to the text of all tokens, as far as the decoder's text of a token depends on the tokens
    before it by unfinished characters and by the start of a text only.

    Parameters
    ----------
    decode : callable
        The text of token ids.
    before : sequence of int
        Tokens in front of the first one, in whole characters; their text is not returned.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], before: Sequence[int] = ()) -> None:
        self._decode = decode
        self._known = list(before)
        self._waiting: list[int] = []

    def push(self, token: int) -> str:
        """The text that this token completes; empty where its last character is not whole."""
        self._waiting.append(token)
        known, text = self._decode(self._known), self._decode(self._known + self._waiting)
        if text.endswith(REPLACEMENT):
            return ""
        # What comes next needs only the tokens of the last whole stretch in front of it; an empty one is kept apart.
        self._known, self._waiting = (self._waiting if text[len(known) :] else self._known + self._waiting), []
        return text[len(known) :]

    def finish(self) -> str:
        """What is held back, with U+FFFD where characters are not whole."""
        known, text = self._decode(self._known), self._decode(self._known + self._waiting)
        self._known, self._waiting = self._known + self._waiting, []
        return text[len(known) :]
