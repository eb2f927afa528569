# SPDX-License-Identifier: Apache-2.0
"""Text as token ids: what a tokenizer offers, and the file that it is kept in."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from host.targets.base import check_tokens
from hw.spec.errors import SpecError

from .corpus import TextError

TokenIds = npt.NDArray[np.int64]
"""Token ids of shape (length,)."""


class Codec(Protocol):
    """Turns text into token ids and back."""

    @property
    def vocab_size(self) -> int:
        """V; ids are in [0, V - 1]."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal: equal digests give equal ids."""
        ...

    def encode(self, text: str) -> TokenIds:
        """Token ids, int64 of shape (length,). `SpecError` where the text has a lone surrogate."""
        ...

    def decode(self, ids: npt.ArrayLike) -> str:
        """The text of token ids of shape (length,). `SpecError` where one is not in [0, V - 1]."""
        ...


class Tokenizer(Codec, Protocol):
    """A codec that `save_tokenizer` can write; its digest is that of `content`."""

    def content(self) -> dict[str, Any]:
        """All that the tokenizer is, as values of JSON; `load_tokenizer` reads it from a file."""
        ...


class CharTokenizer:
    """One token a character.

    Id 0 is every character that the vocabulary does not have, and is written as U+FFFD; the vocabulary follows in the
    order of code points. decode(encode(x)) == x for every x over the vocabulary.

    Parameters
    ----------
    characters : str
        The vocabulary: each character once, in the order of code points; not empty.

    Raises
    ------
    SpecError
        The characters are none, repeated, not in order, or lone surrogates.
    """

    UNKNOWN_ID = 0
    UNKNOWN_TEXT = "\ufffd"

    def __init__(self, *, characters: str) -> None:
        codes = code_points("characters", characters)
        if not len(codes) or np.any(codes[1:] <= codes[:-1]):
            raise SpecError("characters", characters, "at least one character, each once, in the order of code points")
        self.characters = characters
        self._codes = codes
        self._texts = np.array([self.UNKNOWN_TEXT, *characters])

    @classmethod
    def train(cls, text: str) -> "CharTokenizer":
        """A tokenizer whose vocabulary is the characters of `text`; `SpecError` where there are none."""
        return cls(characters="".join(sorted(set(text))))

    @property
    def vocab_size(self) -> int:
        """Number of characters, and the unknown one."""
        return len(self._codes) + 1

    @property
    def digest(self) -> str:
        """See `Tokenizer`."""
        return content_digest(self.content())

    def encode(self, text: str) -> TokenIds:
        """One id a character, int64 of shape (len(text),)."""
        codes = code_points("text", text)
        places = np.minimum(np.searchsorted(self._codes, codes), len(self._codes) - 1)
        ids: TokenIds = np.where(self._codes[places] == codes, places + 1, self.UNKNOWN_ID).astype(np.int64)
        return ids

    def decode(self, ids: npt.ArrayLike) -> str:
        """One character an id."""
        return "".join(self._texts[check_tokens(ids, self.vocab_size)].tolist())

    def content(self) -> dict[str, Any]:
        """See `Tokenizer`."""
        return {"kind": "char", "characters": self.characters}


def code_points(field: str, text: str) -> npt.NDArray[np.uint32]:
    """Code points of a text; `SpecError` names `field` where one is a lone surrogate, which no UTF-8 file holds."""
    try:
        return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    except UnicodeEncodeError as error:
        raise SpecError(f"{field}[{error.start}]", text[error.start], "no lone surrogate") from None


def content_digest(content: Mapping[str, Any]) -> str:
    """SHA-256 of the JSON of `content`, ASCII, keys sorted and without spaces; hexadecimal."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def save_tokenizer(tokenizer: Tokenizer, path: Path | str) -> None:
    """Write `tokenizer` to a JSON file that `load_tokenizer` reads.

    Raises
    ------
    TextError
        The file cannot be written.
    """
    document = {**tokenizer.content(), "digest": tokenizer.digest}
    try:
        Path(path).write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
    except OSError as error:
        raise TextError(f"tokenizer = {str(path)!r} cannot be written: {error.strerror or error}") from None


def load_tokenizer(path: Path | str) -> Tokenizer:
    """Read a tokenizer that `save_tokenizer` wrote.

    Raises
    ------
    TextError
        The file is missing, unreadable, not such a file, or its digest does not fit its contents; or it is byte-level
        BPE and the package `tokenizers` is missing.
    """
    name = f"tokenizer = {str(path)!r}"
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise TextError(f"{name} cannot be read: {error.strerror or error}") from None
    except ValueError:
        raise TextError(f"{name} is not JSON") from None
    digest = document.pop("digest", None) if isinstance(document, dict) else None
    if digest is None or digest != content_digest(document):
        raise TextError(f"{name} is no tokenizer, or was changed: its digest does not fit")
    try:
        match document:
            case {"kind": "char", "characters": str(characters)}:
                return CharTokenizer(characters=characters)
            case {"kind": "bpe", "vocab": list(vocab), "merges": list(merges)}:
                from .bpe import BpeTokenizer  # needs an optional package

                return BpeTokenizer(vocab=vocab, merges=[(left, right) for left, right in merges])
    except (SpecError, TypeError, ValueError) as error:
        raise error if isinstance(error, TextError) else TextError(f"{name} is malformed: {error}") from None
    raise TextError(f"{name} is of no known kind: {document.get('kind')!r}")
