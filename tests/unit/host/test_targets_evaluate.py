# SPDX-License-Identifier: Apache-2.0
"""Cross entropy of a text under a target, against sums by hand."""

import math

import numpy as np
import pytest

from host.targets.base import Contexts, LogProbs
from host.targets.bigram import BigramTarget
from host.targets.evaluate import cross_entropy
from host.targets.ngram import NgramTarget
from hw.spec.errors import SpecError


class Unbounded:
    """A target without an order."""

    vocab_size = 2
    order = None

    def logprobs(self, contexts: Contexts) -> LogProbs:
        return np.full((len(contexts), 2), -math.log(2))


def test_bigram_by_hand() -> None:
    target = BigramTarget(table=[[0.25, 0.75], [0.5, 0.5]], start=[0.125, 0.875])
    expected = -math.log(0.125 * 0.75 * 0.5 * 0.25) / 4  # 0 | start, 1 | 0, 0 | 1, 0 | 0
    assert cross_entropy(target=target, tokens=[0, 1, 0, 0]) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("batch", [1, 7, 1024])
def test_every_token_counts_once_whatever_the_batch(batch: int) -> None:
    text = np.random.default_rng(3).integers(0, 5, size=50)
    target = NgramTarget(tokens=text, vocab_size=5, n=4)
    expected = -np.mean([target.logprobs(text[None, :i])[0, text[i]] for i in range(50)])
    assert cross_entropy(target=target, tokens=text, batch=batch) == pytest.approx(expected, rel=1e-13)


def test_text_shorter_than_the_order() -> None:
    target = NgramTarget(tokens=[0, 1, 1, 0], vocab_size=2, n=8)
    assert cross_entropy(target=target, tokens=[1]) == pytest.approx(-math.log(target.unigram[1]), rel=1e-15)


def test_probability_zero_is_infinite() -> None:
    assert cross_entropy(target=BigramTarget(table=np.eye(2)), tokens=[0, 1]) == math.inf


def test_bad_arguments_are_refused() -> None:
    target = BigramTarget(table=np.eye(2))
    with pytest.raises(SpecError, match=r"^target\.order = None"):
        cross_entropy(target=Unbounded(), tokens=[0])
    with pytest.raises(SpecError, match=r"^len\(tokens\) = 0"):
        cross_entropy(target=target, tokens=[])
    with pytest.raises(SpecError, match=r"^contexts = 2"):
        cross_entropy(target=target, tokens=[2])
    with pytest.raises(SpecError, match=r"^batch = 0"):
        cross_entropy(target=target, tokens=[0], batch=0)
