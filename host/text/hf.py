# SPDX-License-Identifier: Apache-2.0
"""The tokenizer of a language model: tokenizer.json of a Hugging Face folder, run by the package `tokenizers`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.targets.base import check_tokens
from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import check_int

from .bpe import PIECE_CHARACTERS, pieces, require_tokenizers
from .corpus import TextError
from .tokenizer import TokenIds, code_points


class HfTokenizer:
    """Text as ids of a language model, without special tokens added.

    Parameters
    ----------
    path : Path
        tokenizer.json.

    Raises
    ------
    TextError
        The file is missing or malformed, or the package `tokenizers` is.
    SpecError
        It has no ids, or more than 2**20.
    """

    def __init__(self, *, path: Path) -> None:
        require_tokenizers()
        from tokenizers import Tokenizer

        name = f"tokenizer = {str(path)!r}"
        try:
            content = path.read_bytes()
        except OSError as error:
            raise TextError(f"{name} cannot be read: {error.strerror or error}") from None
        try:
            self._engine = Tokenizer.from_buffer(content)
        except Exception as error:  # the package raises no narrower one
            raise TextError(f"{name} is malformed: {error}") from None
        self.digest = hashlib.sha256(content).hexdigest()
        """SHA-256 of the file."""
        size = self._engine.get_vocab_size(with_added_tokens=True)
        self.vocab_size = check_int("vocab_size of the tokenizer", size, 1, VOCAB_LIMIT)
        """Number of ids; a model may have more."""

    def encode(self, text: str) -> TokenIds:
        """Token ids, int64 of shape (length,).

        A long text is encoded in pieces (see `host.text.bpe.pieces`): with a tokenizer that does not cut words as
        byte-level BPE does, the ids next to a cut may differ from those of the whole.

        Raises
        ------
        SpecError
            The text has a lone surrogate.
        """
        code_points("text", text)
        ids = [
            np.array(self._engine.encode(piece, add_special_tokens=False).ids, dtype=np.int64)
            for piece in pieces(text, PIECE_CHARACTERS)
        ]
        return np.concatenate([np.empty(0, dtype=np.int64), *ids])

    def decode(self, ids: npt.ArrayLike | Sequence[int]) -> str:
        """The text of token ids, special tokens included; bytes that are no whole character become U+FFFD.

        An id that only the model has is no text.
        """
        return self._engine.decode(check_tokens(ids, VOCAB_LIMIT).tolist(), skip_special_tokens=False)
