# SPDX-License-Identifier: Apache-2.0
"""The state of a proposer that follows a text of which somebody else decides."""

import numpy as np
import numpy.typing as npt

from host.decode.texts import started
from host.propose.base import Proposer, ProposerState
from host.targets.base import check_tokens


class FollowedText:
    """A proposer's state at the end of a text, whatever became of the text since the last look.

    Where the text goes on, the state advances by the new tokens. Where it does not (another text, or one that was
    taken back), the state is made anew from the start of the text: no state has to be able to go back.

    Parameters
    ----------
    proposer : Proposer
    """

    def __init__(self, *, proposer: Proposer) -> None:
        self._proposer = proposer
        self._state: ProposerState | None = None
        self._text: npt.NDArray[np.int64] | None = None

    def at(self, text: npt.ArrayLike) -> ProposerState:
        """The state behind `text`, token ids of shape (length,); not to be changed.

        Raises
        ------
        SpecError
            The shape or a token is not legal.
        """
        tokens = check_tokens(text, self._proposer.vocab_size).copy()
        state, known = self._state, self._text
        self._state = self._text = None  # should the proposer fail, nothing is known
        if state is not None and known is not None and self._goes_on(tokens, known):
            for token in tokens[len(known) :]:
                state.advance(token[None])
        else:
            state = started(self._proposer, tokens[None])
        self._state, self._text = state, tokens
        return state

    @staticmethod
    def _goes_on(tokens: npt.NDArray[np.int64], known: npt.NDArray[np.int64]) -> bool:
        return len(known) <= len(tokens) and np.array_equal(tokens[: len(known)], known)
