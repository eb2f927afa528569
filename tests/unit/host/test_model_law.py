# SPDX-License-Identifier: Apache-2.0
"""Draws of the model follow the law of their integers; a table with one weight off by 1/256 does not.

Power analysis (fixed beforehand: seed 11, alpha = 1e-6, N = 5e7). Pearson's statistic over the K = 32 ids and the
pooled tail has 32 degrees of freedom. When the weight of the best id, of probability p = 0.21, grows by 1/256, one draw
adds p (1 - p) / 256^2 = 2.5e-6 to the noncentrality. Power 0.99 asks for a noncentrality of 99, hence for 3.9e7 draws.
The 5 % of the draws that are one of 468 tail tokens (467 degrees of freedom) show a total variation of 0.005 with the
same power. `test_sample_size` computes both.
"""

import mpmath
import numpy as np
import numpy.typing as npt
from scipy import stats

from host.psi.schema import Psi
from host.tsu.lowering import load_command, lower, table_command, weight_table
from host.tsu.model import ModelTsu
from hw.spec.commands import Status, WeightMode
from hw.spec.config import TsuConfig

CONFIG = TsuConfig()
SEED, ALPHA, POWER, DRAWS, CHUNK = 11, 1e-6, 0.99, 50_000_000, 2_000_000
K, V = 32, 500
PSI = Psi(
    ids=np.sort(np.random.default_rng(SEED).choice(V, K, replace=False)),
    scores_q=np.array([127 - 4 * ((7 * i) % K) for i in range(K)]),
    scale=0.0625,
    zero_point=0,
    tau=1.0,
    tail=0.25,
    vocab_size=V,
)


def claimed_law(best_factor: float = 1.0) -> npt.NDArray[np.float64]:
    """Probabilities of the K ids and of the whole tail, float64 of shape (K + 1,)."""
    weights = [float(mpmath.exp(-(127 - int(code)) / mpmath.mpf(16))) for code in PSI.scores_q]
    law = np.array([*(best_factor if w == 1.0 else w for w in weights), PSI.tail])
    return law / law.sum()


def count_tokens(tsu: ModelTsu) -> npt.NDArray[np.int64]:
    """Histogram of DRAWS tokens of the psi loaded last, int64 of shape (V,)."""
    counts = np.zeros(V, dtype=np.int64)
    for _ in range(DRAWS // CHUNK):
        assert tsu.command(np.array([0x0102, CHUNK], dtype=np.uint32))[0] is Status.OK
        counts += np.bincount(tsu.take(CHUNK).tokens, minlength=V)
    return counts


def head_p_value(counts: npt.NDArray[np.int64]) -> float:
    head = counts[PSI.ids]
    return float(stats.chisquare([*head, counts.sum() - head.sum()], DRAWS * claimed_law()).pvalue)


def load_with(tsu: ModelTsu, table: npt.NDArray[np.uint64]) -> None:
    assert tsu.command(table_command(table))[0] is Status.OK
    assert tsu.command(load_command(lower(PSI, CONFIG, WeightMode.TABLE), count=0))[0] is Status.OK


def test_sample_size() -> None:
    actual, claimed = claimed_law(257 / 256), claimed_law()
    effect = float(np.sum((actual - claimed) ** 2 / claimed))
    critical = stats.chi2.isf(ALPHA, K)
    assert stats.ncx2.sf(critical, K, DRAWS * effect) >= POWER
    # Tail: every bin off by a fraction of 2 TV gives the noncentrality 4 TV^2 per draw of the tail.
    in_tail = DRAWS * claimed[-1]
    assert stats.ncx2.sf(stats.chi2.isf(ALPHA, V - K - 1), V - K - 1, in_tail * 4 * 0.005**2) >= POWER


def test_law_of_head_and_tail() -> None:
    with ModelTsu(config=CONFIG, seed=SEED) as tsu:
        load_with(tsu, weight_table(PSI.scale, PSI.tau, CONFIG.weight_bits))
        counts = count_tokens(tsu)
    assert head_p_value(counts) > ALPHA
    assert stats.chisquare(np.delete(counts, PSI.ids)).pvalue > ALPHA


def test_weight_off_by_1_in_256_is_seen() -> None:
    table = weight_table(PSI.scale, PSI.tau, CONFIG.weight_bits).copy()
    table[0] += table[0] >> np.uint64(8)
    with ModelTsu(config=CONFIG, seed=SEED) as tsu:
        load_with(tsu, table)
        counts = count_tokens(tsu)
    assert head_p_value(counts) < ALPHA
