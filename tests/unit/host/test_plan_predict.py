# SPDX-License-Identifier: Apache-2.0
"""Forecasts of chains: the closed forms in fractions, chains that are enumerated, values by hand."""

import itertools
from fractions import Fraction

import pytest

from host.plan.predict import (
    best_length,
    chain_forecast,
    tokens_per_call,
    tree_acceptance_rate,
    walltime_speedup,
)
from hw.spec.errors import SpecError


def closed_form(acceptance: Fraction, length: int) -> Fraction:
    return (1 - acceptance ** (length + 1)) / (1 - acceptance)


@pytest.mark.parametrize("acceptance", [Fraction(0), Fraction(1, 3), Fraction(3, 4), Fraction(99, 100)])
@pytest.mark.parametrize("length", [0, 1, 4, 64])
def test_tokens_per_call_is_the_closed_form(acceptance: Fraction, length: int) -> None:
    wanted = float(closed_form(acceptance, length))
    assert tokens_per_call(acceptance=float(acceptance), length=length) == pytest.approx(wanted, rel=1e-14)


def test_values_by_hand() -> None:
    """a = 0.8, L = 5 gives 3.68928; with c = 0.05 that is 2.951424 times as fast; certain acceptance gives L + 1."""
    assert tokens_per_call(acceptance=0.8, length=5) == pytest.approx(3.68928, abs=1e-14)
    assert walltime_speedup(acceptance=0.8, length=5, cost=0.05) == pytest.approx(2.951424, abs=1e-14)
    assert tokens_per_call(acceptance=1.0, length=7) == 8.0


def test_different_acceptances_are_those_of_an_enumeration() -> None:
    """Over all outcomes of L decisions: the first refusal ends the chain, and a token comes behind."""
    acceptances = [Fraction(3, 4), Fraction(1, 2), Fraction(2, 3), Fraction(1, 5)]
    expected, passed = Fraction(0), [Fraction(0)] * 4
    for outcome in itertools.product([True, False], repeat=4):
        chance = Fraction(1)
        for ok, a in zip(outcome, acceptances, strict=True):
            chance *= a if ok else 1 - a
        accepted = [*outcome, False].index(False)
        expected += chance * (accepted + 1)
        for i in range(accepted):
            passed[i] += chance
    forecast = chain_forecast(acceptances=[float(a) for a in acceptances], cost=0.25)
    assert forecast.tokens_per_call == pytest.approx(float(expected), abs=1e-14)
    assert forecast.accepted_per_position == pytest.approx([float(share) for share in passed], abs=1e-14)
    assert forecast.draft_acceptance_rate == pytest.approx(float((expected - 1) / 4), abs=1e-14)
    assert forecast.speedup == pytest.approx(float(expected) / 2, abs=1e-14)


def test_the_mean_of_the_acceptances_is_no_substitute() -> None:
    """Seeded bug: one mean acceptance in the closed form; order matters, early refusals cost more."""
    falling = chain_forecast(acceptances=[0.9, 0.6, 0.3]).tokens_per_call
    rising = chain_forecast(acceptances=[0.3, 0.6, 0.9]).tokens_per_call
    assert falling - tokens_per_call(acceptance=0.6, length=3) > 0.4
    assert falling - rising > 0.9


def test_no_chain_without_drafts() -> None:
    forecast = chain_forecast(acceptances=[], cost=3.0)
    assert (forecast.tokens_per_call, forecast.draft_acceptance_rate, forecast.speedup) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(("acceptance", "cost"), [(0.5, 0.3), (0.8, 0.05), (0.95, 0.01), (0.6, 0.9), (0.0, 0.1)])
def test_best_length_is_the_best_of_all(acceptance: float, cost: float) -> None:
    speedups = [float(closed_form(Fraction(acceptance), n)) / (cost * n + 1) for n in range(65)]
    assert best_length(acceptance=acceptance, cost=cost) == max(range(65), key=lambda n: (speedups[n], -n))


def test_drafts_pay_exactly_where_acceptance_exceeds_their_cost() -> None:
    """Leviathan et al., corollary 3.9: some length is faster than none when a > c, and none is otherwise."""
    assert best_length(acceptance=0.31, cost=0.3) == 1
    assert best_length(acceptance=0.29, cost=0.3) == 0


def test_acceptance_rate_of_a_tree() -> None:
    assert tree_acceptance_rate(tokens_per_call=4.2, nodes=16) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tokens_per_call(acceptance=1.1, length=3), "acceptance = 1.1"),
        (lambda: tokens_per_call(acceptance=float("nan"), length=3), "acceptance = nan"),
        (lambda: tokens_per_call(acceptance=0.5, length=-1), "length = -1"),
        (lambda: chain_forecast(acceptances=[0.5, -0.1]), r"acceptances[1] = -0.1"),
        (lambda: chain_forecast(acceptances=[0.5] * 257), "len(acceptances) = 257"),
        (lambda: walltime_speedup(acceptance=0.5, length=1, cost=-1.0), "cost = -1.0"),
        (lambda: best_length(acceptance=0.5, cost=0.1, longest=999), "longest = 999"),
        (lambda: tree_acceptance_rate(tokens_per_call=3.0, nodes=0), "nodes = 0"),
        (lambda: tree_acceptance_rate(tokens_per_call=9.0, nodes=4), "tokens_per_call = 9.0"),
    ],
)
def test_bad_arguments(call, message: str) -> None:
    with pytest.raises(SpecError) as error:
        call()
    assert str(error.value).startswith(message)
