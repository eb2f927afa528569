# SPDX-License-Identifier: Apache-2.0
"""A user's text: read from a file, cut into a training and a held-out part, described for a run's configuration."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from hw.spec.errors import SpecError

HELDOUT_DEFAULT = 0.05
"""Part of a text that is held out."""


class TextError(ValueError):
    """A text or tokenizer cannot be had: missing, unreadable, malformed. The message is one line."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A text and where it is from.

    Parameters
    ----------
    name : str
        File name, without folders.
    text : str
        Not empty.
    size_bytes : int
        Length of the file.
    sha256 : str
        Of the file's bytes, in hexadecimal.
    licence : str or None
        None: not known.
    """

    name: str
    text: str
    size_bytes: int
    sha256: str
    licence: str | None = None

    def split(self, *, heldout: float = HELDOUT_DEFAULT) -> tuple[str, str]:
        """Training and held-out part, by position: the held-out part is the last round(heldout * length) characters.

        Raises
        ------
        SpecError
            `heldout` is not between 0 and 1, or one of the parts would be empty.
        """
        if not 0 < heldout < 1:  # also where it is NaN
            raise SpecError("heldout", heldout, "a number between 0 and 1, both excluded")
        size = round(heldout * len(self.text))
        if not 0 < size < len(self.text):
            raise SpecError("heldout", heldout, f"a part of {len(self.text)} characters that leaves both parts some")
        return self.text[:-size], self.text[-size:]

    def facts(self) -> dict[str, str | int | None]:
        """What a run's configuration says of the text: name, size_bytes, sha256, licence."""
        return {"name": self.name, "size_bytes": self.size_bytes, "sha256": self.sha256, "licence": self.licence}


def read_corpus(path: Path | str, *, licence: str | None = None) -> Corpus:
    """Read a text file in UTF-8. A byte order mark is dropped; line ends stay as they are.

    Parameters
    ----------
    path : Path or str
        The file.
    licence : str or None
        Of the text, where it is known; None: what a JSON file beside the text says, the same name with the suffix
        .json, if that gives the text's sha256 and a licence.

    Raises
    ------
    TextError
        The file is missing, unreadable, empty, or not UTF-8.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise TextError(f"text = {str(path)!r} cannot be read: {error.strerror or error}") from None
    except ValueError:  # a null character in the name
        raise TextError(f"text = {str(path)!r} is no name of a file") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(
            f"text = {str(path)!r} is not UTF-8: byte {error.start} is {content[error.start]:#04x}"
        ) from None
    if not text:
        raise TextError(f"text = {str(path)!r} is empty")
    sha256 = hashlib.sha256(content).hexdigest()
    if licence is None:
        licence = _licence_beside(path, sha256)
    return Corpus(name=path.name, text=text, size_bytes=len(content), sha256=sha256, licence=licence)


def _licence_beside(path: Path, sha256: str) -> str | None:
    try:
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    match facts:
        case {"sha256": str(known), "licence": str(licence)} if known == sha256:
            return licence
    return None
