# SPDX-License-Identifier: Apache-2.0
"""M0 is unbiased, and the verdict of a run sees three deliberate biases.

Fixed beforehand: seeds; family alpha 1e-6, so 2.5e-7 for each of four tests (host.soundness); power 0.99. Every size
below is checked against `host.stats.samples_needed` for the bias in question, see docs/reference/statistics.md:

========================================= ============ ===== ============ =========
bias                                      V, K         dof   effect       N
========================================= ============ ===== ============ =========
one weight off by 1/256 of itself         2, 2         1     3.80e-6      15,500,000
residual from p instead of (p - q)+       8, 3         6     0.0226       4,000
q claimed from F, 8-bit hardware weights  11, 11       10    0.00842      10,000
========================================= ============ ===== ============ =========

Each biased run has an unbiased twin of the same size that must be sound. Nothing is retried.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pytest

from host import stats
from host.golden.exact import draft_law
from host.golden.real import probabilities as real_probabilities
from host.m0 import Verifier, measure
from host.psi.craft import craft_psi
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.soundness import POWER, TEST_ALPHA, Soundness, assess
from host.tsu.base import Capabilities, Draws, Tsu
from host.tsu.registry import open_tsu
from host.verify.single import LawMismatchError, SingleVerifier, Verified
from hw.spec.config import TsuConfig

BACKENDS_UNDER_TEST = ("model", "rtl")

WEIGHT_OFF_STEPS = 15_500_000
RESIDUAL_STEPS = 4_000
COARSE_STEPS = 10_000
STATISTICS = (Path(__file__).parents[2] / "docs" / "reference" / "statistics.md").read_text()


class WeightedTsu:
    """Samples `sampled` with NumPy, and reports the integers of `claimed`."""

    def __init__(self, sampled: DraftLaw, claimed: DraftLaw, seed: int) -> None:
        self._sampled, self._claimed = sampled, claimed
        self._rng = np.random.default_rng(seed)
        self._bounds = np.cumsum(np.append(sampled.weights, np.uint64(sampled.tail_weight)), dtype=np.uint64)
        self._others = np.setdiff1d(np.arange(sampled.vocab_size), sampled.ids).astype(np.uint32)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(name="weighted", exact=True, bit_true=False, counts_cycles=False)

    @property
    def config(self) -> TsuConfig:
        return TsuConfig()

    @property
    def spec_id(self) -> int:
        return 0

    @property
    def cycles(self) -> int:
        return 0

    def sample(self, psi: Psi, n: int) -> Draws:
        u = self._rng.integers(0, self._sampled.total, size=n, dtype=np.uint64)
        bucket = np.searchsorted(self._bounds, u, side="right")
        is_tail = bucket == self._sampled.k
        tokens = self._sampled.ids[np.minimum(bucket, self._sampled.k - 1)].copy()
        if is_tail.any():
            tokens[is_tail] = self._rng.choice(self._others, size=int(is_tail.sum()))
        law = self._claimed
        return Draws(tokens=tokens, weights=law.weight_of(tokens), spreads=law.spread_of(tokens), total=law.total)

    def reseed(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ResidualFromTarget:
    """The second bias: a refused draft is replaced by a token from p."""

    def __init__(self, p: npt.NDArray[np.float64], law: DraftLaw) -> None:
        self._right = SingleVerifier(p=p, law=law)
        self._cdf = np.cumsum(p)
        self._cdf[-1] = 1.0

    def verify(self, draws: Draws, rng: np.random.Generator) -> Verified:
        verified = self._right.verify(draws, rng)
        refused = np.flatnonzero(~verified.accepted)
        verified.tokens[refused] = np.searchsorted(self._cdf, rng.random(len(refused)), side="right")
        return verified


def verdict(
    tsu: Tsu, psi: Psi, p: npt.NDArray[np.float64], law: DraftLaw, steps: int, verifier: Verifier | None = None
) -> Soundness:
    """What a run of `steps` steps concludes."""
    with tsu:
        rng = np.random.default_rng(99)
        tally = measure(tsu=tsu, psi=psi, verifier=verifier or SingleVerifier(p=p, law=law), rng=rng, steps=steps)
    return assess(p=p, q=law.probabilities(), drafts=tally.drafts, emitted=tally.emitted, recovered=tally.recovered)


def needed(actual: npt.NDArray[np.float64], claimed: npt.NDArray[np.float64]) -> int:
    """Samples that see `actual` where `claimed` was promised; effect and size must be those of the document."""
    effect = stats.effect_size(actual, claimed)
    dof = int(np.count_nonzero(claimed)) - 1
    samples = stats.samples_needed(effect=effect, dof=dof, alpha=TEST_ALPHA, power=POWER)
    assert f"| {effect:.3g} | {samples:,} |" in STATISTICS.replace("3.80e-6", "3.8e-06")
    return samples


def law_of(ids: list[int], weights: list[int], tail_weight: int, vocab_size: int) -> DraftLaw:
    return DraftLaw(
        ids=np.array(ids, dtype=np.uint32),
        weights=np.array(weights, dtype=np.uint64),
        tail_weight=tail_weight,
        vocab_size=vocab_size,
    )


@pytest.mark.parametrize("backend", BACKENDS_UNDER_TEST)
@pytest.mark.parametrize(
    ("vocab_size", "k", "tau", "eps", "mode", "lanes", "concentration"),
    [
        (1000, 64, 1.0, "auto", "table", 1, 1.0),
        (1000, 64, 1.0, "auto", "exp2", 4, 1.0),
        (500, 32, 1.7, 1e-4, "table", 1, 0.2),
        (40, 40, 1.0, "auto", "table", 1, 0.5),
        (3000, 1, 1.0, "auto", "table", 4, 1.0),
        (200, 7, 0.5, 0.0, "exp2", 1, 1.0),
    ],
)
def test_unbiased_run_is_sound(
    backend: str, vocab_size: int, k: int, tau: float, eps: float | str, mode: str, lanes: int, concentration: float
) -> None:
    """10^6 steps; false alarms 1e-6 per run. Tails, temperatures, floors, no tail, K = 1, both weight modes."""
    p = np.random.Generator(np.random.PCG64(2024)).dirichlet(np.full(vocab_size, concentration))
    psi = craft_psi(p, k, tau, eps)
    config = TsuConfig(lanes=lanes)
    law = draft_law(psi, config, mode)
    result = verdict(open_tsu(backend=backend, config=config, seed=5, mode=mode), psi, p, law, 1_000_000)
    assert result.sound, result.tests


@pytest.mark.parametrize("backend", BACKENDS_UNDER_TEST)
def test_one_weight_off_by_one_256th(backend: str) -> None:
    """Two tokens of q = 1/2, one of them with a weight of 257/256: seen; the backend at the same N: sound."""
    p = np.array([0.5, 0.5])
    psi = craft_psi(p, 2)
    law = draft_law(psi, TsuConfig(), "table")
    heavy = int(law.weights[1])
    biased = law_of([0, 1], [int(law.weights[0]), heavy + heavy // 256], 0, 2)
    assert needed(biased.probabilities(), law.probabilities()) <= WEIGHT_OFF_STEPS
    result = verdict(WeightedTsu(biased, law, seed=1), psi, p, law, WEIGHT_OFF_STEPS)
    assert not result.sound
    assert set(result.failed) == {"emitted", "drafts"}, result.tests
    tsu = open_tsu(backend=backend, config=TsuConfig(), seed=1, mode="table")
    assert verdict(tsu, psi, p, law, WEIGHT_OFF_STEPS).sound


def test_one_weight_off_and_reported_is_refused() -> None:
    """The same TSU, when it reports the weight it uses: refused at the first batch, before any statistics."""
    p = np.array([0.5, 0.5])
    psi = craft_psi(p, 2)
    law = draft_law(psi, TsuConfig(), "table")
    heavy = int(law.weights[1])
    biased = law_of([0, 1], [int(law.weights[0]), heavy + heavy // 256], 0, 2)
    with pytest.raises(LawMismatchError, match="total"):
        verdict(WeightedTsu(biased, biased, seed=1), psi, p, law, 10)


@pytest.mark.parametrize("backend", BACKENDS_UNDER_TEST)
def test_residual_from_the_target(backend: str) -> None:
    """min(p, q) + (1 - overlap) p instead of p: seen in emitted and recovered; drafts and acceptance are right."""
    p = np.array([0.3, 0.05, 0.2, 0.0, 0.05, 0.25, 0.1, 0.05])
    psi = craft_psi(p, 3, tau=0.6)
    law = draft_law(psi, TsuConfig(), "table")
    q = law.probabilities()
    kept = np.minimum(p, q)
    assert needed(kept + (1 - kept.sum()) * p, p) <= RESIDUAL_STEPS

    def tsu() -> Tsu:
        return open_tsu(backend=backend, config=TsuConfig(), seed=3, mode="table")

    result = verdict(tsu(), psi, p, law, RESIDUAL_STEPS, ResidualFromTarget(p, law))
    assert set(result.failed) == {"emitted", "recovered"}, result.tests
    assert verdict(tsu(), psi, p, law, RESIDUAL_STEPS).sound


@pytest.mark.parametrize("backend", BACKENDS_UNDER_TEST)
def test_q_claimed_from_real_weights_with_8_bit_hardware(backend: str) -> None:
    """One token of 0.9 and ten of 0.01: 8-bit weights round 128 / 90 = 1.42 to 1. Claimed q: F itself.

    The claimed integers are those of 48-bit weights, which are F to TV 1e-10: no run can tell them from float64.
    """
    p = np.array([0.9] + [0.01] * 10)
    psi = craft_psi(p, 11)
    claimed = draft_law(psi, TsuConfig(), "table")
    coarse_config = TsuConfig(weight_bits=8, vocab_max=1 << 16)
    coarse = draft_law(psi, coarse_config, "table")
    assert 0.5 * np.abs(claimed.probabilities() - real_probabilities(psi)).sum() <= 1e-10
    assert coarse.weights.tolist() == [128] + [1] * 10
    assert needed(coarse.probabilities(), claimed.probabilities()) <= COARSE_STEPS
    result = verdict(WeightedTsu(coarse, claimed, seed=4), psi, p, claimed, COARSE_STEPS)
    assert not result.sound
    assert {"emitted", "drafts"} <= set(result.failed), result.tests
    tsu = open_tsu(backend=backend, config=coarse_config, seed=4, mode="table")
    assert verdict(tsu, psi, p, coarse, COARSE_STEPS).sound


def test_false_alarms_come_at_the_stated_rate() -> None:
    """5000 unbiased runs of V = 500, N = 5000 at level 1e-2: the emitted test raises 12 to 110 alarms.

    A true rate between 0.8 and 1.3 times nominal stays within with probability above 1 - 1e-6 on either side
    (binomial tails 2.6e-7 and 6.2e-7).
    """
    rng = np.random.default_rng(77)
    p = np.random.Generator(np.random.PCG64(11)).dirichlet(np.ones(500))
    alarms = sum(stats.pooled_chi2(counts, p).p_value < 1e-2 for counts in rng.multinomial(5000, p, size=5000))
    assert 12 <= alarms <= 110
