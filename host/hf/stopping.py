# SPDX-License-Identifier: Apache-2.0
"""Where a text that grows by several tokens at a time ends.

Assisted decoding of transformers asks its stopping criteria once a round, about the text with all tokens of the round:
a criterion that looks at the last tokens (`StopStringCriteria`) overlooks what was complete before them, and tokens
come behind the end. Here each prefix is asked about, and the text is cut at the first that ends it: the text that
`generate` gives without candidates.
"""

from typing import Any

import torch
from transformers import StoppingCriteria

PER_TOKEN = ("scores", "logits", "attentions", "hidden_states")
"""Of a `GenerateDecoderOnlyOutput`: tuples with an entry for each new token."""


class FirstStop(StoppingCriteria):
    """All criteria of a call as one that asks about every prefix; and a streamer that gets no token behind the end.

    Parameters
    ----------
    criteria : transformers.StoppingCriteriaList
    begin : int
        Tokens of the prompt.
    streamer : transformers.BaseStreamer or None
    """

    def __init__(self, *, criteria: Any, begin: int, streamer: Any) -> None:
        self._criteria, self._streamer = criteria, streamer
        self._begin = self._asked = begin
        self._end: int | None = None

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Whether a prefix that was not asked about yet ends the text; bool tensor of shape (1,)."""
        length = input_ids.shape[1]
        for place in range(self._asked + 1, length + 1):
            seen = scores if scores is None else scores[: place - self._begin]
            if bool(self._criteria(input_ids[:, :place], seen, **kwargs).all()):
                self._end = place
                break
        stream_to = length if self._end is None else self._end
        if self._streamer is not None:
            self._streamer.put(input_ids[0, self._asked : stream_to].cpu())
        self._asked = length
        return torch.full((1,), self._end is not None, device=input_ids.device)

    def put(self, tokens: torch.Tensor) -> None:
        """Of a streamer: nothing goes out before the criteria were asked."""

    def end(self) -> None:
        """Of a streamer."""
        self._streamer.end()

    def cut(self, done: Any) -> Any:
        """What `_assisted_decoding` returned, without the tokens behind the end.

        A cache that is too long for the text is left out: not every cache can be taken back twice.
        """
        if self._end is None or self._end == self._asked:
            return done
        if isinstance(done, torch.Tensor):
            return done[:, : self._end]
        fields = {name: done[name][: self._end - self._begin] for name in PER_TOKEN if done.get(name) is not None}
        return type(done)(sequences=done.sequences[:, : self._end], **fields)
