# SPDX-License-Identifier: Apache-2.0
"""The walk through a tree of drafts: its joint law, enumerated over all drafts and decisions; and who judges what."""

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from host.draft.tree import DraftTree, GrowingTree, LazyLaw, Place
from host.plan.shape import TreeShape
from host.psi.law import DraftLaw
from host.tsu.base import Draws
from host.verify import walk as module
from host.verify.gumbel import gumbel_token
from host.verify.multi import MultiVerified
from host.verify.siblings import SiblingVerifier
from host.verify.single import LawMismatchError
from host.verify.walk import Judged, check_walk_method, default_method, walk
from hw.spec.errors import SpecError
from tests.reference.decisions import decisions

Text = tuple[int, ...]

SHAPES = {
    "chain": TreeShape.chain(3),
    "siblings": TreeShape.siblings(3),
    "wide": TreeShape(children=(2, 1, 1, 0, 0)),
    "uneven": TreeShape(children=(2, 2, 0, 1, 0, 0)),
}


class Known(LazyLaw):
    """A law that is there already."""

    def __init__(self, law: DraftLaw) -> None:
        self.value = law
        self.seconds = 0.0


class World:
    """Targets and draft laws behind every short text over V tokens."""

    def __init__(self, vocab_size: int, seed: int) -> None:
        self.vocab_size, self._rng = vocab_size, np.random.default_rng(seed)
        self._p: dict[Text, np.ndarray] = {}
        self._law: dict[tuple[Text, int], Known] = {}

    def p(self, text: Text) -> np.ndarray:
        if text not in self._p:
            self._p[text] = self._rng.dirichlet(np.full(self.vocab_size, 0.7))
        return self._p[text]

    def law(self, text: Text, drafts: int) -> Known:
        if (text, drafts) not in self._law:
            weights = self._rng.integers(1, 40, self.vocab_size - 1).astype(np.uint64)
            ids = np.arange(self.vocab_size - 1, dtype=np.uint32)
            tail = int(self._rng.integers(1, 40))
            self._law[text, drafts] = Known(
                DraftLaw(ids=ids, weights=weights, tail_weight=tail, vocab_size=self.vocab_size)
            )
        return self._law[text, drafts]

    def draws(self, tokens: tuple[int, ...], law: DraftLaw) -> Draws:
        array = np.array(tokens, dtype=np.uint32)
        return Draws(tokens=array, weights=law.weight_of(array), spreads=law.spread_of(array), total=law.total)

    def trees(self, shape: TreeShape) -> Iterator[tuple[DraftTree, float]]:
        """Every tree of drafts, and its probability."""
        yield from self._grow(shape, [], 1.0)

    def _grow(self, shape: TreeShape, drawn: list[tuple[int, ...]], chance: float) -> Iterator[tuple[DraftTree, float]]:
        growing, open_ = GrowingTree(shape), [(0, ())]
        for tokens in drawn:
            node, text = open_.pop(0)
            lazy = self.law(text, len(tokens))
            for child in growing.add(node, self.draws(tokens, lazy.value), lazy):
                if growing.drafts(child):
                    open_.append((child, (*text, growing.token(child))))
        if not open_:
            yield growing.finish(), chance
            return
        node, text = open_[0]
        q = self.law(text, growing.drafts(node)).value.probabilities()
        for tokens in itertools.product(range(self.vocab_size), repeat=growing.drafts(node)):
            yield from self._grow(shape, [*drawn, tokens], chance * float(np.prod(q[list(tokens)])))


class Script:
    """Makes every decision of a walk, one way after the other."""

    def __init__(self) -> None:
        self._chosen: list[int] = []
        self._counts: list[int] = []
        self.chance = 1.0

    def choose(self, options: list[tuple[object, float]]) -> object:
        place = len(self._counts)
        self._counts.append(len(options))
        if place == len(self._chosen):
            self._chosen.append(0)
        found, share = options[self._chosen[place]]
        self.chance *= share
        return found

    def next(self) -> bool:
        """On to the next way; False when there is none."""
        self._chosen = self._chosen[: len(self._counts)]
        counts, self._counts, self.chance = self._counts, [], 1.0
        while self._chosen:
            if self._chosen[-1] + 1 < counts[len(self._chosen) - 1]:
                self._chosen[-1] += 1
                return True
            self._chosen.pop()
        return False


def joint_law(
    world: World,
    shape: TreeShape,
    method: str,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[..., list[Judged]] = walk,
) -> dict[Text, float]:
    """Law of depth + 1 tokens: those of the walk, and what the target says behind them."""
    script, known = Script(), {}

    def verify(self: SiblingVerifier, drafts: list[int], rng: object) -> MultiVerified:
        key = (id(self.law), tuple(drafts))
        if key not in known:
            known[key] = [(MultiVerified(token=t, accepted=a), share) for t, a, share in decisions(self, tuple(drafts))]
        return script.choose(known[key])

    monkeypatch.setattr(SiblingVerifier, "verify", verify)
    monkeypatch.setattr(module, "draw_token", lambda p, u: script.choose(list(enumerate(p.tolist()))))
    law: dict[Text, float] = {}
    for tree, chance in world.trees(shape):
        texts: dict[int, Text] = {0: ()}
        for node, (token, parent) in enumerate(zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True), 1):
            texts[node] = (*texts[parent], token)
        row = lambda node, texts=texts: world.p(texts[node])  # noqa: E731
        while True:
            judged = run(tree, row, method=method, rng=np.random.default_rng(0), seed=0, position=0)
            text = tuple(found.token for found in judged)
            for rest in itertools.product(range(world.vocab_size), repeat=shape.depth + 1 - len(text)):
                whole, behind = (*text, *rest), 1.0
                for length in range(len(text), len(whole)):
                    behind *= world.p(whole[:length])[whole[length]]
                law[whole] = law.get(whole, 0.0) + chance * script.chance * behind
            if not script.next():
                break
    return law


def target_law(world: World, length: int) -> dict[Text, float]:
    texts = itertools.product(range(world.vocab_size), repeat=length)
    return {text: float(np.prod([world.p(text[:i])[text[i]] for i in range(length)])) for text in texts}


def furthest(found: dict[Text, float], wanted: dict[Text, float]) -> float:
    return max(abs(found.get(text, 0.0) - wanted[text]) for text in wanted)


@pytest.mark.parametrize("method", ["race", "rrs", "kseq", "token"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_text_has_the_targets_law(name: str, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """V = 2, every tree and every decision: joint law of depth + 1 tokens within 1e-12."""
    shape, world = SHAPES[name], World(2, seed=len(name))
    found = joint_law(world, shape, method, monkeypatch)
    assert furthest(found, target_law(world, shape.depth + 1)) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("method", ["race", "rrs", "kseq"])
def test_the_text_has_the_targets_law_with_three_tokens(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shape, world = TreeShape(children=(2, 1, 1, 0, 0)), World(3, seed=5)
    assert furthest(joint_law(world, shape, method, monkeypatch), target_law(world, 3)) < 1e-12


def row_above(tree: DraftTree, row: Callable[[int], np.ndarray], **more: object) -> list[Judged]:
    """The seeded bug: rows that are one node behind."""
    return walk(tree, lambda node: row(int(tree.parents[node - 1]) if node else 0), **more)


def test_a_row_of_the_wrong_node_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    world, shape = World(2, seed=3), SHAPES["wide"]
    found = joint_law(world, shape, "race", monkeypatch, run=row_above)
    assert furthest(found, target_law(world, 3)) > 1e-2


def plain_tree(world: World, *drafts: int) -> DraftTree:
    """A chain of these drafts."""
    growing, text = GrowingTree(TreeShape.chain(len(drafts))), ()
    for node, draft in enumerate(drafts):
        lazy = world.law(text, 1)
        growing.add(node, world.draws((draft,), lazy.value), lazy)
        text = (*text, draft)
    return growing.finish()


def test_gumbel_gives_one_text_whatever_was_drafted() -> None:
    """The tokens are those of `gumbel_token` at their positions; how many of them a step gives is all that differs."""
    world = World(4, seed=1)
    lengths = set()
    for drafts in itertools.product(range(4), repeat=3):
        tree = plain_tree(world, *drafts)
        texts = [drafts[:node] for node in range(4)]
        judged = walk(
            tree, lambda node, texts=texts: world.p(texts[node]), method="gumbel", rng=np.random.default_rng(0),
            seed=9, position=5,
        )  # fmt: skip
        text: Text = ()
        for found in judged:
            assert found.token == gumbel_token(world.p(text), seed=9, position=5 + len(text))
            text = (*text, found.token)
        lengths.add(len(text))
    assert lengths == {1, 2, 3, 4}


def test_rows_are_asked_for_as_far_as_the_walk_goes() -> None:
    """A draft that is refused costs no row behind it."""
    world, asked = World(3, seed=2), []

    def row(node: int) -> np.ndarray:
        asked.append(node)
        p = np.zeros(3)
        p[2] = 1.0
        return p

    judged = walk(plain_tree(world, 0, 1, 1), row, method="token", rng=np.random.default_rng(0), seed=0, position=0)
    assert [found.token for found in judged] == [2]
    assert asked == [0]


@pytest.mark.parametrize("method", ["block", "token", "race"])
def test_integers_that_are_not_the_laws_are_refused(method: str) -> None:
    world = World(3, seed=4)
    tree = plain_tree(world, 0, 1)
    place = tree.places[0]
    wrong = Draws(
        tokens=place.draws.tokens, weights=place.draws.weights + 1, spreads=place.draws.spreads, total=place.draws.total
    )
    tree.places[0] = Place(node=0, draws=wrong, children=place.children, lazy=place.lazy)
    with pytest.raises(LawMismatchError, match="the TSU reported weight"):
        walk(
            tree, lambda node: np.full(3, 1 / 3), method=method, rng=np.random.default_rng(0), seed=0, position=0
        )  # fmt: skip


def test_methods_and_what_they_suit() -> None:
    assert (default_method(chain=True), default_method(chain=False)) == ("block", "race")
    assert check_walk_method("token", chain=True) == "token"
    for method in ("token", "block"):
        with pytest.raises(SpecError, match="for several drafts"):
            check_walk_method(method, chain=False)
    with pytest.raises(SpecError, match="verify = 'best' is not legal: expected one of block, token, race"):
        check_walk_method("best", chain=True)
