# SPDX-License-Identifier: Apache-2.0
"""Tokenizers: text comes back, ids are those of a naive encoder, training repeats, files are checked."""

import itertools
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from host.text import bpe
from host.text.bpe import BpeTokenizer, byte_alphabet, pieces
from host.text.corpus import TextError
from host.text.tokenizer import CharTokenizer, Tokenizer, load_tokenizer, save_tokenizer
from hw.spec.errors import SpecError

TEXT = (
    "The thermal thing thinks.\n\n  It's the 3rd theory, then; the other\tth\u00e9orie (\u65e5\u672c) \U0001f600!\n" * 8
)


@cache
def trained(vocab_size: int = 300) -> BpeTokenizer:
    return BpeTokenizer.train(TEXT, vocab_size=vocab_size)


def ref_bpe(tokenizer: BpeTokenizer, word: bytes) -> list[int]:
    """Ids of one piece: merge the pair of the lowest rank, leftmost first, until no pair has one."""
    content = tokenizer.content()
    ranks = {tuple(pair): rank for rank, pair in enumerate(content["merges"])}
    letters = byte_letters()
    parts = [letters[byte] for byte in word]
    while pairs := [(ranks[pair], i) for i, pair in enumerate(itertools.pairwise(parts)) if pair in ranks]:
        _, i = min(pairs)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return [content["vocab"].index(part) for part in parts]


def byte_letters() -> list[str]:
    """The letter of each byte: itself where it is visible in Latin-1, else the next one from U+0100 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = iter(range(0x100, 0x200))
    return [chr(byte) if byte in visible else chr(next(hidden)) for byte in range(256)]


def test_characters_are_numbered_by_code_point_behind_the_unknown() -> None:
    tokenizer = CharTokenizer.train("b\u65e5a\nb")
    assert tokenizer.characters == "\nab\u65e5"
    assert tokenizer.vocab_size == 5
    ids = tokenizer.encode("ab\u65e5x\n\U0001f600")
    assert (ids.dtype, ids.tolist()) == (np.int64, [2, 3, 4, 0, 1, 0])
    assert tokenizer.decode(ids) == "ab\u65e5\ufffd\n\ufffd"


@given(st.text(alphabet="aeiou \n\u00e9\u65e5\U0001f600"))
def test_text_over_the_vocabulary_comes_back(text: str) -> None:
    tokenizer = CharTokenizer.train("aeiou \n\u00e9\u65e5\U0001f600")
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("characters", ["", "ba", "aa", "a\ud800"])
def test_bad_vocabulary_of_characters_is_refused(characters: str) -> None:
    with pytest.raises(SpecError, match=r"^characters"):
        CharTokenizer(characters=characters)


@given(st.text(max_size=60))
@example(" \n\n \n")
@example("\u0000\u2028\u00a0\u0085")
def test_any_text_comes_back_from_bpe(text: str) -> None:
    ids = trained().encode(text)
    assert ids.dtype == np.int64
    assert ids.size == 0 or (ids.min() >= 0 and ids.max() < trained().vocab_size)
    assert trained().decode(ids) == text


@given(st.text(alphabet="then ao3.,'\n\t\u00e9\u65e5\u00a0", max_size=80), st.integers(1, 9))
@settings(max_examples=300)
def test_pieces_give_the_ids_of_the_whole(text: str, size: int) -> None:
    cut = list(pieces(text, size))
    assert "".join(cut) == text
    whole = bpe._engine(trained().content()["vocab"], [tuple(pair) for pair in trained().content()["merges"]])
    assert [i for piece in cut for i in trained().encode(piece).tolist()] == whole.encode(text).ids


def test_a_cut_in_the_wrong_place_is_seen() -> None:
    """The comparison above can fail: white space cut anywhere gives other ids."""
    whole = trained().encode("thinks.\n\n  It").tolist()
    assert trained().encode("thinks.\n").tolist() + trained().encode("\n  It").tolist() != whole
    assert list(pieces("thinks.\n\n  It", 1)) == ["thinks.", "\n\n  It"]


def test_long_text_is_cut() -> None:
    text = TEXT * 40
    cut = list(pieces(text, 1000))
    assert len(cut) > 20
    assert max(map(len, cut)) < 1000 + len(TEXT)
    assert trained().decode(trained().encode(text)) == text
    with pytest.raises(SpecError, match=r"^size = 0"):
        list(pieces(text, 0))


@pytest.mark.parametrize("word", ["the", " the", " thermal", " th\u00e9orie", "xthq", "\U0001f600", "33"])
def test_ids_of_a_word_equal_a_naive_encoder(word: str) -> None:
    assert trained().encode(word).tolist() == ref_bpe(trained(), word.encode())


def test_frequent_words_become_tokens() -> None:
    assert len(trained().encode(" the")) == 1
    assert len(trained().encode(" zqx")) == 4
    assert trained().vocab_size == 300


def test_no_merges_is_one_id_a_byte() -> None:
    tokenizer = trained(256)
    letters = byte_letters()
    assert sorted(tokenizer.content()["vocab"]) == sorted(letters)
    expected = [tokenizer.content()["vocab"].index(letters[byte]) for byte in "h\u00e9\n".encode()]
    assert tokenizer.encode("h\u00e9\n").tolist() == expected


def test_short_text_gives_fewer_tokens() -> None:
    assert BpeTokenizer.train("ab", vocab_size=1000).vocab_size == 257


def test_half_a_character_decodes_to_the_replacement() -> None:
    tokenizer = trained(256)
    assert tokenizer.decode(tokenizer.encode("\u00e9")[:1]) == "\ufffd"


def test_training_repeats_in_another_process() -> None:
    """Whatever the hash seeds and the number of threads."""
    code = f"from host.text.bpe import BpeTokenizer; print(BpeTokenizer.train({TEXT!r}, vocab_size=300).digest)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={"RAYON_NUM_THREADS": "1"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == trained().digest
    assert BpeTokenizer.train(TEXT, vocab_size=300).digest == trained().digest
    assert trained(299).digest != trained().digest


@pytest.mark.parametrize("vocab_size", [255, 65537, 300.0])
def test_bad_vocabulary_size_is_refused(vocab_size: Any) -> None:
    with pytest.raises(SpecError, match=r"^vocab_size = "):
        BpeTokenizer.train(TEXT, vocab_size=vocab_size)


@pytest.mark.parametrize(
    ("vocab", "merges", "message"),
    [
        (lambda a: a[:-1], [], "len(vocab) = 255"),
        (lambda a: [*a, a[0]], [], "vocab = '1 repeated tokens'"),
        (lambda a: [*a[:-1], "zz"], [], "vocab = '1 missing bytes'"),
        (lambda a: a, [("a", "b")], "merges = ('a', 'b')"),
        (lambda a: [*a, "ab"], [("a", "ab")], "merges = ('a', 'ab')"),
    ],
)
def test_bad_vocabulary_of_bpe_is_refused(vocab: Any, merges: list[tuple[str, str]], message: str) -> None:
    with pytest.raises(SpecError, match="^" + re.escape(message)):
        BpeTokenizer(vocab=vocab(byte_alphabet()), merges=merges)


@pytest.mark.parametrize("make", [lambda: CharTokenizer.train(TEXT), trained], ids=["char", "bpe"])
def test_bad_text_and_ids_are_refused(make: Any) -> None:
    tokenizer: Tokenizer = make()
    with pytest.raises(SpecError, match=r"^text\[1\] = '\\ud800' is not legal: expected no lone surrogate$"):
        tokenizer.encode("a\ud800")
    for ids in ([tokenizer.vocab_size], [-1], [[0]], [0.5]):
        with pytest.raises(SpecError):
            tokenizer.decode(ids)
    assert tokenizer.decode([]) == ""
    assert tokenizer.encode("").tolist() == []


@pytest.mark.parametrize("make", [lambda: CharTokenizer.train(TEXT), trained], ids=["char", "bpe"])
def test_file_gives_the_same_tokenizer(make: Any, tmp_path: Path) -> None:
    tokenizer: Tokenizer = make()
    save_tokenizer(tokenizer, tmp_path / "t.json")
    loaded = load_tokenizer(tmp_path / "t.json")
    assert type(loaded) is type(tokenizer)
    assert (loaded.digest, loaded.vocab_size) == (tokenizer.digest, tokenizer.vocab_size)
    np.testing.assert_array_equal(loaded.encode(TEXT), tokenizer.encode(TEXT))
    assert loaded.decode(loaded.encode(TEXT)) == TEXT


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    save_tokenizer(CharTokenizer.train("abc"), path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"characters": "abd"}))
    with pytest.raises(TextError, match="its digest does not fit"):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"kind": "words"}, "is of no known kind: 'words'"),
        ({"kind": "char", "characters": "ba"}, "is malformed: characters = 'ba'"),
        ({"kind": "bpe", "vocab": ["a"], "merges": []}, "is malformed: len(vocab) = 1"),
        ({"kind": "bpe", "vocab": [[]] * 256, "merges": []}, "is malformed: "),
        ({"kind": "bpe", "vocab": ["a"], "merges": [["a"]]}, "is malformed: "),
    ],
)
def test_malformed_file_is_one_clear_line(content: dict[str, Any], message: str, tmp_path: Path) -> None:
    from host.text.tokenizer import content_digest

    path = tmp_path / "t.json"
    path.write_text(json.dumps(content | {"digest": content_digest(content)}))
    with pytest.raises(TextError, match=re.escape(f"tokenizer = {str(path)!r} {message}")) as caught:
        load_tokenizer(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_tokenizer_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for content, message in ((b"[]", "is no tokenizer"), (b"{}", "is no tokenizer"), (b"\xff", "JSON"), (b"{", "JSON")):
        path.write_bytes(content)
        with pytest.raises(TextError, match=message):
            load_tokenizer(path)
    with pytest.raises(TextError, match="cannot be read: No such file or directory"):
        load_tokenizer(tmp_path / "none.json")
    with pytest.raises(TextError, match="cannot be written: No such file or directory"):
        save_tokenizer(CharTokenizer.train("a"), tmp_path / "none" / "t.json")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Characters need nothing; BPE says in one line what to install, from a file too."""
    save_tokenizer(trained(), tmp_path / "t.json")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert CharTokenizer.train("a").vocab_size == 2
    for call in (lambda: BpeTokenizer.train(TEXT, vocab_size=300), lambda: load_tokenizer(tmp_path / "t.json")):
        with pytest.raises(TextError) as caught:
            call()
        assert str(caught.value) == (
            "byte-level BPE needs the package tokenizers: pip install 'thermo-speculative-decoding[text]'"
        )


def test_import_does_not_load_the_package() -> None:
    code = "import sys, host.text.bpe, host.text.tokenizer; sys.exit('tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
