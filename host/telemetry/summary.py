# SPDX-License-Identifier: Apache-2.0
"""Running counts of a run, and the summary that `summary.json` and the command line show."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from host import stats
from host.psi.law import DraftLaw
from host.soundness import FAMILY_ALPHA, POWER, Soundness, assess
from host.tsu.base import Draws
from host.verify.single import Verified

SUMMARY_SCHEMA_VERSION = 1
"""Version of summary.json; raised when a field changes its name, type or meaning."""

CONFIDENCE = 0.95
"""Confidence of the interval of the acceptance rate."""


@dataclass
class Tally:
    """Counts per token and seconds spent; memory is three vectors of V integers, whatever the number of steps.

    Parameters
    ----------
    vocab_size : int
    """

    vocab_size: int
    steps: int = 0
    accepted: int = 0
    tsu_s: float = 0.0
    verifier_s: float = 0.0
    elapsed_s: float = 0.0
    drafts: npt.NDArray[np.int64] = field(init=False)
    emitted: npt.NDArray[np.int64] = field(init=False)
    recovered: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.drafts, self.emitted, self.recovered = (np.zeros(self.vocab_size, dtype=np.int64) for _ in range(3))

    def add(self, draws: Draws, verified: Verified, *, tsu_s: float, verifier_s: float) -> None:
        """Count one verified batch and the seconds it took."""
        self.drafts += np.bincount(draws.tokens, minlength=self.vocab_size)
        self.emitted += np.bincount(verified.tokens, minlength=self.vocab_size)
        self.recovered += np.bincount(verified.tokens[~verified.accepted], minlength=self.vocab_size)
        self.steps += len(draws)
        self.accepted += verified.accepted_count
        self.tsu_s += tsu_s
        self.verifier_s += verifier_s


def mean_log_q(drafts: npt.NDArray[np.int64], law: DraftLaw) -> float:
    """Mean of ln q over the drafts, from their counts per token; NaN without drafts."""
    seen = np.flatnonzero(drafts)
    if len(seen) == 0:
        return math.nan
    return float(np.dot(drafts[seen], law.log_q(seen)) / drafts.sum())


def ce_gap_nats(p: npt.NDArray[np.float64], q: npt.NDArray[np.float64]) -> float | None:
    """Cross entropy of q under p less the entropy of p, sum p ln(p / q), in nats; None where it is infinite."""
    support = p > 0
    if np.any(q[support] <= 0):
        return None
    return float(np.dot(p[support], np.log(p[support]) - np.log(q[support])))


PRINTED = (
    "backend", "noise", "lanes", "weights", "spec_id", "seed", "steps", "complete",
    "accept_rate", "accept_low", "accept_high", "overlap", "residual_mass",
    "chi2_stat", "chi2_dof", "p_value", "mean_log_q", "ce_gap_nats", "psi_bytes_mean",
    "samples_per_s", "samples_per_cycle", "steps_per_s", "detectable_tv", "sound",
)  # fmt: skip
"""Values of the summary that the command line prints."""

INEXACT = ("exact", "law_bound")
"""Printed where the TSU draws from another law than the one it reports, within that total variation."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Outcome of a run: `values` is written as summary.json, `soundness` decides the exit status.

    Parameters
    ----------
    values : dict
    soundness : Soundness
    printed : tuple of str
        Values that the command line prints, in this order.
    """

    values: dict[str, Any]
    soundness: Soundness
    printed: tuple[str, ...] = PRINTED

    def lines(self) -> list[str]:
        """`name=value`, one per line, in a fixed order; behind the backend what its law lacks, if anything."""
        first, *others = self.printed
        lacking = () if self.values.get("exact", True) else INEXACT
        return [f"{name}={show(self.values[name])}" for name in (first, *lacking, *others)]


def show(value: object) -> str:
    """A value as the command line prints it: yes/no, six significant digits, `none`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "none" if value is None else str(value)


def summarise(
    tally: Tally, *, p: npt.NDArray[np.float64], law: DraftLaw, psi_bytes: int, complete: bool, facts: dict[str, Any]
) -> Summary:
    """Test the counts and collect every figure of the run.

    Parameters
    ----------
    tally : Tally
    p : float64 ndarray of shape (vocab_size,)
        Target.
    law : DraftLaw
        Law of the drafts.
    psi_bytes : int
        Wire bytes of the psi.
    complete : bool
        Whether every step that was asked for was done.
    facts : dict
        What identifies the run (run_id, backend, noise, lanes, weights, spec_id, seed, ...) and samples_per_cycle.
    """
    q = law.probabilities()
    soundness = assess(p=p, q=q, drafts=tally.drafts, emitted=tally.emitted, recovered=tally.recovered)
    overlap = min(float(np.minimum(p, q).sum()), 1.0)
    low, high = stats.binomial_interval(tally.accepted, tally.steps, CONFIDENCE)
    emitted = soundness["emitted"]
    values: dict[str, Any] = {
        "schema_version": SUMMARY_SCHEMA_VERSION,
        "complete": complete,
        "sound": soundness.sound,
        **facts,
        "steps": tally.steps,
        "accepted": tally.accepted,
        "accept_rate": ratio(tally.accepted, tally.steps),
        "accept_low": low,
        "accept_high": high,
        "accept_confidence": CONFIDENCE,
        "overlap": overlap,
        "residual_mass": 1 - overlap,
        "chi2_stat": finite(emitted.stat),
        "chi2_dof": emitted.dof,
        "p_value": emitted.p_value,
        "mean_log_q": finite(mean_log_q(tally.drafts, law)),
        "ce_gap_nats": ce_gap_nats(p, q),
        "psi_bytes_mean": float(psi_bytes),
        "samples_per_s": ratio(tally.steps, tally.tsu_s),
        "verified_per_s": ratio(tally.steps, tally.verifier_s),
        "steps_per_s": ratio(tally.steps, tally.elapsed_s),
        "elapsed_s": tally.elapsed_s,
        "family_alpha": FAMILY_ALPHA,
        "detectable_tv": soundness.detectable_tv,
        "detectable_power": POWER,
        "tests": {
            test.name: {"stat": finite(test.stat), "dof": test.dof, "p_value": test.p_value, "passed": test.passed}
            for test in soundness.tests
        },
    }
    return Summary(values=values, soundness=soundness)


def finite(value: float) -> float | None:
    """JSON has neither infinity nor NaN."""
    return value if math.isfinite(value) else None


def ratio(part: float, whole: float) -> float | None:
    """part / whole; None where the whole is 0."""
    return part / whole if whole > 0 else None
