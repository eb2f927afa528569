# SPDX-License-Identifier: Apache-2.0
"""Summary of a run by blocks over contexts: what the command line prints and summary.json holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from host.block_soundness import BLOCK_ALPHA
from host.soundness import FAMILY_ALPHA, POWER, Soundness

from .block_tally import BlockTally
from .contexts import ContextRow
from .means import MeanRow, mean_row, share_row
from .spec_decode import COUNTS_PRINTED
from .summary import CONFIDENCE, SUMMARY_SCHEMA_VERSION, Summary, finite, ratio

BLOCK_PRINTED = (
    "backend", "noise", "lanes", "weights", "spec_id", "seed", "target", "vocab_size", "texts", "L", "n_drafts",
    "tree_nodes", "verify", "steps", "complete", "contexts", "accept_rate", "accept_low", "accept_high", "overlap",
    "num_drafts", *COUNTS_PRINTED, "chi2_stat", "chi2_dof", "p_value", "worst_p_value", "psi_bytes_mean",
    "samples_per_s", "steps_per_s", "tree", "detectable_tv", "sound",
)  # fmt: skip
"""Values of the summary that the command line prints."""


def summarise_blocks(
    tally: BlockTally,
    rows: Sequence[ContextRow],
    soundness: Soundness,
    *,
    complete: bool,
    tree: Sequence[int],
    facts: dict[str, Any],
) -> tuple[Summary, list[MeanRow]]:
    """Every figure of a run, and its means as rows of summary.csv.

    Parameters
    ----------
    tally : BlockTally
    rows : sequence of ContextRow
        Of `BlockTally.rows`.
    soundness : Soundness
        See `host.block_soundness`.
    complete : bool
        Whether all texts came to their end.
    tree : sequence of int
        Drafts behind each node in the last step, see `host.plan.shape`.
    facts : dict
        What identifies the run, and its cycles.
    """
    steps = np.array([row.steps for row in rows], dtype=np.int64)
    counts = tally.counts
    share = share_row("accept_rate", sum(counts.num_accepted_tokens_per_pos[:1]), counts.num_drafts)
    overlap = mean_row("overlap", "", [row.overlap for row in rows], steps)
    means = [share, overlap, mean_row("ce_gap_nats", "nats", [row.ce_gap_nats for row in rows], steps)]
    emitted, worst = soundness["emitted"], soundness["worst_emitted"]
    values: dict[str, Any] = {
        "schema_version": SUMMARY_SCHEMA_VERSION,
        "complete": complete,
        "sound": soundness.sound,
        **facts,
        "steps": tally.tokens,
        "contexts": len(rows),
        "accept_rate": share.mean,
        "accept_low": share.low,
        "accept_high": share.high,
        "accept_confidence": CONFIDENCE,
        "overlap": overlap.mean,
        **counts.values(),
        "chi2_stat": finite(emitted.stat),
        "chi2_dof": emitted.dof,
        "p_value": emitted.p_value,
        "worst_p_value": worst.p_value,
        "psi_bytes_mean": ratio(tally.psi_bytes, counts.num_drafts),
        "samples_per_s": ratio(counts.num_draft_tokens, tally.tsu_s),
        "verified_per_s": ratio(tally.tokens, tally.verifier_s),
        "steps_per_s": ratio(tally.tokens, tally.elapsed_s),
        "elapsed_s": tally.elapsed_s,
        "tree": list(tree),
        "family_alpha": FAMILY_ALPHA,
        "test_alpha": BLOCK_ALPHA,
        "detectable_tv": soundness.detectable_tv,
        "detectable_power": POWER,
        "tests": {
            test.name: {"stat": finite(test.stat), "dof": test.dof, "p_value": test.p_value, "passed": test.passed}
            for test in soundness.tests
        },
    }
    return Summary(values=values, soundness=soundness, printed=BLOCK_PRINTED), means
