# SPDX-License-Identifier: Apache-2.0
"""Names for contents, so that a checkpoint knows its text."""

import hashlib

import numpy as np
import numpy.typing as npt

from .data import Tokens


def text_digest(tokens: Tokens) -> dict[str, object]:
    """SHA-256 of both parts as little-endian int64, their lengths, and V."""
    return {
        "vocab_size": tokens.vocab_size,
        "train_tokens": len(tokens.train),
        "heldout_tokens": len(tokens.heldout),
        "train_sha256": hashlib.sha256(np.asarray(tokens.train, dtype="<i8").tobytes()).hexdigest(),
        "heldout_sha256": hashlib.sha256(np.asarray(tokens.heldout, dtype="<i8").tobytes()).hexdigest(),
    }


def laws_digest(laws: npt.NDArray[np.floating]) -> str:
    """SHA-256 of some of a target's laws, as little-endian float64."""
    return hashlib.sha256(np.asarray(laws, dtype="<f8").tobytes()).hexdigest()
