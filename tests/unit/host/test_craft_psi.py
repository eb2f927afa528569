# SPDX-License-Identifier: Apache-2.0
"""craft_psi: which ids it takes, how it quantises, what the tail carries, what it refuses."""

import math

import numpy as np
import pytest

from host.golden import real
from host.golden.exact import draft_law
from host.psi.craft import MAX_SPAN_NATS, craft_psi
from host.psi.wire import decode, encode, psi_bytes
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError


def dirichlet(vocab_size: int, seed: int = 11, alpha: float = 1.0) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).dirichlet(np.full(vocab_size, alpha))


@pytest.mark.parametrize("mode", ["table", "exp2"])
def test_bars_of_m0(mode):
    """V = 500, K = 32: the ceiling of an exact head with a uniform tail is 0.7354."""
    p = dirichlet(500)
    psi = craft_psi(p, K=32, tau=1.0, eps="auto")
    law = draft_law(psi, TsuConfig(), mode)
    head = np.sort(p)[-32:]
    rest = np.sort(p)[:-32]
    ceiling = head.sum() + np.minimum(rest, rest.sum() / 468).sum()
    overlap = np.minimum(p, law.probabilities()).sum()
    assert 0.735 <= overlap <= ceiling < 0.7355
    assert psi_bytes(psi) <= 85
    assert decode(encode(psi)) == psi


@pytest.mark.parametrize("seed", range(5))
def test_ids_are_the_top_k_with_ties_to_the_lower_id(seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    counts = rng.integers(0, 6, size=200)  # many ties, many zeros
    p = counts / counts.sum()
    for k in (1, 7, 50, 150, 200):
        expected = sorted(range(200), key=lambda i: (-counts[i], i))[:k]
        expected = sorted(i for i in expected if counts[i])
        assert craft_psi(p, k).ids.tolist() == expected


@pytest.mark.parametrize("alpha", [0.02, 0.3, 1.0, 50.0])
def test_scores_are_log_p_up_to_half_a_code(alpha):
    p = dirichlet(300, seed=3, alpha=alpha)
    psi = craft_psi(p, K=100)
    log_p = np.log(p[psi.ids])
    below = np.maximum(log_p - log_p.max(), -MAX_SPAN_NATS)
    assert psi.score_max_q == 127
    assert psi.zero_point == 127
    assert psi.scale == pytest.approx(-below.min() / 255, rel=1e-7)
    assert np.abs(psi.scores - below).max() <= 0.5 * psi.scale * (1 + 1e-5)
    assert int(psi.distances.max()) == 255


def test_scores_far_below_the_best_are_raised_to_the_floor():
    p = np.array([1 - 1e-3 - 1e-12, 1e-3, 1e-12, 0.0])
    psi = craft_psi(p, K=3)
    assert psi.scores[2] - psi.scores[0] == pytest.approx(-15.0, rel=1e-6)
    assert psi.scores[1] - psi.scores[0] == pytest.approx(math.log(1e-3), abs=0.03)
    assert psi.tail == 0


@pytest.mark.parametrize("tau", [0.3, 1.0, 2.5])
@pytest.mark.parametrize(("vocab_size", "k"), [(500, 32), (500, 1), (500, 499), (5000, 256)])
def test_auto_tail_is_the_leftover_mass_at_any_temperature(tau, vocab_size, k):
    p = dirichlet(vocab_size, seed=5)
    psi = craft_psi(p, K=k, tau=tau)
    leftover = math.fsum(np.sort(p)[: vocab_size - k])
    _, tail = real.head_tail(psi)
    assert tail == pytest.approx(leftover, rel=1e-7)  # tail is a binary32: 2^-24 relative
    law = draft_law(psi, TsuConfig(k_max=512), "table")
    assert law.tail_weight / law.total == pytest.approx(leftover, rel=1e-7)


@pytest.mark.parametrize("tau", [0.5, 1.0, 2.0])
def test_numeric_eps_is_the_floor_beside_a_head_of_p(tau):
    """Quantisation moves a score by at most half a code, ln 4 / 510 nats: 0.6 % of a weight at tau = 0.5."""
    p = np.array([0.125, 0.5, 0.0, 0.25, 0.125, 0.0])
    psi = craft_psi(p, 4, tau=tau, eps=0.01)
    weights = p ** (1 / tau)
    weights[p == 0] = 0.01
    assert real.probabilities(psi) == pytest.approx(weights / weights.sum(), rel=1e-2)
    ratio = real.probabilities(psi)[2] / real.probabilities(psi)[1]
    assert ratio == pytest.approx(0.01 / 0.5 ** (1 / tau), rel=1e-6)
    assert craft_psi(p, 4, eps=0.0).tail == 0
    assert craft_psi(p, 4, eps=0).tail == 0


def test_one_hot_uniform_and_single_token():
    one_hot = craft_psi(np.eye(10)[3], K=4)
    assert (one_hot.ids.tolist(), one_hot.tail, one_hot.scale) == ([3], 0.0, 0.0)
    uniform = craft_psi(np.full(8, 0.125), K=3)
    assert uniform.ids.tolist() == [0, 1, 2]
    assert real.probabilities(uniform) == pytest.approx(np.full(8, 0.125), rel=1e-7)
    full = craft_psi(np.full(8, 0.125), K=8)
    assert (full.tail, full.k) == (0.0, 8)
    single = craft_psi([1.0], K=1)
    assert (single.k, single.vocab_size, single.tail) == (1, 1, 0.0)


def test_tiny_tail_is_raised_to_the_smallest_legal_one():
    p = np.array([1.0, 1e-30, 0.0])
    assert craft_psi(p, K=1).tail == 2.0**-64
    assert craft_psi(p, K=1, eps=1e-300).tail == 2.0**-64


def test_probabilities_that_differ_by_less_than_binary32_resolves():
    psi = craft_psi(np.array([0.5 + 1e-16, 0.5 - 1e-16]), K=2)
    assert real.probabilities(psi) == pytest.approx([0.5, 0.5], rel=1e-12)


def test_largest_shapes():
    p = dirichlet(1 << 20, seed=1)
    psi = craft_psi(p.astype(np.float32), K=1024)
    assert (psi.k, psi.vocab_size) == (1024, 1 << 20)
    assert decode(encode(psi)) == psi


GOOD = np.array([0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("p", "options", "message"),
    [
        (GOOD, {"K": 0}, r"K = 0 .* \[1, 3\]"),
        (GOOD, {"K": 4}, r"K = 4 .* \[1, 3\]"),
        (GOOD, {"K": 2.0}, r"K = 2.0 .* an integer"),
        (np.full(2000, 1 / 2000), {"K": 1025}, r"K = 1025 .* \[1, 1024\]"),
        (GOOD, {"K": 2, "tau": 0}, r"tau = 0.0 .* > 0"),
        (GOOD, {"K": 2, "tau": -1}, r"tau = -1.0 .* > 0"),
        (GOOD, {"K": 2, "tau": math.nan}, r"tau = nan "),
        (GOOD, {"K": 2, "eps": -0.1}, r"eps = -0.1 .* 'auto' or a finite number >= 0"),
        (GOOD, {"K": 2, "eps": math.nan}, r"eps = nan "),
        (GOOD, {"K": 2, "eps": math.inf}, r"eps = inf "),
        (GOOD, {"K": 2, "eps": "none"}, r"eps = 'none' "),
        (GOOD, {"K": 2, "eps": None}, r"eps = None "),
        (GOOD, {"K": 2, "eps": 1e9}, r"eps = 1000000000.0 .* 16777216 times"),
        (np.array([0.5, 0.25]), {"K": 2}, r"sum of p = 0.75 .* 1 within 1e-06"),
        (np.array([0.5, 0.75, -0.25]), {"K": 2}, r"p\[2\] = -0.25 .* >= 0"),
        (np.array([0.5, math.nan, 0.5]), {"K": 2}, r"p\[1\] = nan "),
        (np.array([math.inf, 0.0]), {"K": 1}, r"p\[0\] = inf "),
        (np.array([]), {"K": 1}, r"len\(p\) = 0 "),
        (np.full((1 << 20) + 1, 2.0**-20), {"K": 1}, r"len\(p\) = 1048577 "),
        (np.full((2, 2), 0.25), {"K": 1}, r"p.shape = \(2, 2\) "),
        (np.array([0.5, 0.5j]), {"K": 1}, r"p.dtype = 'complex128' "),
        (["0.5", "0.5"], {"K": 1}, r"p.dtype = "),
        ([[0.5], [0.25, 0.25]], {"K": 1}, r"p = 'list' "),
    ],
)
def test_bad_arguments_are_one_clear_line(p, options, message):
    with pytest.raises(SpecError, match=message) as caught:
        craft_psi(p, **options)
    assert "\n" not in str(caught.value)
