# SPDX-License-Identifier: Apache-2.0
"""Targets that look one token ahead: where a draft is accepted, the next distribution is known already."""

from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from .base import Contexts, LogProbs, Target


@runtime_checkable
class AheadTarget(Target, Protocol):
    """A target whose pass over several tokens costs little more than over one: this is what speculation gains by."""

    def logprobs_ahead(self, contexts: Contexts, drafts: npt.NDArray[np.int64]) -> LogProbs:
        """As `logprobs`, and work out in the same pass what `logprobs` of contexts + drafts will be asked.

        Parameters
        ----------
        contexts : int64 ndarray of shape (batch, length)
        drafts : int64 ndarray of shape (batch,)
            The tokens that may come next.
        """
        ...
