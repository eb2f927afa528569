# SPDX-License-Identifier: Apache-2.0
"""Monte Carlo of trees against predictions, sized so that wrong formulas are seen; small trees enumerated whole."""

import itertools
import math

import numpy as np
import pytest

from host.plan.acceptance import AcceptanceTable, acceptance_table, psi_and_law
from host.plan.merge import distinct_nodes
from host.plan.shape import TreeShape
from host.plan.simulate import TreeSample, deviation_bound, simulate_tree
from host.plan.tree import deviation_of_shape, plan_tree, reach, tokens_of_shape
from host.stats import binomial_p_value
from host.targets.categorical import dirichlet
from host.verify.multi import MultiVerified
from host.verify.siblings import SiblingVerifier
from hw.spec.errors import SpecError

ALPHA = 1e-6
"""Chance of a check to fail where all is right, at most."""

ROUNDS = {"race": 8000, "rrs": 3000, "kseq": 3000}

P = dirichlet(vocab_size=40, alpha=1.0, seed=4)


def table_of(rule: str, **options) -> AcceptanceTable:
    return acceptance_table(targets=P[None], k=4, rule=rule, children_max=4, **options)


def shape_for(rule: str) -> TreeShape:
    return plan_tree(tables=[table_of(rule)], budget=24, depth_max=5).shape


def bound(shape: TreeShape, table: AcceptanceTable, rounds: int) -> float:
    deviation = deviation_of_shape(shape, [table])
    return deviation_bound(deviation=deviation, span=shape.depth, rounds=rounds, alpha=ALPHA)


def sample_of(rule: str) -> TreeSample:
    return simulate_tree(shape_for(rule), target=P, k=4, rounds=ROUNDS[rule], rng=np.random.default_rng(7), rule=rule)


@pytest.mark.parametrize("rule", list(ROUNDS))
def test_trees_give_what_was_predicted(rule: str) -> None:
    """Mean tokens, how often each draft is accepted, and the law of the tokens."""
    shape, table, sample = shape_for(rule), table_of(rule), sample_of(rule)
    assert not shape.is_chain
    assert abs(sample.tokens_per_call - tokens_of_shape(shape, [table])) <= bound(shape, table, sample.rounds)
    p_values = [
        binomial_p_value(int(count), sample.rounds, chance)
        for count, chance in zip(sample.reached[1:], reach(shape, [table])[1:], strict=True)
    ]
    assert min(p_values) > ALPHA / shape.nodes
    assert sample.p_value > ALPHA


def test_wrong_tables_are_seen() -> None:
    """Seeded bugs: tails for one draft, one draft where there are more, another rule: further off than by chance."""
    shape, sample = shape_for("race"), sample_of("race")
    a = table_of("race").acceptances[1]
    wrong = {
        "tail for one draft": table_of("race", drafts=1),
        "one draft": AcceptanceTable.symmetric([0.0, a, a, a, a]),
        "recursive rejection": table_of("rrs"),
    }
    for name, table in wrong.items():
        off = abs(sample.tokens_per_call - tokens_of_shape(shape, [table]))
        assert off > bound(shape, table, sample.rounds), name
        right = table_of("race")
        gap = abs(tokens_of_shape(shape, [right]) - tokens_of_shape(shape, [table]))
        error = deviation_of_shape(shape, [right]) / math.sqrt(sample.rounds)
        power = 1 - math.erfc((gap - bound(shape, table, sample.rounds)) / (error * math.sqrt(2))) / 2
        assert power > 0.99, name


def test_a_verifier_that_keeps_every_draft_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded bug: the first draft is always accepted. The tokens then follow q, and too many are accepted."""
    keep = lambda verifier, drafts, rng: MultiVerified(token=drafts[0], accepted=0)  # noqa: E731
    monkeypatch.setattr(SiblingVerifier, "verify", keep)
    shape, table, sample = shape_for("race"), table_of("race"), sample_of("race")
    assert sample.p_value < ALPHA
    assert sample.tokens_per_call - tokens_of_shape(shape, [table]) > bound(shape, table, sample.rounds)


def test_figures_are_those_of_the_calls() -> None:
    """Every call gives 2 tokens where the first of two drafts is always accepted, 1 where none is."""
    p = np.array([0.5, 0.5])
    shape = TreeShape(children=(1, 0))
    sample = simulate_tree(shape, target=p, k=2, rounds=50, rng=np.random.default_rng(0))
    assert (sample.tokens_per_call, sample.standard_error, sample.counts.sum()) == (2.0, 0.0, 50)
    assert sample.reached.tolist() == [50, 50]
    none = simulate_tree(TreeShape(children=(0,)), target=p, k=2, rounds=50, rng=np.random.default_rng(0))
    assert (none.tokens_per_call, none.p_value) == (1.0, 1.0)


def test_the_standard_error_is_that_of_the_tokens() -> None:
    shape, sample = shape_for("race"), sample_of("race")
    ended = sample.reached.copy()
    for node in range(1, shape.nodes + 1):
        ended[shape.parents[node]] -= sample.reached[node]
    tokens = np.repeat(np.array(shape.depths) + 1.0, ended)
    assert len(tokens) == sample.rounds
    assert sample.tokens_per_call == pytest.approx(tokens.mean())
    assert sample.standard_error == pytest.approx(tokens.std(ddof=1) / math.sqrt(sample.rounds))


def test_the_bound_covers_binomial_tails() -> None:
    """Bernstein's bound of a mean of 0/1 outcomes: exact tails beyond it are below alpha, and not by far too much."""
    for chance, rounds in ((0.5, 400), (0.9, 1000), (0.001, 500)):
        deviation = math.sqrt(chance * (1 - chance))
        off = deviation_bound(deviation=deviation, span=1.0, rounds=rounds, alpha=1e-3)
        counts = np.arange(rounds + 1)
        logs = np.array([math.lgamma(rounds + 1) - math.lgamma(c + 1) - math.lgamma(rounds - c + 1) for c in counts])
        law = np.exp(logs + counts * math.log(chance) + (rounds - counts) * math.log(1 - chance))
        outside = law[np.abs(counts / rounds - chance) >= off].sum()
        assert outside <= 1e-3
        assert law[np.abs(counts / rounds - chance) >= off / 3].sum() > 1e-3


# --- merged drafts ----------------------------------------------------------------------------------------------------


def distinct_by_enumeration(shape: TreeShape, p: np.ndarray, k: int) -> float:
    """Expected different paths, over all tokens of all drafts."""
    laws = {n: psi_and_law(p, k=k, drafts=n)[1].probabilities() for n in set(shape.children) if n}
    total = 0.0
    for tokens in itertools.product(range(len(p)), repeat=shape.nodes):
        chance, paths = 1.0, [()]
        for (parent, _, _), token in zip(shape, tokens, strict=True):
            chance *= laws[shape.children[parent]][token]
            paths.append((*paths[parent], token))
        total += chance * len(set(paths[1:]))
    return total


@pytest.mark.parametrize("children", [(3, 0, 0, 0), (2, 1, 1, 0, 0), (2, 2, 1, 0, 0, 0), (1, 3, 0, 0, 0)])
def test_distinct_drafts_are_those_of_an_enumeration(children: tuple[int, ...]) -> None:
    p = np.array([0.6, 0.3, 0.1])
    shape = TreeShape(children=children)
    found = distinct_nodes(shape, target=p, k=2, rounds=20_000, rng=np.random.default_rng(3))
    wanted = distinct_by_enumeration(shape, p, 2)
    assert abs(found.mean - wanted) < 5 * found.standard_error
    assert found.standard_error < 0.02
    assert shape.nodes - wanted > 20 * found.standard_error  # merging nothing would be seen


def test_a_certain_token_is_one_path() -> None:
    found = distinct_nodes(
        TreeShape(children=(2, 2, 2, 0, 0, 0, 0)), target=np.array([1.0, 0.0]), k=1, rounds=10,
        rng=np.random.default_rng(1),
    )  # fmt: skip
    assert (found.mean, found.standard_error) == (2.0, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "optimal"}, "rule = 'optimal'"),
        ({"rounds": 0}, "rounds = 0"),
        ({"target": np.array([0.5, 0.6])}, "sum of p = 1.1"),
        ({"k": 0}, "K = 0"),
    ],
)
def test_bad_arguments(options, message: str) -> None:
    with pytest.raises(SpecError) as error:
        simulate_tree(
            TreeShape.chain(2), **{"target": P, "k": 4, "rounds": 10, "rng": np.random.default_rng(0), **options}
        )
    assert str(error.value).startswith(message)


def test_bad_rounds_of_merging() -> None:
    with pytest.raises(SpecError):
        distinct_nodes(TreeShape.chain(1), target=P, k=4, rounds=0, rng=np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("budget", [16, 32, 64])
def test_the_documented_trees_give_their_tokens(budget: int) -> None:
    """Dirichlet(1), V = 1000, K = 64, the race, 40,000 calls: predicted tokens, and tokens of law p."""
    p = dirichlet(vocab_size=1000, alpha=1.0, seed=0)
    table = acceptance_table(targets=p[None], k=64, rule="race")
    plan = plan_tree(tables=[table], budget=budget)
    sample = simulate_tree(plan.shape, target=p, k=64, rounds=40_000, rng=np.random.default_rng(budget))
    assert abs(sample.tokens_per_call - plan.tokens_per_call) <= bound(plan.shape, table, sample.rounds)
    assert sample.p_value > ALPHA
    without = acceptance_table(targets=p[None], k=64, rule="race", drafts=1)
    off = abs(sample.tokens_per_call - tokens_of_shape(plan.shape, [without]))
    assert off > bound(plan.shape, without, sample.rounds)  # the seeded bug: tails for one draft
