# SPDX-License-Identifier: Apache-2.0
"""Bytes against samples: the smallest psi against a scan with exact laws, the cheapest pair by hand."""

from functools import cache

import numpy as np
import pytest

from host.golden.exact import draft_law
from host.plan import knob as module
from host.plan.knob import KnobPoint, cheapest, knob_point, point_us, smallest_psi
from host.psi.craft import craft_psi
from host.psi.wire import encode
from host.targets.categorical import dirichlet, zipf
from host.verify.multi import optimal_acceptance
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError


def rows(kind: str) -> np.ndarray:
    if kind == "zipf":
        return np.stack([zipf(vocab_size=40, alpha=1.1, seed=seed) for seed in (3, 4)])
    return np.stack([dirichlet(vocab_size=20, alpha=0.5, seed=seed) for seed in (1, 2, 3)])


@cache
def exact_mean(kind: str, k: int, n: int) -> float:
    """alpha*_n from exact laws, mean over the contexts."""
    laws = [draft_law(craft_psi(p, k, drafts=n), TsuConfig(k_max=128), "exp2").probabilities() for p in rows(kind)]
    return float(np.mean([optimal_acceptance(p, q, n) for p, q in zip(rows(kind), laws, strict=True)]))


@pytest.mark.parametrize("kind", ["zipf", "dirichlet"])
@pytest.mark.parametrize("wanted", [0.6, 0.9, 0.985])
def test_the_smallest_psi_is_that_of_a_scan(kind: str, wanted: float) -> None:
    p = rows(kind)
    points = smallest_psi(targets=p, acceptance=wanted, drafts_max=4)
    for n, point in enumerate(points, 1):
        means = [exact_mean(kind, k, n) for k in range(1, p.shape[1] + 1)]
        smallest = next(k for k, mean in enumerate(means, 1) if mean >= wanted)
        assert point is not None
        assert (point.drafts, point.k) == (n, smallest)
        assert point.acceptance == pytest.approx(means[smallest - 1], abs=1e-8)
        sizes = [len(encode(craft_psi(row, smallest, drafts=n))) for row in p]
        assert point.psi_bytes == pytest.approx(np.mean(sizes))


def test_the_scan_sees_a_tail_for_one_draft(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seeded bug: the tail of every psi as for one draft asks for more ids."""
    right = smallest_psi(targets=rows("zipf"), acceptance=0.95, drafts_max=2)[1]
    craft, made = module.craft_psi, module.psi_and_law
    monkeypatch.setattr(module, "craft_psi", lambda p, k, drafts: craft(p, k, drafts=1))
    monkeypatch.setattr(module, "psi_and_law", lambda p, *, k, drafts: made(p, k=k, drafts=1))
    wrong = smallest_psi(targets=rows("zipf"), acceptance=0.95, drafts_max=2)[1]
    assert right is not None and wrong is not None
    assert wrong.k > right.k


def test_more_drafts_need_no_more_ids_here() -> None:
    done: list[int] = []
    points = smallest_psi(targets=rows("zipf"), acceptance=0.95, drafts_max=16, progress=done.append)
    ks = [point.k for point in points if point is not None]
    assert len(ks) == 16
    assert ks == sorted(ks, reverse=True)
    assert ks[0] > 5 * ks[-1]
    assert done == list(range(1, 17))


def test_out_of_reach() -> None:
    points = smallest_psi(targets=rows("zipf"), acceptance=0.99, drafts_max=3, k_max=2)
    assert points == [None, None, None]
    assert cheapest(points, bytes_per_s=1e6, draws_per_s=1e6) is None


def test_microseconds_by_hand() -> None:
    point = KnobPoint(drafts=4, k=8, acceptance=0.9, psi_bytes=60.0)
    assert point_us(point, bytes_per_s=1e6, draws_per_s=2e6, draw_bytes=10.0, latency_us=7.0) == pytest.approx(109.0)


def test_the_cheapest_follows_link_and_tsu() -> None:
    """A slow line buys drafts, a slow TSU buys bytes."""
    points = [
        KnobPoint(drafts=1, k=300, acceptance=0.9, psi_bytes=440.0),
        None,
        KnobPoint(drafts=3, k=20, acceptance=0.9, psi_bytes=64.0),
        KnobPoint(drafts=8, k=1, acceptance=0.9, psi_bytes=29.0),
    ]
    found = [
        cheapest(points, bytes_per_s=link, draws_per_s=rate)
        for link, rate in ((1e4, 1e8), (1e6, 1e5), (1e9, 1e3))
    ]  # fmt: skip
    assert [point.drafts for point in found if point is not None] == [8, 3, 1]


def test_a_point_of_given_size() -> None:
    point = knob_point(targets=rows("dirichlet"), k=7, drafts=3)
    assert point.acceptance == pytest.approx(exact_mean("dirichlet", 7, 3), abs=1e-8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"acceptance": 1.2}, "acceptance = 1.2"),
        ({"acceptance": 0.9, "drafts_max": 0}, "drafts_max = 0"),
        ({"acceptance": 0.9, "drafts_max": 17}, "drafts_max = 17"),
        ({"acceptance": 0.9, "k_max": 1025}, "k_max = 1025"),
        ({"acceptance": 0.9, "targets": np.ones(3) / 3}, "targets.shape = (3,)"),
    ],
)
def test_bad_arguments(arguments, message: str) -> None:
    with pytest.raises(SpecError) as error:
        smallest_psi(**{"targets": rows("zipf"), **arguments})
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bytes_per_s": 0.0, "draws_per_s": 1.0}, "bytes_per_s = 0.0"),
        ({"bytes_per_s": 1.0, "draws_per_s": -1.0}, "draws_per_s = -1.0"),
        ({"bytes_per_s": 1.0, "draws_per_s": 1.0, "draw_bytes": -1.0}, "draw_bytes = -1.0"),
    ],
)
def test_bad_rates(arguments, message: str) -> None:
    with pytest.raises(SpecError) as error:
        point_us(KnobPoint(drafts=1, k=1, acceptance=1.0, psi_bytes=10.0), **arguments)
    assert str(error.value).startswith(message)
