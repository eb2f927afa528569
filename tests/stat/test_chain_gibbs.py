# SPDX-License-Identifier: Apache-2.0
"""Gibbs draws of thrml from a chain: after every sweep they follow the law that enumeration gives, and no other.

Power analysis (fixed beforehand: alpha = 1e-6, power 0.99, seed 43, N = 400,000 chains, 81 joint states): the law of
one sweep more differs from that of t sweeps by an effect of 0.47, 0.028, 8.3e-4 a draw at t = 1, 3, 5, which asks for
158,090 draws at most; couplings that are 2 % too strong by 4.0e-4 at t = 3, which asks for 326,671.
`test_sample_sizes` computes both.
"""

from functools import cache
from itertools import islice

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("thrml", reason="thrml is not installed: make setup-thrml")

from host import stats
from host.chain.gibbs import CHUNK_CHAINS, gibbs_states
from host.chain.mixing import laws_by_sweep
from host.chain.model import ChainModel, random_chain
from hw.spec.errors import SpecError

ALPHA, POWER, SEED, CHAINS, SWEEPS = 1e-6, 0.99, 43, 400_000, 5
MODEL = random_chain(length=4, k=3, coupling=1.0, seed=SEED)
LAWS = [law.ravel() for law in islice(laws_by_sweep(MODEL), SWEEPS + 1)]
"""After 1, 2, ..., 6 sweeps."""


def too_strong() -> ChainModel:
    return ChainModel(biases=MODEL.biases, couplings=1.02 * MODEL.couplings)


@cache
def counts_of(biased: bool) -> npt.NDArray[np.int64]:
    """Chains in each joint state, int64 of shape (sweeps, 81)."""
    model = too_strong() if biased else MODEL
    states = gibbs_states(model, chains=CHAINS, sweeps=SWEEPS, seed=SEED).astype(np.int64)
    return np.stack([np.bincount(now @ [27, 9, 3, 1], minlength=81) for now in states])


def p_value(counts: npt.NDArray[np.int64], law: npt.NDArray[np.float64]) -> float:
    return stats.pooled_chi2(counts, law).p_value


def test_sample_sizes() -> None:
    biased = list(islice(laws_by_sweep(too_strong()), 3))[-1].ravel()
    effects = [stats.effect_size(LAWS[t - 1], LAWS[t]) for t in (1, 3, 5)] + [stats.effect_size(biased, LAWS[2])]
    for effect in effects:
        assert stats.samples_needed(effect=effect, dof=80, alpha=ALPHA, power=POWER) <= CHAINS


@pytest.mark.parametrize("sweeps", [1, 2, 3, 5])
def test_draws_follow_the_law_of_their_sweeps(sweeps: int) -> None:
    assert p_value(counts_of(False)[sweeps - 1], LAWS[sweeps - 1]) > ALPHA


@pytest.mark.parametrize("sweeps", [1, 3, 5])
def test_one_sweep_more_is_seen(sweeps: int) -> None:
    assert p_value(counts_of(False)[sweeps - 1], LAWS[sweeps]) < ALPHA


def test_couplings_too_strong_by_2_percent_are_seen() -> None:
    assert p_value(counts_of(True)[2], LAWS[2]) < ALPHA


def test_the_joint_is_not_reached_yet() -> None:
    """What makes Gibbs draws unfit as drafts whose q is the joint."""
    assert p_value(counts_of(False)[2], MODEL.joint().ravel()) < ALPHA


def test_seeds_and_chunks() -> None:
    first, again = (gibbs_states(MODEL, chains=CHUNK_CHAINS + 3, sweeps=SWEEPS, seed=5) for _ in range(2))
    assert first.shape == (SWEEPS, CHUNK_CHAINS + 3, 4)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, gibbs_states(MODEL, chains=CHUNK_CHAINS + 3, sweeps=SWEEPS, seed=5 + (1 << 32)))
    assert not np.array_equal(first[:, :3], first[:, CHUNK_CHAINS:])


def test_bad_requests_are_refused() -> None:
    for arguments, message in (
        ({"chains": 0, "sweeps": 1, "seed": 1}, "chains = 0"),
        ({"chains": 1, "sweeps": 0, "seed": 1}, "sweeps = 0"),
        ({"chains": 1, "sweeps": 1, "seed": -1}, "seed = -1"),
    ):
        with pytest.raises(SpecError, match=message):
            gibbs_states(MODEL, **arguments)
    with pytest.raises(SpecError, match="L = 1"):
        gibbs_states(random_chain(length=1, k=3, coupling=1.0, seed=1), chains=1, sweeps=1, seed=1)
