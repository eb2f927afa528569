# SPDX-License-Identifier: Apache-2.0
"""Tokenizers by name: what `--tokenizer` accepts."""

from hw.spec.errors import SpecError

from .tokenizer import CharTokenizer, Tokenizer

TOKENIZERS = ("char", "bpe")
"""char: one token a character. bpe: byte-level byte-pair encoding, trained on the text."""


def make_tokenizer(name: str, *, text: str, vocab_size: int | None) -> Tokenizer:
    """A tokenizer trained on a text.

    Parameters
    ----------
    name : str
        One of `TOKENIZERS`.
    text : str
    vocab_size : int or None
        Of bpe; None for char, whose vocabulary is the characters of the text and one unknown.

    Raises
    ------
    SpecError
        An argument is not legal, or the text has fewer pairs to merge than the vocabulary asks for.
    TextError
        bpe without the package `tokenizers`.
    """
    if name not in TOKENIZERS:
        raise SpecError("tokenizer", name, "one of " + ", ".join(TOKENIZERS))
    if name == "char":
        if vocab_size is not None:
            raise SpecError("vocab_size", vocab_size, "None with tokenizer char: the text decides it")
        return CharTokenizer.train(text)
    from .bpe import VOCAB_MAX, VOCAB_MIN, BpeTokenizer  # needs an optional package

    if vocab_size is None:
        raise SpecError("vocab_size", vocab_size, f"an integer in [{VOCAB_MIN}, {VOCAB_MAX}]")
    tokenizer = BpeTokenizer.train(text, vocab_size=vocab_size)
    if tokenizer.vocab_size < vocab_size:
        raise SpecError("vocab_size", vocab_size, f"at most {tokenizer.vocab_size}, all that this text gives")
    return tokenizer
