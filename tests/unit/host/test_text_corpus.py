# SPDX-License-Identifier: Apache-2.0
"""A user's text: read and cut exactly, its facts, and one line for every file that is no text."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from host.text.corpus import Corpus, TextError, read_corpus
from hw.spec.errors import SpecError

CONTENT = "Größe\r\n日本 😀\n" * 3


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(CONTENT.encode())
    return path


def corpus_of(text: str) -> Corpus:
    return Corpus(name="x", text=text, size_bytes=len(text), sha256="")


def test_text_and_facts_are_those_of_the_file(path: Path) -> None:
    corpus = read_corpus(str(path), licence="CC0-1.0")
    assert corpus.text == CONTENT  # line ends too
    assert corpus.facts() == {
        "name": "text.txt",
        "size_bytes": len(CONTENT.encode()),
        "sha256": hashlib.sha256(CONTENT.encode()).hexdigest(),
        "licence": "CC0-1.0",
    }
    assert str(path.parent) not in json.dumps(corpus.facts())


def test_byte_order_mark_is_dropped(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbfab")
    corpus = read_corpus(path)
    assert (corpus.text, corpus.size_bytes) == ("ab", 5)


def test_licence_comes_from_the_file_beside_it_if_the_digest_fits(path: Path) -> None:
    beside = path.with_suffix(".json")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_corpus(path).licence is None
    beside.write_text(json.dumps({"sha256": digest, "licence": "public domain"}))
    assert read_corpus(path).licence == "public domain"
    assert read_corpus(path, licence="mine").licence == "mine"
    for other in ({"sha256": "0" * 64, "licence": "x"}, {"licence": "x"}, {"sha256": digest, "licence": 1}, [], "x"):
        beside.write_text(json.dumps(other))
        assert read_corpus(path).licence is None
    beside.write_bytes(b"\xff{")
    assert read_corpus(path).licence is None


@pytest.mark.parametrize(
    ("length", "heldout", "expected"), [(100, 0.05, 5), (1000, 0.05, 50), (10, 0.1, 1), (3, 0.5, 2), (2, 0.5, 1)]
)
def test_held_out_part_is_the_end(length: int, heldout: float, expected: int) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(length))
    train, test = corpus_of(text).split(heldout=heldout)
    assert train + test == text
    assert len(test) == expected


def test_default_is_95_to_5() -> None:
    assert [len(part) for part in corpus_of("x" * 2000).split()] == [1900, 100]


@pytest.mark.parametrize("heldout", [0.0, 1.0, -0.1, float("nan"), float("inf")])
def test_bad_part_is_one_clear_line(heldout: float) -> None:
    with pytest.raises(SpecError, match=r"^heldout = .*between 0 and 1"):
        corpus_of("x" * 100).split(heldout=heldout)


@pytest.mark.parametrize(("length", "heldout"), [(1, 0.5), (9, 0.05), (9, 0.95)])
def test_empty_part_is_one_clear_line(length: int, heldout: float) -> None:
    with pytest.raises(SpecError, match=f"^heldout = .* {length} characters"):
        corpus_of("x" * length).split(heldout=heldout)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"abc\xff", "is not UTF-8: byte 3 is 0xff"),
        ("täglich".encode("latin-1"), "is not UTF-8: byte 1 is 0xe4"),
        ("abc".encode("utf-16"), "is not UTF-8: byte 0 is 0xff"),
    ],
)
def test_bad_content_is_one_clear_line(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(TextError, match=re.escape(message)) as caught:
        read_corpus(path)
    assert str(caught.value) == f"text = {str(path)!r} {message}"


def test_a_file_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    for name, reason in (("none.txt", "No such file or directory"), ("", "Is a directory")):
        with pytest.raises(TextError) as caught:
            read_corpus(tmp_path / name)
        assert str(caught.value) == f"text = {str(tmp_path / name)!r} cannot be read: {reason}"
    with pytest.raises(TextError, match="is no name of a file"):
        read_corpus("a\0b")
