# SPDX-License-Identifier: Apache-2.0
"""F(psi) in float64 against 50-digit arithmetic."""

import mpmath
import numpy as np
import pytest

from host.golden.real import head_tail, probabilities
from host.psi.schema import Psi


def make(**changes) -> Psi:
    fields = {
        "ids": [1, 4, 7],
        "scores_q": [10, 127, -128],
        "scale": 0.06,
        "zero_point": 20,
        "tau": 0.8,
        "tail": 0.3,
        "vocab_size": 9,
    }
    return Psi(**{**fields, **changes})


def ref_law(psi: Psi) -> list[mpmath.mpf]:
    """The formula of the contract, token by token, with its eps and without any shift of the scores."""
    with mpmath.workdps(50):
        scores = [mpmath.mpf(psi.scale) * (int(c) - psi.zero_point) for c in psi.scores_q]
        weights = [mpmath.exp(s / mpmath.mpf(psi.tau)) for s in scores]
        spread = psi.vocab_size - len(weights)
        eps = mpmath.mpf(psi.tail) * max(weights) / spread if spread else mpmath.mpf(0)
        total = sum(weights) + spread * eps
        by_id = dict(zip(psi.ids.tolist(), weights, strict=True))
        return [by_id.get(token, eps) / total for token in range(psi.vocab_size)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tail": 0},
        {"tail": 2.0**-64},
        {"tail": 2.0**24},
        {"tau": 0.01},
        {"tau": 100.0},
        {"scale": 0},
        {"scale": 5e-8},
        {"zero_point": -128},
        {"vocab_size": 1 << 10},
        {"ids": [0, 1, 2], "vocab_size": 3, "tail": 0},
    ],
)
def test_law_against_mpmath(changes):
    psi = make(**changes)
    p = probabilities(psi)
    assert p.dtype == np.float64
    assert p.shape == (psi.vocab_size,)
    for token, expected in enumerate(ref_law(psi)):
        # the exponent, up to 1500 nats, is rounded to 53 bits
        assert p[token] == pytest.approx(float(expected), rel=1e-12, abs=1e-300)
    assert p.sum() == pytest.approx(1, abs=1e-14)
    head, tail = head_tail(psi)
    assert head.sum() + tail == pytest.approx(1, abs=1e-14)


def test_extreme_scores_do_not_overflow():
    psi = make(scale=3e38, tau=1e-38)
    assert probabilities(psi)[4] == pytest.approx(1 / 1.3, rel=1e-7)
    assert probabilities(psi)[1] == 0.0


def test_eps_reproduces_the_floor():
    psi = make()
    weights = np.exp(psi.scores / psi.tau)
    total = weights.sum() + 6 * psi.eps
    assert probabilities(psi)[0] == pytest.approx(psi.eps / total, rel=1e-13)
