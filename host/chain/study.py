# SPDX-License-Identifier: Apache-2.0
"""How good Gibbs draws from a chain are: measured against the exact joint, and expected by enumeration."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import numpy as np

from hw.spec.errors import SpecError, check_int

from .exact import ExactSampler
from .gibbs import gibbs_states
from .mixing import frequencies, laws_by_sweep, sweeps_needed, total_variation
from .model import ChainModel

STATES_LIMIT = 1 << 27
"""Most states of chains that are kept: sweeps times chains."""

STRENGTH_LIMIT = 20.0
"""Largest strength."""

EXACT_STREAM = 1
"""Exact draws come from PCG64(SeedSequence([seed, 1]))."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is looked at.

    Parameters
    ----------
    unit : ChainModel
        The chain of strength 1. L in [2, 4] and K in [2, 8]: the joint is enumerated, and its frequencies are counted.
    strengths : tuple of float
        What its couplings are multiplied by.
    sweeps : int
        Most sweeps of a Gibbs chain, in [1, 4096].
    chains : int
        Independent Gibbs chains, and exact draws; in [1000, 2**24].
    seed : int

    Raises
    ------
    SpecError
        A field is outside its range.
    """

    unit: ChainModel
    strengths: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    sweeps: int = 64
    chains: int = 1 << 18
    seed: int = 1

    def __post_init__(self) -> None:
        check_int("length", self.unit.length, 2, 4)
        check_int("K", self.unit.k, 2, 8)
        check_int("sweeps", self.sweeps, 1, 4096)
        check_int("chains", self.chains, 1000, 1 << 24)
        check_int("seed", self.seed, 0, (1 << 64) - 1)
        if self.sweeps * self.chains > STATES_LIMIT:
            raise SpecError("sweeps * chains", self.sweeps * self.chains, f"at most {STATES_LIMIT}")
        if not self.strengths:
            raise SpecError("strengths", self.strengths, "at least one number")
        for strength in self.strengths:
            if not 0 <= strength <= STRENGTH_LIMIT:
                raise SpecError("strengths", strength, f"numbers in [0, {STRENGTH_LIMIT:g}]")


@dataclass(frozen=True, kw_only=True)
class Point:
    """Total variation from the exact joint after some sweeps: of the draws of thrml, and of the law of such draws."""

    sweeps: int
    measured: float
    law: float


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """One strength of coupling.

    Parameters
    ----------
    strength : float
    points : tuple of Point
        After 1, 2, 4, ... sweeps.
    exact : float
        Total variation of as many exact draws: what counting that many draws cannot go below.
    needed : tuple of int or None
        Sweeps until the law of the draws is within each of `GOOD_ENOUGH`; None where `SEARCH_SWEEPS` are too few.
    exact_s, sweep_s : float
        CPU seconds of one exact draw, and of one sweep of one Gibbs chain.
    """

    strength: float
    points: tuple[Point, ...]
    exact: float
    needed: tuple[int | None, ...]
    exact_s: float
    sweep_s: float

    def as_json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)


def run_study(study: Study, *, progress: Callable[[Mixing], None] | None = None) -> list[Mixing]:
    """Measure every strength; `progress` is called with each as it comes."""
    gibbs_states(study.unit, chains=1, sweeps=study.sweeps, seed=study.seed)  # compiles
    found = []
    for strength in study.strengths:
        found.append(_mixing(study, strength))
        if progress is not None:
            progress(found[-1])
    return found


def _mixing(study: Study, strength: float) -> Mixing:
    model = study.unit.strengthened(strength)
    joint = model.joint()
    start = time.process_time()
    states = gibbs_states(model, chains=study.chains, sweeps=study.sweeps, seed=study.seed)
    sweep_s = (time.process_time() - start) / study.chains / study.sweeps
    sampler = ExactSampler(model=model)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([study.seed, EXACT_STREAM])))
    start = time.process_time()
    draws = sampler.sample(study.chains, rng)
    exact_s = (time.process_time() - start) / study.chains
    points = tuple(
        Point(
            sweeps=sweeps,
            measured=total_variation(frequencies(states[sweeps - 1], model.k), joint),
            law=total_variation(law, joint),
        )
        for sweeps, law in enumerate(islice(laws_by_sweep(model), study.sweeps), start=1)
        if sweeps & (sweeps - 1) == 0
    )
    return Mixing(
        strength=strength, points=points, exact=total_variation(frequencies(draws.states, model.k), joint),
        needed=sweeps_needed(model), exact_s=exact_s, sweep_s=sweep_s,
    )  # fmt: skip
