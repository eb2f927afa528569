# SPDX-License-Identifier: Apache-2.0
"""Tokens per target call, acceptance rates and walltime of a chain of drafts, in closed form.

Of L drafts, draft i passes with probability a_i given that those before it passed; the first refusal ends the chain,
and one token (recovered, or the bonus token) comes behind the accepted ones. So a target call gives

    E = 1 + a_1 + a_1 a_2 + ... + a_1 ... a_L                  with all a_i = a: (1 - a^(L+1)) / (1 - a)

tokens, and where a draft step takes the c-th part of a target call, and a call over L + 1 positions as long as one over
a single position, decoding is E / (c L + 1) times as fast as without drafts (Leviathan et al., arXiv:2211.17192,
equation 1 and theorem 3.8). That is verification token by token; a chain that is verified as a block
(`host.verify.chain`) accepts at least as much.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hw.spec.errors import check_int

from .checks import NODES_MAX, check_number


@dataclass(frozen=True, kw_only=True)
class ChainForecast:
    """What a chain of L drafts is expected to give.

    Parameters
    ----------
    tokens_per_call : float
        E: emitted tokens of one target call; the mean acceptance length, bonus included.
    draft_acceptance_rate : float
        Accepted draft tokens over draft tokens, (E - 1) / L; 0 without drafts.
    accepted_per_position : tuple of L floats
        Share of the calls in which draft i is accepted, a_1 ... a_i.
    speedup : float
        Over decoding without drafts.
    """

    tokens_per_call: float
    draft_acceptance_rate: float
    accepted_per_position: tuple[float, ...]
    speedup: float


def chain_forecast(*, acceptances: Sequence[float], cost: float = 0.0) -> ChainForecast:
    """Forecast of a chain from the acceptance at each of its positions.

    Parameters
    ----------
    acceptances : sequence of L floats in [0, 1]
        a_i: acceptance of draft i given that the drafts before it were accepted. They may differ.
    cost : float
        c: time of one draft step over that of one target call, >= 0.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    check_int("len(acceptances)", len(acceptances), 0, NODES_MAX)
    cost = check_number("cost", cost, 0.0, math.inf)
    reached, passed = 1.0, []
    for i, acceptance in enumerate(acceptances):
        reached *= check_number(f"acceptances[{i}]", acceptance, 0.0, 1.0)
        passed.append(reached)
    accepted = math.fsum(passed)
    return ChainForecast(
        tokens_per_call=1 + accepted,
        draft_acceptance_rate=accepted / len(passed) if passed else 0.0,
        accepted_per_position=tuple(passed),
        speedup=(1 + accepted) / (cost * len(passed) + 1),
    )


def tokens_per_call(*, acceptance: float, length: int) -> float:
    """(1 - a^(L+1)) / (1 - a), and L + 1 for a = 1: tokens per target call of a chain of `length` drafts.

    Raises
    ------
    SpecError
        acceptance outside [0, 1], or length outside [0, 256].
    """
    return _uniform(acceptance, length, 0.0).tokens_per_call


def walltime_speedup(*, acceptance: float, length: int, cost: float) -> float:
    """(1 - a^(L+1)) / ((1 - a) (c L + 1)); see `chain_forecast` for `cost`.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    return _uniform(acceptance, length, cost).speedup


def best_length(*, acceptance: float, cost: float, longest: int = 64) -> int:
    """The shortest chain, of 0 to `longest` drafts, whose `walltime_speedup` is largest.

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    lengths = range(check_int("longest", longest, 0, NODES_MAX) + 1)
    return max(lengths, key=lambda length: walltime_speedup(acceptance=acceptance, length=length, cost=cost))


def tree_acceptance_rate(*, tokens_per_call: float, nodes: int) -> float:
    """Accepted draft tokens over draft tokens of a tree of `nodes` drafts, (E - 1) / nodes.

    Raises
    ------
    SpecError
        nodes < 1, or tokens_per_call outside [1, nodes + 1].
    """
    nodes = check_int("nodes", nodes, 1, NODES_MAX)
    return (check_number("tokens_per_call", tokens_per_call, 1.0, nodes + 1.0) - 1) / nodes


def _uniform(acceptance: float, length: int, cost: float) -> ChainForecast:
    """Forecast with one acceptance at every position."""
    length = check_int("length", length, 0, NODES_MAX)
    acceptance = check_number("acceptance", acceptance, 0.0, 1.0)
    return chain_forecast(acceptances=[acceptance] * length, cost=cost)
