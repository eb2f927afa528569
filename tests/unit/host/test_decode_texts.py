# SPDX-License-Identifier: Apache-2.0
"""Texts that grow: what is kept, and which of them end alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.decode.texts import Texts
from hw.spec.errors import SpecError


@pytest.mark.parametrize("order", [0, 1, 2, 5, None])
@pytest.mark.parametrize("length", [0, 1, 3, 7])
def test_keeps_the_last_tokens(order: int | None, length: int) -> None:
    """After any number of tokens the contexts are the last `order` ones, or all."""
    rng = np.random.default_rng(length)
    whole = rng.integers(0, 9, (4, length + 40))
    texts = Texts(begin=whole[:, :length], vocab_size=9, order=order)
    for end in range(length, length + 41):
        kept = end if order is None else min(order, end)
        assert np.array_equal(texts.contexts, whole[:, end - kept : end])
        assert texts.position == end
        if end < length + 40:
            texts.append(whole[:, end])


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(0, 4), st.integers(1, 30), st.sampled_from([3, 1 << 20]), st.integers(0, 99))
def test_alike_is_a_partition(order: int, length: int, batch: int, vocab: int, seed: int) -> None:
    """Each text is in the one group whose context is its own; contexts ascend. Both ways of comparing are met."""
    begin = np.random.default_rng(seed).integers(0, 3, (batch, length)) * (vocab // 3)
    texts = Texts(begin=begin, vocab_size=vocab, order=order)
    count = 1 + seed % batch
    contexts, members = texts.alike(count)
    assert [tuple(row) for row in contexts] == sorted({tuple(row) for row in texts.contexts[:count]})
    assert sorted(np.concatenate(members).tolist()) == list(range(count))
    for context, group in zip(contexts, members, strict=True):
        assert (texts.contexts[group] == context).all()


def test_wide_contexts_are_compared_token_by_token() -> None:
    """20 bits times 4 tokens do not fit one integer."""
    begin = np.array([[5, 1, 2, 3], [5, 1, 2, 3], [5, 1, 2, 4], [4, 1, 2, 3]]) << 16
    contexts, members = Texts(begin=begin, vocab_size=1 << 20, order=4).alike(4)
    assert [row[0] >> 16 for row in contexts.tolist()] == [4, 5, 5]
    assert [group.tolist() for group in members] == [[3], [0, 1], [2]]


@pytest.mark.parametrize("begin", [np.array([1, 2]), np.array([[-1]]), np.array([[9]]), np.array([[0.5]])])
def test_bad_texts(begin: np.ndarray) -> None:
    with pytest.raises(SpecError, match="is not legal"):
        Texts(begin=begin, vocab_size=9, order=1)
