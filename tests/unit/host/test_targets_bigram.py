# SPDX-License-Identifier: Apache-2.0
"""Bigram targets: the documented generator call, smoothing against fractions, and every way a table can be bad."""

import itertools
import re
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from host.targets.bigram import SUM_TOLERANCE, BigramTarget, corpus_bigram, dirichlet_bigram
from hw.spec.errors import SpecError

V = 6
TEXT = [int(x) for x in np.random.default_rng(20).integers(0, V - 1, size=60)] + [V - 1]  # nothing follows V - 1


def ref_witten_bell(c: int | None, x: int, *, forget_kinds: bool = False) -> Fraction:
    """p(x | c) in fractions, from dictionaries; `forget_kinds` has 1 in the place of t(c)."""
    single = Counter(TEXT)
    unigram = (single[x] + Fraction(len(single), V)) / (len(TEXT) + len(single))
    if c is None:
        return unigram
    behind = Counter(b for a, b in itertools.pairwise(TEXT) if a == c)
    if not behind:
        return unigram
    kinds = 1 if forget_kinds else len(behind)
    return (behind[x] + kinds * unigram) / (sum(behind.values()) + kinds)


def ref_laplace(c: int | None, x: int) -> Fraction:
    if c is None:
        return Fraction(TEXT.count(x) + 1, len(TEXT) + V)
    behind = Counter(b for a, b in itertools.pairwise(TEXT) if a == c)
    return Fraction(behind[x] + 1, sum(behind.values()) + V)


@pytest.mark.parametrize("concentration", [0.05, 1.0, 30.0])
def test_dirichlet_rows_are_the_documented_call(concentration: float) -> None:
    target = dirichlet_bigram(vocab_size=40, concentration=concentration, seed=3)
    rows = np.random.Generator(np.random.PCG64(3)).dirichlet(np.full(40, concentration), size=40)
    np.testing.assert_allclose(target.table, rows, rtol=1e-14, atol=0)
    np.testing.assert_array_equal(target.start, np.full(40, 1 / 40))
    assert not np.array_equal(target.table, dirichlet_bigram(vocab_size=40, concentration=concentration, seed=4).table)


@pytest.mark.parametrize("smoothing", ["witten-bell", "laplace"])
def test_corpus_equals_the_fractions(smoothing: str) -> None:
    reference = ref_witten_bell if smoothing == "witten-bell" else ref_laplace
    target = corpus_bigram(tokens=TEXT, vocab_size=V, smoothing=smoothing)
    expected = [[float(reference(c, x)) for x in range(V)] for c in range(V)]
    np.testing.assert_allclose(target.table, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(target.start, [float(reference(None, x)) for x in range(V)], rtol=0, atol=1e-14)
    np.testing.assert_allclose(target.table.sum(axis=1), 1, rtol=0, atol=1e-14)


def test_smoothing_without_the_number_of_kinds_is_seen() -> None:
    """The comparison above can fail: one constant in the place of t(c) is far outside its tolerance."""
    target = corpus_bigram(tokens=TEXT, vocab_size=V)
    wrong = [[float(ref_witten_bell(c, x, forget_kinds=True)) for x in range(V)] for c in range(V)]
    assert np.abs(target.table - wrong).max() > 1e-3


def test_a_token_that_nothing_follows_has_the_unigram_behind_it() -> None:
    target = corpus_bigram(tokens=TEXT, vocab_size=V)
    np.testing.assert_array_equal(target.table[V - 1], target.start)
    assert np.abs(target.table[0] - target.start).max() > 1e-3


def test_default_smoothing_is_witten_bell() -> None:
    default = corpus_bigram(tokens=TEXT, vocab_size=V)
    np.testing.assert_array_equal(
        default.table, corpus_bigram(tokens=TEXT, vocab_size=V, smoothing="witten-bell").table
    )


def test_last_token_decides_and_the_start_has_its_own_law() -> None:
    target = corpus_bigram(tokens=TEXT, vocab_size=V)
    contexts = np.array([[0, 1, 2], [3, 4, 2], [2, 1, 0]])
    logs = target.logprobs(contexts)
    np.testing.assert_array_equal(logs, np.log(target.table[[2, 2, 0]]))
    assert not np.array_equal(logs[0], logs[2])
    np.testing.assert_array_equal(target.logprobs(np.empty((2, 0), dtype=np.int64)), np.log([target.start] * 2))
    assert target.logprobs(np.empty((0, 3), dtype=np.int64)).shape == (0, V)
    assert target.order == 1


def test_probability_zero_is_minus_infinity_without_a_warning() -> None:
    target = BigramTarget(table=[[0.0, 1.0], [0.5, 0.5]], start=[1.0, 0.0])
    assert target.logprobs(np.array([[0]])).tolist() == [[-np.inf, 0.0]]
    assert target.logprobs(np.empty((1, 0), dtype=np.int64)).tolist() == [[0.0, -np.inf]]


def test_a_text_of_one_token() -> None:
    target = corpus_bigram(tokens=[1], vocab_size=2)
    np.testing.assert_allclose(target.start, [0.25, 0.75], rtol=1e-15)  # (0 + 1/2) / 2 and (1 + 1/2) / 2
    np.testing.assert_array_equal(target.table, [target.start] * 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"table": np.full((2, 3), 1 / 3)}, r"table.shape = (2, 3) is not legal: expected (vocab_size, vocab_size)"),
        ({"table": [0.5, 0.5]}, r"table.shape = (2,)"),
        ({"table": np.empty((0, 0))}, r"vocab_size = 0"),
        ({"table": [[1.0, 0.0], [1.5, -0.5]]}, r"table = -0.5 is not legal: expected finite numbers >= 0"),
        ({"table": [[1.0, 0.0], [np.nan, 1.0]]}, r"table = nan"),
        ({"table": [[1.0, 0.0], [np.inf, 1.0]]}, r"table = inf"),
        ({"table": [[1.0, 0.0], [0.5, 0.5 + 2 * SUM_TOLERANCE]]}, r"sum of table[1] = 1.000000002"),
        ({"table": np.eye(2), "start": [1.0]}, r"start.shape = (1,) is not legal: expected (2,)"),
        ({"table": np.eye(2), "start": [0.5, 0.4]}, r"sum of start[0] = 0.9"),
        ({"table": np.eye(2), "start": [1.5, -0.5]}, r"start = -0.5"),
    ],
)
def test_bad_table_is_one_clear_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match="^" + re.escape(message)):
        BigramTarget(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tokens": [], "vocab_size": 2}, "len(tokens) = 0"),
        ({"tokens": [[0, 1]], "vocab_size": 2}, "tokens.shape = (1, 2)"),
        ({"tokens": [0, 2], "vocab_size": 2}, "contexts = 2 is not legal: expected token ids in [0, 1]"),
        ({"tokens": [0, -1], "vocab_size": 2}, "contexts = -1"),
        ({"tokens": [0.0, 1.0], "vocab_size": 2}, "contexts.dtype = 'float64'"),
        ({"tokens": [0], "vocab_size": 0}, "vocab_size = 0"),
        ({"tokens": [0], "vocab_size": 8193}, "vocab_size = 8193"),
        ({"tokens": [0], "vocab_size": 2, "smoothing": "none"}, "smoothing = 'none' is not legal: expected one of"),
    ],
)
def test_bad_text_is_one_clear_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match="^" + re.escape(message)):
        corpus_bigram(**arguments)


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("vocab_size", {"vocab_size": 0, "concentration": 1.0, "seed": 0}),
        ("c", {"vocab_size": 4, "concentration": 0.0, "seed": 0}),
        ("c", {"vocab_size": 4, "concentration": float("nan"), "seed": 0}),
        ("c", {"vocab_size": 4, "concentration": 1e7, "seed": 0}),
        ("seed", {"vocab_size": 4, "concentration": 1.0, "seed": -1}),
    ],
)
def test_bad_dirichlet_is_one_clear_line(field: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"^{field} = "):
        dirichlet_bigram(**arguments)


@pytest.mark.parametrize("contexts", [[0, 1], [[0, 2]], [[-1]], [[0.5]]])
def test_bad_contexts_are_refused(contexts: list[Any]) -> None:
    target = BigramTarget(table=np.eye(2))
    with pytest.raises(SpecError, match=r"^contexts"):
        target.logprobs(np.array(contexts))
