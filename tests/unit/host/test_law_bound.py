# SPDX-License-Identifier: Apache-2.0
"""F_hw against F in 50-digit arithmetic: measured <= bound <= bar at the default widths, and not at narrow ones."""

import math
import re
from pathlib import Path

import mpmath
import numpy as np
import pytest

from host.golden.bound import law_bound, shape_bound
from host.golden.exact import MODES, draft_law, weight_shift
from host.psi.schema import Psi
from hw.spec.config import TsuConfig
from hw.spec.errors import SpecError
from hw.spec.exp2 import exp2_mantissa, log2_ratio_q

TV_BAR = 1e-10
DLOGQ_BAR = 1e-6
SPAN = 15.0
WIDE = TsuConfig(k_max=512)
DEFAULT = TsuConfig()
BOUNDS_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "bounds.md"


def make(distances: list[int], scale: float, tail: float, vocab_size: int = 152_000, tau: float = 1.0) -> Psi:
    return Psi(
        ids=np.arange(len(distances), dtype=np.uint32) * (vocab_size // len(distances)),
        scores_q=127 - np.array(distances),
        scale=scale,
        zero_point=0,
        tau=tau,
        tail=tail,
        vocab_size=vocab_size,
    )


def measured(psi: Psi, config: TsuConfig, mode: str) -> tuple[float, float]:
    """TV and largest |log q - log p| between the integers and the formula, 50 digits."""
    law = draft_law(psi, config, mode)
    with mpmath.workdps(50):
        sigma = mpmath.mpf(psi.scale) / mpmath.mpf(psi.tau)
        by_distance = {d: mpmath.exp(-d * sigma) for d in set(psi.distances.tolist())}
        pairs = [(w, by_distance[d]) for w, d in zip(law.weights.tolist(), psi.distances.tolist(), strict=True)]
        if psi.tail:
            pairs.append((law.tail_weight, mpmath.mpf(psi.tail)))
        integer_total, real_total = law.total, mpmath.fsum(r for _, r in pairs)
        tv = mpmath.fsum(abs(mpmath.mpf(w) / integer_total - r / real_total) for w, r in pairs) / 2
        logs = {(w, r): mpmath.log(mpmath.mpf(w) / r) for w, r in set(pairs)}
        shift = mpmath.log(mpmath.mpf(integer_total) / real_total)
        return float(tv), float(max(abs(x - shift) for x in logs.values()))


def worst_scale(mode: str, shift: int) -> float:
    """Of 400 scales near 15 nats / 255, the one whose least weight is rounded by most."""
    rng = np.random.Generator(np.random.PCG64(40))
    best, best_error = 0.0, -1.0
    for scale in rng.uniform(14.9, SPAN, size=400) / 255:
        value = mpmath.ldexp(mpmath.exp(-255 * mpmath.mpf(float(np.float32(scale)))), 47 - shift)
        error = abs(value - mpmath.nint(value))
        if error > best_error:
            best, best_error = float(scale), float(error)
    return best


def worst_exp2_scale() -> float:
    """Of 64 binary32 scales just below the end of segment 0, the one whose distance 1 the exp2 unit errs by most."""
    scales = [np.float32((1 << 35) / 2**44 * math.log(2))]
    for _ in range(64):
        scales.append(np.nextafter(scales[-1], np.float32(0)))
    errors = {}
    for scale in map(float, scales[2:]):
        mantissa = exp2_mantissa(log2_ratio_q(scale, 1.0))
        errors[float(abs(mantissa * mpmath.exp(scale) / 2**50 - 1))] = scale
    return errors[max(errors)]


def consistent_tail(vocab_size: int, k: int, span: float) -> float:
    """The largest tail of a top-K head: each tail token weighs as much as the worst id."""
    return (vocab_size - k) * math.exp(-span)


def psis_of_the_bar() -> list[Psi]:
    """Random, adversarial and extreme psi: K <= 512, V <= 152k, span <= 15 nats, tail tokens within 15 nats too."""
    rng = np.random.Generator(np.random.PCG64(31))
    psis = []
    for k in (1, 2, 3, 32, 64, 255, 510, 511, 512):
        for vocab_size in (k, 513, 152_000):
            span = float(rng.uniform(0.1, SPAN))
            tau = float(rng.uniform(0.3, 3.0))
            distances = [0, *rng.integers(0, 256, size=k - 1).tolist()]
            tail = consistent_tail(vocab_size, k, span) * float(rng.uniform(math.exp(span - SPAN), 1))
            psis.append(make(distances, span * tau / 255, tail, vocab_size, tau))
    for mode in MODES:
        for k, shift in ((2, 0), (64, 0), (512, 1)):
            scale = worst_scale(mode, shift)
            psis.append(make([0] + [255] * (k - 1), scale, 0.0))  # every other id at the worst distance
            psis.append(make([0] + [255] * (k - 1), scale, consistent_tail(152_000, k, SPAN)))
            psis.append(make([0] * (k - 1) + [255], scale, 0.0))  # largest total above the least weight
            psis.append(make([d % 256 for d in range(k)], scale, (152_000 - k) * math.exp(-SPAN)))
    psis.append(make([0, 1], worst_exp2_scale(), 0.0))
    psis.append(make([0] * 511 + [1], worst_exp2_scale(), 0.0))
    psis.append(make([0] * 512, 0.0, 152_000 - 512.0))  # uniform: the largest consistent tail
    return psis


PSIS = psis_of_the_bar()


@pytest.mark.parametrize("mode", MODES)
def test_measured_within_bound_within_bar(mode):
    for psi in PSIS:
        bound = law_bound(psi, WIDE, mode)
        tv, dlogq = measured(psi, WIDE, mode)
        assert tv <= bound.tv <= TV_BAR
        assert dlogq <= bound.dlogq <= DLOGQ_BAR
        if psi.k <= 64:
            assert measured(psi, DEFAULT, mode) == (tv, dlogq)  # k_max does not change the law


@pytest.mark.parametrize("mode", MODES)
def test_bound_is_nearly_reached(mode):
    """A slack bound would hide a broken width; that of the exp2 unit counts it in the weight and in Z, so twice."""
    reached = [measured(psi, WIDE, mode)[1] / law_bound(psi, WIDE, mode).dlogq for psi in PSIS]
    assert max(reached) > 0.9
    if mode == "exp2":
        assert reached[-2] > 0.3


@pytest.mark.parametrize("mode", MODES)
def test_whole_range_of_the_bar_by_formula(mode):
    """The largest bound over every K, span and top-K tail on a grid."""
    worst_tv = worst_dlogq = 0.0
    for k in (1, 2, 64, 256, 511, 512):
        for span in np.linspace(0, SPAN, 61).tolist():
            for tail in (0.0, consistent_tail(152_000, k, span), (513 - k) * math.exp(-SPAN)):
                bound = shape_bound(k=k, span=span, tail=tail, config=WIDE, mode=mode)
                worst_tv, worst_dlogq = max(worst_tv, bound.tv), max(worst_dlogq, bound.dlogq)
    assert worst_tv <= TV_BAR
    assert worst_dlogq <= 4e-8


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tail", [2.0**-64, 1e-15, 1e-12, 4e-9, 1.0, 1000.0, 32_254.0, 152_000.0, 2.0**24])
def test_any_tail_is_within_the_bound(mode, tail):
    """Tails that no top-K head has: TV holds, and log q errs by what the formula says."""
    for k in (2, 512):
        psi = make([0] + [255] * (k - 1), worst_scale(mode, weight_shift(k=k, tail=tail, config=WIDE)), tail)
        bound = law_bound(psi, WIDE, mode)
        tv, dlogq = measured(psi, WIDE, mode)
        assert tv <= bound.tv <= TV_BAR
        assert dlogq <= bound.dlogq
        assert bound.dlogq < 12.6


def test_documented_failures_do_fail():
    """15 nats beside a tail of 152k, and a tail of 1e-12: log q errs by more than the bar, as the page says."""
    large = make([0, 255], worst_scale("table", 9), 152_000.0)
    assert measured(large, WIDE, "table")[1] > DLOGQ_BAR
    small = make([0, 255], 0.01, 1e-12)
    assert measured(small, WIDE, "table")[1] > DLOGQ_BAR


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("weight_bits", "total_bits"), [(8, 24), (16, 24), (24, 32), (32, 40), (40, 48)])
def test_narrow_weights_violate_the_bar_but_not_their_bound(mode, weight_bits, total_bits):
    config = TsuConfig(k_max=512, weight_bits=weight_bits, headroom_bits=total_bits - weight_bits)
    psi = make([0] + [255] * 31, worst_scale(mode, 0), consistent_tail(152_000, 32, SPAN))
    bound = law_bound(psi, config, mode)
    tv, dlogq = measured(psi, config, mode)
    assert tv <= bound.tv
    assert DLOGQ_BAR < dlogq <= bound.dlogq
    if weight_bits <= 24:
        assert tv > TV_BAR


@pytest.mark.parametrize("mode", MODES)
def test_bound_holds_far_outside_the_bar(mode):
    """Small widths, wide spans, floors at 1: every branch of the formula."""
    rng = np.random.Generator(np.random.PCG64(77))
    checked = 0
    for _ in range(120):
        k = int(rng.integers(1, 40))
        config = TsuConfig(
            k_max=64, weight_bits=int(rng.integers(10, 49)), headroom_bits=int(rng.integers(0, 9)), vocab_max=1 << 6
        )
        tail = float(2.0 ** rng.uniform(-64, 24)) if rng.random() < 0.8 else 0.0
        distances = rng.integers(0, 256, size=k).tolist()
        psi = make(distances, float(2.0 ** rng.uniform(-12, 4)), tail, 64, float(2.0 ** rng.uniform(-2, 2)))
        bound = law_bound(psi, config, mode)
        try:
            tv, dlogq = measured(psi, config, mode)
        except SpecError:
            continue  # refused: Z outside its range
        checked += 1
        assert tv <= bound.tv
        assert dlogq <= bound.dlogq
    assert checked >= 80


def test_the_table_of_the_page_is_what_the_formula_gives():
    rows = re.findall(
        r"^\| (\d+) \| (\S+) \| (\d+) \| (\S+) \| (\S+) \| (yes|no) \|$", BOUNDS_PAGE.read_text(), re.MULTILINE
    )
    assert len(rows) >= 10
    for k, tail, shift, *figures, within in rows:
        shape = {"k": int(k), "tail": float(tail), "config": WIDE}
        bounds = [shape_bound(span=SPAN, mode=mode, **shape).dlogq for mode in MODES]
        assert weight_shift(**shape) == int(shift)
        assert [f"{b:.2e}" for b in bounds] == figures
        assert (max(bounds) <= DLOGQ_BAR) == (within == "yes")


def test_mode_is_checked():
    with pytest.raises(SpecError, match=r"mode = 'both' .* one of table, exp2"):
        law_bound(PSIS[0], WIDE, "both")
