# SPDX-License-Identifier: Apache-2.0
"""The table proposer: the psi of the model, one object for contexts that end alike, and what is kept."""

import re
from typing import Any

import numpy as np
import pytest

from host.propose.table import TableProposer
from host.psi.craft import craft_psi
from host.psi.schema import Psi
from host.targets.base import Contexts, LogProbs, Target
from host.targets.ngram import NgramTarget
from hw.spec.errors import SpecError

V = 12
TEXT = np.random.default_rng(7).zipf(1.5, size=600) % V


class Listening:
    """A target that writes down what it is asked."""

    def __init__(self, target: Target, order: int | None) -> None:
        self.target, self.order, self.vocab_size = target, order, target.vocab_size
        self.asked: list[tuple[int, ...]] = []

    def logprobs(self, contexts: Contexts) -> LogProbs:
        self.asked += [tuple(row) for row in contexts.tolist()]
        return self.target.logprobs(contexts)


def listening(n: int = 3) -> Listening:
    return Listening(NgramTarget(tokens=TEXT, vocab_size=V, n=n), n - 1)


def emit(proposer: TableProposer, contexts: Any) -> list[Psi]:
    rows = np.asarray(contexts, dtype=np.int64)
    return list(proposer.emit(proposer.start(len(rows)), rows))


def test_psi_is_that_of_the_model() -> None:
    model = listening()
    proposer = TableProposer(model=model, k=5, tau=1.25, eps=0.001)
    contexts = np.array([[0, 1, 2], [3, 2, 1], [1, 0, 0]])
    expected = [craft_psi(np.exp(logs), 5, 1.25, 0.001) for logs in model.target.logprobs(contexts)]
    assert emit(proposer, contexts) == expected
    assert len(set(expected)) == 3  # the order of the rows can be seen
    assert (proposer.vocab_size, proposer.order) == (V, 2)


def test_contexts_that_end_alike_get_the_identical_object() -> None:
    model = listening()
    proposer = TableProposer(model=model, k=4)
    first, other, second = emit(proposer, [[5, 1, 2], [5, 2, 2], [7, 1, 2]])
    assert first is second
    assert first is not other
    assert emit(proposer, [[1, 2]])[0] is first  # in a later call, of another length
    assert model.asked == [(1, 2), (2, 2)]  # once each, and with the last two tokens only


def test_start_of_a_text_is_not_mixed_up_with_longer_contexts() -> None:
    model = listening()
    proposer = TableProposer(model=model, k=4)
    empty = emit(proposer, np.empty((2, 0)))
    one = emit(proposer, [[1]])
    two = emit(proposer, [[0, 1]])
    assert empty[0] is empty[1]
    assert model.asked == [(), (1,), (0, 1)]
    assert len({*empty, *one, *two}) == 3


def test_unigram_has_one_psi() -> None:
    proposer = TableProposer(model=listening(n=1), k=4)
    assert len({id(psi) for psi in emit(proposer, [[0, 1], [2, 3], [4, 5]])}) == 1


def test_the_one_unused_for_longest_goes_first() -> None:
    model = listening(n=2)
    proposer = TableProposer(model=model, k=4, cache=2)
    kept = emit(proposer, [[0], [1]])
    assert emit(proposer, [[0]])[0] is kept[0]  # 0 is used again, so 1 goes when 2 comes
    emit(proposer, [[2]])
    assert emit(proposer, [[0]])[0] is kept[0]
    assert model.asked == [(0,), (1,), (2,)]
    again = emit(proposer, [[1]])[0]
    assert model.asked[-1] == (1,)
    assert again == kept[1]
    assert again is not kept[1]


def test_a_batch_larger_than_the_cache() -> None:
    """Every row gets its psi, equal rows the same object; what is kept afterwards is the end of the batch."""
    model = listening(n=2)
    proposer = TableProposer(model=model, k=4, cache=3)
    rows = [[token] for token in (0, 1, 2, 3, 4, 5, 6, 7, 0)]
    crafted = emit(proposer, rows)
    assert crafted[0] is crafted[8]
    assert crafted == [craft_psi(np.exp(logs), 4) for logs in model.target.logprobs(np.array(rows))]
    model.asked.clear()
    assert emit(proposer, [[5], [6], [7]]) == crafted[5:8]
    assert model.asked == []


def test_state_remembers_nothing() -> None:
    proposer = TableProposer(model=listening(), k=4)
    state = proposer.start(2)
    before = proposer.emit(state, np.array([[0, 1], [1, 0]]))
    state.advance(np.array([5, 6]))
    assert list(proposer.emit(state, np.array([[0, 1], [1, 0]]))) == list(before)
    state.reset()
    assert list(proposer.emit(state, np.array([[0, 1], [1, 0]]))) == list(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "K = 0 is not legal: expected an integer in [1, 12]"),
        ({"k": V + 1}, "K = 13"),
        ({"tau": 0.0}, "tau = 0.0"),
        ({"eps": -1.0}, "eps = -1.0"),
        ({"eps": "none"}, "eps = 'none'"),
        ({"cache": 0}, "cache = 0"),
        ({"model": Listening(NgramTarget(tokens=TEXT, vocab_size=V, n=2), None)}, "model.order = None"),
    ],
)
def test_bad_arguments_are_one_clear_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match="^" + re.escape(message)):
        TableProposer(**({"model": listening(), "k": 4} | arguments))


@pytest.mark.parametrize("contexts", [[0, 1], [[0, V]], [[-1, 0]], [[0.5]]])
def test_bad_contexts_are_refused(contexts: list[Any]) -> None:
    proposer = TableProposer(model=listening(), k=4)
    with pytest.raises(SpecError, match=r"^contexts"):
        proposer.emit(proposer.start(1), np.array(contexts))
