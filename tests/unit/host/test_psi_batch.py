# SPDX-License-Identifier: Apache-2.0
"""craft_batch: row by row what craft_psi gives, and what its definition says; laws and overlaps."""

import math
import time

import numpy as np
import pytest

from host.golden import real
from host.psi.batch import CHUNK_ENTRIES, craft_among, craft_batch, craft_laws, overlaps
from host.psi.craft import MAX_SPAN_NATS, craft_psi
from host.psi.schema import Psi, round_binary32
from hw.spec.errors import SpecError


def ref_psi(p: np.ndarray, k: int, tau: float, eps: float | str) -> Psi:
    """One psi in plain Python: sort, log, round; sums are exact."""
    p = [float(x) for x in p]
    tau = round_binary32("tau", tau, "")
    ids = sorted(sorted((i for i in range(len(p)) if p[i] > 0), key=lambda i: (-p[i], i))[:k])
    best = float(np.log(max(p)))
    below = [min(best - float(np.log(p[i])), MAX_SPAN_NATS) for i in ids]
    scale = round_binary32("scale", max(below) / 255, "")
    codes = [min(255, round(x / scale)) if scale else 0 for x in below]
    zero_point = min(127, max(-128, round(127 - best / scale))) if scale else 127
    spread, tail = len(p) - len(ids), 0.0
    if spread and eps == "auto":
        head = set(ids)
        outside = math.fsum(x for i, x in enumerate(p) if i not in head)
        weights = math.fsum(float(np.exp(-d * (scale / tau))) for d in codes)
        tail = outside / math.fsum(p[i] for i in ids) * weights
    elif spread and eps > 0:
        tail = math.exp(math.log(eps) + math.log(spread) - best / tau)
    return Psi(
        ids=np.array(ids),
        scores_q=127 - np.array(codes),
        scale=scale,
        zero_point=zero_point,
        tau=tau,
        tail=max(tail, 2.0**-64) if tail else 0.0,
        vocab_size=len(p),
    )


def same(a: Psi, b: Psi) -> bool:
    """Equal in all but the last bit of the tail, where the order of a sum shows."""
    fields = all(getattr(a, f) == getattr(b, f) for f in ("scale", "zero_point", "tau", "vocab_size"))
    arrays = a.ids.tolist() == b.ids.tolist() and a.scores_q.tolist() == b.scores_q.tolist()
    return fields and arrays and math.isclose(a.tail, b.tail, rel_tol=2.0**-23)


def distributions(kind: str, rows: int, vocab_size: int) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(7))
    if kind == "ties":  # small counts: many ties, many zeros
        counts = rng.integers(0, 4, size=(rows, vocab_size))
        counts[:, 0] += counts.sum(axis=1) == 0
        return counts / counts.sum(axis=1, keepdims=True)
    if kind == "one-hot":
        return np.eye(vocab_size)[rng.integers(0, vocab_size, size=rows)]
    if kind == "uniform":
        return np.full((rows, vocab_size), 1 / vocab_size)
    return rng.dirichlet(np.full(vocab_size, {"peaked": 0.02, "plain": 1.0, "flat": 100.0}[kind]), size=rows)


KINDS = ["ties", "one-hot", "uniform", "peaked", "plain", "flat"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("vocab_size", "k"), [(1, 1), (2, 1), (9, 9), (84, 1), (84, 32), (300, 299), (300, 300)])
@pytest.mark.parametrize(("tau", "eps"), [(1.0, "auto"), (0.7, "auto"), (1.3, 0.0), (1.0, 1e-4)])
def test_rows_equal_craft_psi_and_the_definition(kind, vocab_size, k, tau, eps):
    p = distributions(kind, 12, vocab_size)
    batch = craft_batch(p, k, tau, eps)
    assert batch == [craft_psi(row, k, tau, eps) for row in p]
    assert all(same(psi, ref_psi(row, k, tau, eps)) for psi, row in zip(batch, p, strict=True))


@pytest.mark.parametrize("layout", ["transposed", "every second", "float32", "list"])
def test_layout_of_the_array_does_not_matter(layout):
    p = distributions("plain", 50, 200)
    if layout == "float32":
        p = p.astype(np.float32)
    given = {
        "transposed": np.asfortranarray(p),
        "every second": np.repeat(p, 2, axis=1)[:, ::2],
        "float32": p,
        "list": p.tolist(),
    }[layout]
    assert craft_batch(given, 20) == [craft_psi(row, 20) for row in p]


def test_rows_of_several_chunks_and_of_none():
    p = distributions("plain", 5, CHUNK_ENTRIES // 2)
    assert craft_batch(p, 8) == [craft_psi(row, 8) for row in p]
    assert craft_batch(np.empty((0, 5)), 2) == []
    assert craft_laws(np.empty((0, 5)), 2).shape == (0, 5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("k", "tau", "eps"), [(1, 1.0, "auto"), (16, 0.8, "auto"), (60, 1.0, 0.0), (60, 1.0, 1e-3)])
def test_laws_are_those_of_the_golden_model(kind, k, tau, eps):
    q = distributions(kind, 30, 60)
    laws = craft_laws(q, k, tau, eps)
    golden = np.array([real.probabilities(psi) for psi in craft_batch(q, k, tau, eps)])
    np.testing.assert_allclose(laws, golden, rtol=1e-13, atol=0)
    p = np.roll(q, 1, axis=0)
    np.testing.assert_allclose(overlaps(p, q, k, tau, eps), np.minimum(p, golden).sum(axis=1), rtol=1e-12)


def test_batch_is_faster_than_one_at_a_time():
    """About ten times for the laws at V = 1024, K = 32; four here, so that a busy machine does not fail it."""
    p = distributions("peaked", 300, 1024)
    times = []
    for work in (lambda: [real.probabilities(craft_psi(row, 32)) for row in p], lambda: craft_laws(p, 32)):
        spent = []
        for _ in range(3):
            start = time.process_time()
            work()
            spent.append(time.process_time() - start)
        times.append(min(spent))
    assert times[1] * 4 < times[0]


GOOD = np.array([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]])


@pytest.mark.parametrize(
    ("p", "k", "options", "message"),
    [
        (GOOD, 0, {}, r"K = 0 .* \[1, 3\]"),
        (GOOD, 4, {}, r"K = 4 .* \[1, 3\]"),
        (GOOD, 2, {"tau": 0}, r"tau = 0.0 "),
        (GOOD, 2, {"eps": "none"}, r"eps = 'none' "),
        (GOOD, 2, {"eps": 1e9}, r"eps = 1000000000.0 .* 16777216 times"),
        (GOOD[0], 2, {}, r"p.shape = \(3,\) .* \(B, V\)"),
        (np.empty((3, 0)), 1, {}, r"V = 0 "),
        (GOOD * [[1], [0.5]], 2, {}, r"sum of p\[1\] = 0.5 "),
        (np.where([[False], [True]], math.nan, GOOD), 2, {}, r"p\[1, 0\] = nan "),
        (GOOD * [[1], [-1]], 2, {}, r"p\[1, 0\] = -0.25 "),
        ([["a", "b"]], 1, {}, r"p.dtype = "),
        ([[0.5, 0.5], [1.0]], 1, {}, r"p = 'list' "),
    ],
)
def test_bad_arguments_are_one_clear_line(p, k, options, message):
    with pytest.raises(SpecError, match=message):
        craft_batch(p, k, **options)


def test_overlaps_of_different_shapes():
    with pytest.raises(SpecError, match=r"q.shape = \(1, 3\) .* \(2, 3\)"):
        overlaps(GOOD, GOOD[:1], 2)
    with pytest.raises(SpecError, match=r"sum of p\[0\] = 0.75"):
        overlaps(GOOD[:, :2] * [[1], [1]], [[0.5, 0.5], [0.5, 0.5]], 2)


@pytest.mark.parametrize("eps", ["auto", 0.0, 1e-6])
@pytest.mark.parametrize("tau", [1.0, 0.7])
def test_some_tokens_of_a_vocabulary_are_the_whole_one_filled_up_with_zeros(eps, tau):
    """Rows with zeros of their own among them, so that fewer than K ids are carried."""
    rng = np.random.default_rng(8)
    tokens = np.sort(rng.choice(400, 90, replace=False))
    p = rng.dirichlet(np.full(90, 0.3), size=20)
    p[:5] = rng.dirichlet(np.ones(10), size=5) @ np.eye(10, 90)
    whole = np.zeros((20, 400))
    whole[:, tokens] = p
    assert craft_among(p, tokens, 400, 24, tau, eps) == craft_batch(whole, 24, tau, eps)
    assert all(len(psi.ids) == 10 for psi in craft_among(p[:5], tokens, 400, 24, tau, eps))


@pytest.mark.parametrize("eps", ["auto", 1e-6])
def test_a_rest_is_mass_of_the_tail(eps):
    """The rest spread evenly over all other tokens gives the same psi, where no other token is among the best K."""
    rng = np.random.default_rng(9)
    tokens = np.sort(rng.choice(400, 60, replace=False))
    rest = rng.uniform(0.01, 0.3, 20)
    p = rng.dirichlet(np.ones(60), size=20) * (1 - rest)[:, None]
    whole = np.repeat(rest[:, None] / 340, 400, axis=1)
    whole[:, tokens] = p
    found, wanted = craft_among(p, tokens, 400, 24, 1.0, eps, rest), craft_batch(whole, 24, 1.0, eps)
    for a, b in zip(found, wanted, strict=True):
        assert (a.ids.tolist(), a.scores_q.tolist(), a.scale) == (b.ids.tolist(), b.scores_q.tolist(), b.scale)
        assert a.tail == pytest.approx(b.tail, rel=1e-6)
    for bad in (np.zeros(19), np.full(20, -0.1), np.full(20, np.nan)):
        with pytest.raises(SpecError, match="rest = "):
            craft_among(p, tokens, 400, 24, rest=bad)
    with pytest.raises(SpecError, match=r"sum of p\[0\]"):
        craft_among(p, tokens, 400, 24, rest=np.zeros(20))


def test_tokens_that_are_no_part_of_a_vocabulary():
    p = np.full((2, 3), 1 / 3)
    for tokens in ([0, 1], [0, 1, 5], [0, 2, 2], [2, 1, 0], [-1, 0, 1]):
        with pytest.raises(SpecError, match=r"tokens = .* 3 increasing ids below 5"):
            craft_among(p, np.array(tokens), 5, 2)
    with pytest.raises(SpecError, match="K = 4"):
        craft_among(p, np.array([0, 1, 2]), 5, 4)
