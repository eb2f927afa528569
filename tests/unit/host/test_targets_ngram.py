# SPDX-License-Identifier: Apache-2.0
"""n-gram targets against dictionaries and fractions, against the bigram target, and far beyond 64-bit keys."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.targets.bigram import corpus_bigram
from host.targets.ngram import NGRAM_SMOOTHINGS, NgramTarget
from hw.spec.errors import SpecError

V = 3
TEXT = [0, 1, 2, 0, 1, 1, 0, 1, 2, 2, 0, 1, 2, 0, 0, 1, 1, 1, 2, 0, 1, 0, 0, 2, 0, 1, 2, 2, 0, 1, 2]


def grams(text: Sequence[int], k: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(text[i : i + k]) for i in range(len(text) - k + 1))


class RefNgram:
    """The formulas of `NgramTarget`, in fractions and dictionaries; `bug` names a mistake to make."""

    def __init__(self, text: Sequence[int], *, vocab_size: int, n: int, smoothing: str, bug: str = "") -> None:
        self.vocab_size, self.n, self.smoothing, self.bug = vocab_size, n, smoothing, bug
        self.counts = [grams(text, k) for k in range(1, n + 1)]
        if smoothing == "kneser-ney" and bug != "raw counts":
            self.counts[:-1] = [Counter(gram[1:] for gram in grams(text, k)) for k in range(2, n + 1)]

    def p(self, context: Sequence[int], x: int) -> Fraction:
        context = tuple(context)[max(0, len(context) - self.n + 1) :]
        lower = self.p(context[1:], x) if context else Fraction(1, self.vocab_size)
        counts = self.counts[len(context)]
        behind = {y: counts[(*context, y)] for y in range(self.vocab_size) if counts[(*context, y)]}
        total, kinds = sum(behind.values()), len(behind)
        if not total:
            return lower
        if self.smoothing == "kneser-ney":
            once, twice = (sum(1 for count in counts.values() if count == times) for times in (1, 2))
            discount = Fraction(once, once + 2 * twice) if once else Fraction(1, 2)
            return (max(behind.get(x, 0) - discount, 0) + discount * kinds * lower) / total
        if self.bug == "no kinds":
            kinds = 1
        if self.bug == "context cut at the wrong end" and context:
            lower = self.p(context[:-1], x)
        return (behind.get(x, 0) + kinds * lower) / (total + kinds)


def largest_difference(target: NgramTarget, reference: RefNgram, *, length: int) -> float:
    """Largest |p - reference| over every context of that length."""
    contexts = np.array(list(itertools.product(range(V), repeat=length)), dtype=np.int64).reshape(V**length, length)
    expected = [[float(reference.p(c, x)) for x in range(V)] for c in contexts.tolist()]
    return float(np.abs(np.exp(target.logprobs(contexts)) - expected).max())


@pytest.mark.parametrize("smoothing", NGRAM_SMOOTHINGS)
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_every_context_equals_the_fractions(smoothing: str, n: int) -> None:
    """Contexts of every length from none to longer than the order, seen and unseen."""
    target = NgramTarget(tokens=TEXT, vocab_size=V, n=n, smoothing=smoothing)
    reference = RefNgram(TEXT, vocab_size=V, n=n, smoothing=smoothing)
    assert target.order == n - 1
    for length in range(min(n, 4) + 1):
        assert largest_difference(target, reference, length=length) < 1e-14


@given(st.lists(st.integers(0, V - 1), min_size=1, max_size=12), st.integers(1, 4), st.sampled_from(NGRAM_SMOOTHINGS))
@settings(max_examples=60, deadline=None)
def test_short_texts_equal_the_fractions(text: list[int], n: int, smoothing: str) -> None:
    """Texts shorter than n, with one token only, or without n-grams of a count of one."""
    target = NgramTarget(tokens=text, vocab_size=V, n=n, smoothing=smoothing)
    reference = RefNgram(text, vocab_size=V, n=n, smoothing=smoothing)
    for length in range(4):
        assert largest_difference(target, reference, length=length) < 1e-14


@pytest.mark.parametrize(
    ("smoothing", "bug"),
    [
        ("witten-bell", "no kinds"),
        ("witten-bell", "context cut at the wrong end"),
        ("kneser-ney", "raw counts"),
    ],
)
def test_seeded_bugs_are_seen(smoothing: str, bug: str) -> None:
    """The comparisons above can fail: each mistake is far outside their tolerance."""
    target = NgramTarget(tokens=TEXT, vocab_size=V, n=3, smoothing=smoothing)
    reference = RefNgram(TEXT, vocab_size=V, n=3, smoothing=smoothing, bug=bug)
    assert largest_difference(target, reference, length=2) > 1e-3


def test_two_is_the_bigram_target() -> None:
    rng = np.random.default_rng(1)
    text = rng.zipf(1.4, size=4000) % 50
    bigram = corpus_bigram(tokens=text, vocab_size=60)  # ten tokens that the text does not have
    target = NgramTarget(tokens=text, vocab_size=60, n=2)
    contexts = np.arange(60)[:, None]
    np.testing.assert_allclose(target.logprobs(contexts), bigram.logprobs(contexts), rtol=0, atol=1e-12)
    np.testing.assert_allclose(target.unigram, bigram.start, rtol=0, atol=1e-15)


@pytest.mark.parametrize("smoothing", NGRAM_SMOOTHINGS)
def test_rows_are_normalised_and_positive(smoothing: str) -> None:
    rng = np.random.default_rng(2)
    text = rng.zipf(1.2, size=20_000) % 300
    target = NgramTarget(tokens=text, vocab_size=300, n=8, smoothing=smoothing)
    seen = np.lib.stride_tricks.sliding_window_view(text, 7)[:500]
    for contexts in (seen, rng.integers(0, 300, size=(500, 7))):
        p = np.exp(target.logprobs(contexts))
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=0, atol=1e-12)
        assert p.min() > 0


def test_last_tokens_decide() -> None:
    target = NgramTarget(tokens=TEXT, vocab_size=V, n=3)
    long = np.array([[2, 2, 2, 0, 1], [0, 0, 1, 0, 1], [0, 0, 1, 1, 1]])
    logs = target.logprobs(long)
    np.testing.assert_array_equal(logs, target.logprobs(long[:, -2:]))
    np.testing.assert_array_equal(logs[0], logs[1])
    assert not np.array_equal(logs[0], logs[2])


def test_batch_does_not_matter() -> None:
    target = NgramTarget(tokens=TEXT, vocab_size=V, n=4)
    contexts = np.array(list(itertools.product(range(V), repeat=3)))
    together = target.logprobs(contexts)
    for context, logs in zip(contexts, together, strict=True):
        np.testing.assert_array_equal(target.logprobs(context[None])[0], logs)
    assert target.logprobs(contexts[:0]).shape == (0, V)


def test_keys_beyond_64_bits() -> None:
    """Eight tokens of 20 bits: n-grams that differ only in their oldest token stay apart."""
    size = 1 << 20
    top = size - 1
    common = [top - i for i in range(1, 7)]
    text = np.array([0, *common, 5, top, *common, 6] * 3)
    target = NgramTarget(tokens=text, vocab_size=size, n=8)
    p = np.exp(target.logprobs(np.array([[0, *common], [top, *common]])))
    for row, context in enumerate([(0, *common), (top, *common)]):
        for x in (5, 6):
            lower = (3 + 2 * Fraction(p_without_context(text, x, size))) / 8  # after one common token: 3 of 6, 2 kinds
            for _ in range(5):  # five longer contexts of common tokens, with the same counts
                lower = (3 + 2 * lower) / 8
            count = 3 if (x == 5) == (context[0] == 0) else 0
            assert p[row, x] == pytest.approx(float((count + lower) / 4), rel=1e-12)


def p_without_context(text: np.ndarray[Any, Any], x: int, size: int) -> Fraction:
    counts = Counter(text.tolist())
    return (counts[x] + Fraction(len(counts), size)) / (len(text) + len(counts))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n = 0 is not legal: expected an integer in [1, 8]"),
        ({"n": 9}, "n = 9"),
        ({"n": 2.0}, "n = 2.0"),
        ({"vocab_size": 0}, "vocab_size = 0"),
        ({"vocab_size": (1 << 20) + 1}, "vocab_size = 1048577"),
        ({"tokens": []}, "len(tokens) = 0"),
        ({"tokens": [V]}, "contexts = 3"),
        ({"tokens": [[0]]}, "tokens.shape = (1, 1)"),
        ({"smoothing": "laplace"}, "smoothing = 'laplace' is not legal: expected one of witten-bell, kneser-ney"),
    ],
)
def test_bad_arguments_are_one_clear_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match="^" + re.escape(message)):
        NgramTarget(**({"tokens": TEXT, "vocab_size": V, "n": 3} | arguments))


@pytest.mark.parametrize("contexts", [[0, 1], [[0, V]], [[-1]], [[0.5]]])
def test_bad_contexts_are_refused(contexts: list[Any]) -> None:
    with pytest.raises(SpecError, match=r"^contexts"):
        NgramTarget(tokens=TEXT, vocab_size=V, n=3).logprobs(np.array(contexts))
