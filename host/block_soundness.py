# SPDX-License-Identifier: Apache-2.0
"""Is a run by blocks statistically sound, context by context? See `host.context_soundness` and `host.text_soundness`.

emitted   tokens behind each context against p, together and the worst context. A text's tokens are a Markov chain with
          the target's law, however it was verified, because its length does not depend on what was drawn
drafts    drafts of each context and number against their law q, together and the worst
accepted  places whose drafts hold the accepted one, against the probability that the verifier gives it: a sum of
          Bernoullis whose means are known, by Freedman's inequality. Not of a chain that is verified as a block

A run is sound when all five p-values are at least `FAMILY_ALPHA` / 5.
"""

import numpy as np

from host import stats
from host.context_soundness import MIN_EXPECTED_CONTEXT, Together
from host.soundness import FAMILY_ALPHA, POWER, Soundness
from host.telemetry.block_tally import BlockTally

BLOCK_ALPHA = FAMILY_ALPHA / 5
"""Level of each test."""


def assess_blocks(tally: BlockTally) -> tuple[Soundness, dict[int, float | None]]:
    """The verdict, and by last token the p-value of the tokens behind each context; None where there are too few."""
    emitted, drafts = Together(alpha=BLOCK_ALPHA), Together(alpha=BLOCK_ALPHA)
    p_values: dict[int, float | None] = {}
    for token, p in tally.targets():
        counts = tally.emitted[token].astype(np.int64)
        p_values[token] = emitted.add(stats.pooled_chi2(counts, p, MIN_EXPECTED_CONTEXT))
    for counts, q in tally.drafts():
        drafts.add(stats.pooled_chi2(counts, q, MIN_EXPECTED_CONTEXT))
    pairs = (emitted.results("emitted"), drafts.results("drafts"))
    accepted = tally.accepted.result("accepted", BLOCK_ALPHA)
    tests = (*(pair[0] for pair in pairs), accepted, *(pair[1] for pair in pairs))
    detectable = stats.detectable_tv(samples=tally.tokens, dof=emitted.dof, alpha=BLOCK_ALPHA, power=POWER)
    return Soundness(tests=tests, detectable_tv=detectable), p_values
