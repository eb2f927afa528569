# SPDX-License-Identifier: Apache-2.0
"""Summary of a run over many contexts: means over steps, with intervals, and the verdict."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from host.context_soundness import CONTEXT_ALPHA
from host.soundness import FAMILY_ALPHA, POWER, Soundness

from .contexts import ContextRow, ContextTally
from .means import MeanRow, mean_row, share_row
from .summary import CONFIDENCE, SUMMARY_SCHEMA_VERSION, Summary, finite, ratio

CONTEXT_PRINTED = (
    "backend", "noise", "lanes", "weights", "spec_id", "seed", "target", "vocab_size", "texts", "steps", "complete",
    "contexts", "accept_rate", "accept_low", "accept_high", "overlap", "residual_mass",
    "chi2_stat", "chi2_dof", "p_value", "worst_p_value", "mean_log_q", "ce_gap_nats", "psi_bytes_mean",
    "samples_per_s", "samples_per_cycle", "steps_per_s", "detectable_tv", "sound",
)  # fmt: skip
"""Values of the summary that the command line prints."""


def summarise_contexts(
    tally: ContextTally, rows: Sequence[ContextRow], soundness: Soundness, *, complete: bool, facts: dict[str, Any]
) -> tuple[Summary, list[MeanRow]]:
    """Every figure of a run, and its means as rows of summary.csv.

    Parameters
    ----------
    tally : ContextTally
    rows : sequence of ContextRow
        One for each context that was visited.
    soundness : Soundness
        See `host.context_soundness`.
    complete : bool
        Whether every step that was asked for was done.
    facts : dict
        What identifies the run, and its cycles.
    """
    steps = np.array([row.steps for row in rows], dtype=np.int64)
    means = [
        share_row("accept_rate", tally.accepted, tally.steps),
        mean_row("overlap", "", [row.overlap for row in rows], steps),
        mean_row("ce_gap_nats", "nats", [row.ce_gap_nats for row in rows], steps),
        mean_row("log_q", "nats", [row.mean_log_q for row in rows], steps),
        mean_row("psi_bytes", "bytes", [float(row.psi_bytes) for row in rows], steps),
    ]
    share, overlap, gap, log_q, size = means
    emitted, worst = soundness["emitted"], soundness["worst_emitted"]
    values: dict[str, Any] = {
        "schema_version": SUMMARY_SCHEMA_VERSION,
        "complete": complete,
        "sound": soundness.sound,
        **facts,
        "steps": tally.steps,
        "contexts": len(rows),
        "accepted": tally.accepted,
        "accept_rate": share.mean,
        "accept_low": share.low,
        "accept_high": share.high,
        "accept_confidence": CONFIDENCE,
        "overlap": overlap.mean,
        "residual_mass": None if overlap.mean is None else 1 - overlap.mean,
        "chi2_stat": finite(emitted.stat),
        "chi2_dof": emitted.dof,
        "p_value": emitted.p_value,
        "worst_p_value": worst.p_value,
        "mean_log_q": log_q.mean,
        "ce_gap_nats": gap.mean,
        "psi_bytes_mean": size.mean,
        "samples_per_s": ratio(tally.steps, tally.tsu_s),
        "verified_per_s": ratio(tally.steps, tally.verifier_s),
        "steps_per_s": ratio(tally.steps, tally.elapsed_s),
        "elapsed_s": tally.elapsed_s,
        "family_alpha": FAMILY_ALPHA,
        "test_alpha": CONTEXT_ALPHA,
        "detectable_tv": soundness.detectable_tv,
        "detectable_power": POWER,
        "tests": {
            test.name: {"stat": finite(test.stat), "dof": test.dof, "p_value": test.p_value, "passed": test.passed}
            for test in soundness.tests
        },
    }
    return Summary(values=values, soundness=soundness, printed=CONTEXT_PRINTED), means
