# SPDX-License-Identifier: Apache-2.0
"""Byte-level BPE, trained and run by the package `tokenizers` (extra `text`), which is imported on first use."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from host.extras import install_hint
from host.targets.base import check_tokens
from hw.spec.errors import SpecError, check_int

from .corpus import TextError
from .tokenizer import TokenIds, code_points, content_digest

if TYPE_CHECKING:
    from tokenizers import Tokenizer as Engine

VOCAB_MIN = 256
"""Smallest vocabulary: the bytes alone."""

VOCAB_MAX = 1 << 16
"""Largest vocabulary."""

PIECE_CHARACTERS = 1 << 16
"""A text is encoded in pieces of about this length: one call on 5 MB takes 1.3 GB of memory."""


class BpeTokenizer:
    """Byte-level BPE without unknown tokens: decode(encode(x)) == x for every text.

    Text is cut into words, numbers, punctuation and white space as GPT-2 does it, and pairs are merged inside these
    pieces only. Ids that do not end in whole characters decode to U+FFFD there.

    Parameters
    ----------
    vocab : sequence of str
        The tokens by id, each byte written as the one character that byte-level BPE gives it.
    merges : sequence of (str, str)
        Pairs of tokens, the first to merge first.

    Raises
    ------
    SpecError
        The vocabulary is too small, too large or repeats a token; a byte is missing; a merge is not in the vocabulary.
    TextError
        The package `tokenizers` is missing.
    """

    def __init__(self, *, vocab: Sequence[str], merges: Sequence[tuple[str, str]]) -> None:
        check_int("len(vocab)", len(vocab), VOCAB_MIN, VOCAB_MAX)
        known = set(vocab)
        if len(known) != len(vocab):
            raise SpecError("vocab", f"{len(vocab) - len(known)} repeated tokens", "each token once")
        missing = set(byte_alphabet()) - known
        if missing:
            raise SpecError("vocab", f"{len(missing)} missing bytes", "a token for each of the 256 bytes")
        for left, right in merges:
            if not known.issuperset((left, right, left + right)):
                raise SpecError("merges", (left, right), "two tokens of the vocabulary whose union is one")
        self._content: dict[str, Any] = {"kind": "bpe", "vocab": list(vocab), "merges": [list(pair) for pair in merges]}
        self._engine = _engine(vocab, merges)
        self._digest = content_digest(self._content)

    @classmethod
    def train(cls, text: str, *, vocab_size: int) -> "BpeTokenizer":
        """Merge the most frequent pairs of `text` until there are `vocab_size` tokens, or no pair to merge.

        Deterministic: pairs of equal count are taken in the order of their ids.

        Parameters
        ----------
        text : str
            The training part.
        vocab_size : int
            In [256, 65536]; a short text may give fewer.

        Raises
        ------
        SpecError
            The size is not legal, or the text has a lone surrogate.
        TextError
            The package `tokenizers` is missing.
        """
        check_int("vocab_size", vocab_size, VOCAB_MIN, VOCAB_MAX)
        code_points("text", text)
        require_tokenizers()
        from tokenizers.trainers import BpeTrainer

        engine = _engine((), ())
        trainer = BpeTrainer(
            vocab_size=vocab_size, initial_alphabet=byte_alphabet(), special_tokens=[], show_progress=False
        )
        engine.train_from_iterator([text], trainer)
        model = json.loads(engine.to_str())["model"]
        vocab: dict[str, int] = model["vocab"]
        return cls(vocab=sorted(vocab, key=lambda token: vocab[token]), merges=[(a, b) for a, b in model["merges"]])

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._content["vocab"])

    @property
    def digest(self) -> str:
        """See `Tokenizer`."""
        return self._digest

    def encode(self, text: str) -> TokenIds:
        """Token ids, int64 of shape (length,); one to four for each character at most."""
        code_points("text", text)
        ids = [np.array(self._engine.encode(piece).ids, dtype=np.int64) for piece in pieces(text)]
        return np.concatenate([np.empty(0, dtype=np.int64), *ids])

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of token ids."""
        return self._engine.decode(check_tokens(ids, self.vocab_size).tolist(), skip_special_tokens=False)

    def content(self) -> dict[str, Any]:
        """See `Tokenizer`."""
        return self._content


def require_tokenizers() -> None:
    """Raise `TextError`, with what to install, where the package `tokenizers` is missing."""
    try:
        import tokenizers  # noqa: F401  # only whether it is there
    except ImportError as error:
        missing = error.name or str(error)
        raise TextError(install_hint(user="byte-level BPE", package=missing, extra="text")) from error


def byte_alphabet() -> list[str]:
    """The 256 characters by which byte-level BPE writes bytes, in no particular order."""
    require_tokenizers()
    from tokenizers.pre_tokenizers import ByteLevel

    return ByteLevel.alphabet()


def pieces(text: str, size: int = PIECE_CHARACTERS) -> Iterator[str]:
    """Cut a text where BPE cuts it anyway, so that the ids of the pieces are those of the whole.

    A cut is before a line feed behind a visible ASCII character: no word, number or punctuation goes on over it, and
    white space is cut by what follows, never by what is before. Pieces are at least `size` >= 1 characters long, the
    last one excepted; one may be much longer where no such place comes.
    """
    check_int("size", size, 1, 1 << 62)
    start = 0
    place = text.find("\n", size)
    while place >= 0:
        if "!" <= text[place - 1] <= "~":
            yield text[start:place]
            start = place
            place = text.find("\n", start + size)
        else:
            place = text.find("\n", place + 1)
    if start < len(text):
        yield text[start:]


def _engine(vocab: Sequence[str], merges: Sequence[tuple[str, str]]) -> "Engine":
    require_tokenizers()
    from tokenizers import Tokenizer as Engine
    from tokenizers import decoders, models, pre_tokenizers

    engine = Engine(models.BPE(vocab={token: i for i, token in enumerate(vocab)}, merges=list(merges)))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    return engine
