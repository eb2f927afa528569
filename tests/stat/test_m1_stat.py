# SPDX-License-Identifier: Apache-2.0
"""Milestone 1 by statistics: sizes from the power analysis, seeds fixed, and biased variants that must fail."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from host import stats
from host.context_soundness import CONTEXT_ALPHA
from host.decode.loop import DraftLoop
from host.golden.exact import draft_law
from host.m1 import run as run_m1
from host.m1_setup import M1Options
from host.m1_single import assess, measure
from host.propose.table import TableProposer
from host.psi.schema import Psi
from host.soundness import POWER, Soundness
from host.targets.bigram import BigramTarget, dirichlet_bigram
from host.telemetry.contexts import ContextTally
from host.tsu.base import Draws
from host.tsu.model import ModelTsu
from host.verify.single import SingleVerifier
from hw.spec.config import TsuConfig

V, K = 16, 5
TARGET = dirichlet_bigram(vocab_size=V, concentration=1.0, seed=21)
BIASED_CONTEXT = 6
FRACTION = 0.05


def run(
    steps: int, *, spoil: Callable[[DraftLoop], None] = lambda it: None, tsu: type[ModelTsu] = ModelTsu
) -> Soundness:
    """A run of 512 texts; `spoil` may change the loop before it starts."""
    with tsu(config=TsuConfig(k_max=64), seed=5, mode="exp2") as device:
        it = DraftLoop(
            tsu=device,
            target=TARGET,
            proposer=TableProposer(model=TARGET, k=K),
            texts=np.arange(512)[:, None] % V,
            mode="exp2",
            rng=np.random.default_rng(6),
        )
        spoil(it)
        tally = ContextTally(V)
        measure(loop=it, tally=tally, steps=steps)
        kept = dict(it._kept)
        it._kept.clear()  # the verdict is on the target itself, not on what was spoilt
        _, assessment = assess(it, tally)
        it._kept.update(kept)
    return assessment.finish()


def stationary(target: BigramTarget) -> npt.NDArray[np.float64]:
    """Share of steps at each context."""
    share: npt.NDArray[np.float64] = np.linalg.matrix_power(target.table, 200)[0]
    return share


def tilted(p: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """p with every probability off by `FRACTION`, up or down, as nearly as the sum allows."""
    order = np.argsort(p)
    sign = np.ones(len(p))
    sign[order[::2]] = -1
    wrong: npt.NDArray[np.float64] = p * (1 + FRACTION * sign)
    return wrong / wrong.sum()


def test_a_bias_of_every_context_is_seen_at_the_size_the_power_analysis_gives() -> None:
    """The verifier works on a target that is off by 5 %; N from the effect at level alpha / 8 and power 0.99."""
    share = stationary(TARGET)
    effect = sum(share[c] * stats.effect_size(tilted(TARGET.table[c]), TARGET.table[c]) for c in range(V))
    steps = stats.samples_needed(effect=effect, dof=V * (V - 1), alpha=CONTEXT_ALPHA, power=POWER)

    def spoil(it: DraftLoop) -> None:
        for at in it.look_up(np.arange(V)[:, None]):
            verifier = SingleVerifier(p=tilted(at.p), law=at.law)
            it._kept[at.context] = replace(at, verifier=verifier)

    assert 50_000 < steps < 1_000_000
    assert "emitted" in run(steps, spoil=spoil).failed
    assert run(steps).sound


def test_a_bias_of_one_context_is_seen_at_the_size_the_power_analysis_gives() -> None:
    """Only one of 16 contexts recovers from p in place of (p - q)+."""
    law = TableProposer(model=TARGET, k=K)

    def spoil(it: DraftLoop) -> None:
        (at,) = it.look_up(np.array([[BIASED_CONTEXT]]))
        careless = SingleVerifier(p=at.p, law=at.law)
        careless.support = np.arange(V, dtype=np.uint32)
        careless.residual_cdf = np.cumsum(at.p) / at.p.sum()
        careless.residual_cdf[-1] = 1.0
        it._kept[at.context] = replace(at, verifier=careless)

    psi = law.emit(law.start(1), np.array([[BIASED_CONTEXT]]))[0]
    q = draft_law(psi, TsuConfig(k_max=64), "exp2").probabilities()
    p = TARGET.table[BIASED_CONTEXT]
    emitted = np.minimum(p, q) + (1 - np.minimum(p, q).sum()) * p
    effect = stats.effect_size(emitted, p)
    here = stats.samples_needed(effect=effect, dof=V - 1, alpha=CONTEXT_ALPHA / V, power=POWER)
    steps = int(1.2 * here / stationary(TARGET)[BIASED_CONTEXT])
    assert steps < 2_000_000
    failed = run(steps, spoil=spoil).failed
    assert "worst_emitted" in failed
    assert "drafts" not in failed
    assert run(steps).sound


class StaleTsu(ModelTsu):
    """Draws from the psi of the call before, and reports the integers of the psi it was asked for."""

    before: Psi | None = None

    def sample(self, psi: Psi, n: int) -> Draws:
        drawn = super().sample(self.before or psi, n)
        self.before = psi
        law = draft_law(psi, self.config, "exp2")
        return Draws(
            tokens=drawn.tokens,
            weights=law.weight_of(drawn.tokens),
            spreads=law.spread_of(drawn.tokens),
            total=law.total,
        )


def test_a_psi_of_the_wrong_context_is_seen() -> None:
    """q claimed is not q sampled: the drafts show it, and the output too."""
    failed = run(20_000, tsu=StaleTsu).failed
    assert {"drafts", "emitted"} <= set(failed)


@pytest.mark.slow
def test_fixed_contexts_at_v_256() -> None:
    """Three contexts of a 256-token bigram: N is such that a total variation of 1e-3 would be seen (power 0.99)."""
    target = dirichlet_bigram(vocab_size=256, concentration=1.0, seed=1)
    steps = stats.samples_needed(effect=4e-6, dof=255, alpha=CONTEXT_ALPHA, power=POWER)
    assert 40_000_000 < steps < 60_000_000
    rng = np.random.default_rng(8)
    with ModelTsu(config=TsuConfig(k_max=64), seed=9, mode="exp2") as tsu:
        it = DraftLoop(
            tsu=tsu, target=target, proposer=TableProposer(model=target, k=64), texts=np.array([[0]]),
            mode="exp2", rng=rng,
        )  # fmt: skip
        for at in it.look_up(np.array([[0], [100], [255]])):
            emitted = np.zeros(256, dtype=np.int64)
            for start in range(0, steps, 1 << 18):
                verified = at.verifier.verify(tsu.sample(at.psi, min(1 << 18, steps - start)), rng)
                emitted += np.bincount(verified.tokens, minlength=256)
            assert stats.pooled_chi2(emitted, target.table[at.context[0]]).p_value >= CONTEXT_ALPHA


@pytest.mark.slow
def test_all_contexts_at_v_256() -> None:
    """A whole run of 3e7 tokens: sound, and a total variation of 0.005 at every context would have been seen."""
    result = run_m1(M1Options(steps=30_000_000, texts=1 << 17, seed=3, telemetry="off"))
    assert result.summary.soundness.sound
    assert result.summary.values["detectable_tv"] < 0.005
    assert result.summary.values["contexts"] == 256
