# SPDX-License-Identifier: Apache-2.0
"""Drafts: shapes that are cut, trees that grow, what a run may ask for, and shapes that follow the acceptance."""

from collections.abc import Sequence

import numpy as np
import pytest

from host.draft.drafting import SEEN_FIRST, FixedDrafting, TreeDrafting
from host.draft.draw import draft_tree
from host.draft.options import DraftOptions
from host.golden.exact import draft_law
from host.plan.shape import TreeShape
from host.psi.craft import craft_psi
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.tsu.model import ModelTsu
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError

CONFIG = TsuConfig(k_max=64)
VOCAB = 40


class Following:
    """A proposer whose psi depends on the whole text, which its state has to have seen; it notes what it was asked."""

    vocab_size, order, horizon = VOCAB, None, None

    class State:
        def __init__(self, texts: list[list[int]]) -> None:
            self.texts = texts

        def reset(self) -> None:
            self.texts = [[] for _ in self.texts]

        def advance(self, tokens: np.ndarray) -> None:
            for text, token in zip(self.texts, tokens.tolist(), strict=True):
                text.append(token)

        def take(self, texts: Sequence[int]) -> "Following.State":
            return Following.State([list(self.texts[text]) for text in texts])

    def __init__(self) -> None:
        self.asked: list[tuple[list[list[int]], int]] = []

    def start(self, batch: int) -> State:
        return self.State([[] for _ in range(batch)])

    def psi(self, text: list[int], drafts: int) -> Psi:
        return craft_psi(np.random.default_rng(text).dirichlet(np.full(VOCAB, 0.2)), 8, drafts=drafts)

    def emit(self, state: "Following.State", contexts: np.ndarray, drafts: int = 1) -> list[Psi]:
        assert contexts.tolist() == state.texts
        self.asked.append((contexts.tolist(), drafts))
        return [self.psi(text, drafts) for text in contexts.tolist()]


def drawn(shape: TreeShape, seed: int = 3):
    proposer = Following()
    state = proposer.start(1)
    for token in (7, 2):
        state.advance(np.array([token]))
    with ModelTsu(config=CONFIG, seed=seed, mode="exp2") as tsu:
        tree = draft_tree(proposer=proposer, state=state, context=np.array([7, 2]), shape=shape, tsu=tsu, mode="exp2")
    assert state.texts == [[7, 2]]
    return proposer, tree


@pytest.mark.parametrize(
    "shape", [TreeShape.chain(3), TreeShape.siblings(5), TreeShape(children=(3, 2, 1, 0, 1, 0, 2, 0, 0, 0))]
)
def test_drafts_of_a_tree_are_those_of_their_own_contexts(shape: TreeShape) -> None:
    """Node by node: psi of the node's own text, made for its number of drafts, and the TSU's integers of that psi."""
    proposer, tree = drawn(shape)
    texts = {0: [7, 2]}
    for node, (token, parent) in enumerate(zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True), 1):
        texts[node] = [*texts[parent], token]
    assert tree.places[0].draws.tokens.size == shape.children[0]
    for node, place in tree.places.items():
        assert place.psi == proposer.psi(texts[node], len(place.drafts))
        assert place.law.total == draft_law(place.psi, CONFIG, "exp2").total
        assert place.lazy.seconds > 0
        assert [int(tree.tokens[child - 1]) for child in place.children] == place.drafts
        assert all(tree.parents[child - 1] == node for child in place.children)
        assert np.array_equal(place.draws.weights, place.law.weight_of(place.draws.tokens))
    lengths = [len(contexts[0]) for contexts, _ in proposer.asked]
    assert lengths == sorted(lengths)  # level by level


def test_equal_drafts_are_one_node() -> None:
    """Eight drafts of a peaked law: fewer nodes, whose own drafts are those planned for the first of the equals."""
    shape = TreeShape(children=(4, 2, 1, 0, 0, 0, 0, 0))
    sizes = set()
    for seed in range(12):
        _, tree = drawn(shape, seed)
        sizes.add(tree.size)
        place = tree.places[0]
        assert len(set(place.children)) == len(set(place.drafts))
        for child in set(place.children):
            planned = shape.children[1 + place.drafts.index(int(tree.tokens[child - 1]))]
            assert (len(tree.places[child].drafts) if child in tree.places else 0) == planned
    assert len(sizes) > 1


def test_a_shape_is_cut_level_by_level() -> None:
    shape = TreeShape(children=(2, 2, 1, 0, 1, 0, 0))
    assert shape.cut(depth=9, nodes=99) is shape
    assert shape.cut(depth=1, nodes=99) == TreeShape.siblings(2)
    assert shape.cut(depth=2, nodes=99).children == (2, 2, 1, 0, 0, 0)
    assert shape.cut(depth=3, nodes=3).children == (2, 1, 0, 0)
    assert TreeShape.chain(4).cut(depth=2, nodes=9) == TreeShape.chain(2)


def test_what_a_run_may_ask_for() -> None:
    assert DraftOptions().drafting(None) == FixedDrafting(TreeShape.chain(1))
    assert DraftOptions(length=4).drafting(None).shape == TreeShape.chain(4)
    assert DraftOptions(drafts=8).drafting(1).shape == TreeShape.siblings(8)
    assert DraftOptions(tree_nodes=3).drafting(None).shape == TreeShape.chain(3)
    assert DraftOptions(tree_nodes=3).drafting(1).shape == TreeShape.chain(1)
    assert DraftOptions().one_draft and not DraftOptions(verify="gumbel").one_draft
    assert DraftOptions(length=3, drafts=1).facts() == {"L": 3, "n_drafts": 1, "tree_nodes": None, "verify": "block"}
    assert DraftOptions(tree_nodes=9).facts() == {"L": 4, "n_drafts": 16, "tree_nodes": 9, "verify": "race"}
    for wrong, message in (
        ({"length": 9}, "L = 9 is not legal: expected an integer in \\[1, 8\\]"),
        ({"drafts": 17}, "drafts = 17"),
        ({"tree_nodes": 0}, "tree_nodes = 0"),
        ({"length": 2, "drafts": 2}, "drafts = 2 is not legal: expected 1 with L = 2, or a tree"),
        ({"drafts": 2, "verify": "block"}, "verify = 'block' .* for several drafts"),
        ({"tree_nodes": 4, "verify": "token"}, "verify = 'token' .* for several drafts"),
    ):
        with pytest.raises(SpecError, match=message):
            DraftOptions(**wrong)
    for options in (DraftOptions(length=2), DraftOptions(length=2, tree_nodes=4)):
        with pytest.raises(SpecError, match="L = 2"):
            options.drafting(1)


def test_a_trees_shape_follows_the_acceptance() -> None:
    """Where one draft is as good as many a chain is best; where more drafts help, siblings come."""

    def law(q: np.ndarray) -> DraftLaw:
        weights = np.rint(q * 1000).astype(np.uint64)
        return DraftLaw(ids=np.arange(len(q), dtype=np.uint32), weights=weights, tail_weight=0, vocab_size=len(q))

    sure = np.array([0.9, 0.1])
    alike = TreeDrafting(nodes=6, length=3, drafts=8)
    for _ in range(SEEN_FIRST):
        alike.observe(sure, law(sure), 0)
    assert alike.shape == TreeShape.chain(3)
    q, even = np.r_[np.full(25, 0.03), np.full(25, 0.01)], law(np.full(50, 0.02))
    flat = np.r_[np.full(10, 0.1), np.zeros(40)]
    helped = TreeDrafting(nodes=6, length=3, drafts=8)
    assert helped.shape == TreeShape.chain(3)
    for _ in range(SEEN_FIRST - 1):
        helped.observe(flat, even, 0)
    assert helped.shape == TreeShape.chain(3)
    helped.observe(flat, even, 0)
    assert helped.shape.children[0] > 1
    assert helped.shape.nodes <= 6
    assert helped.tables()[0].acceptances[1] == pytest.approx(0.2)
    deeper = TreeDrafting(nodes=6, length=3, drafts=8)
    for depth in (0, 1) * SEEN_FIRST:
        deeper.observe(flat if depth else q, law(q), depth)
    assert len(deeper.tables()) == 2
    assert deeper.tables()[0].acceptances[1] > deeper.tables()[1].acceptances[1]
