# SPDX-License-Identifier: Apache-2.0
"""Settings that did well on Shakespeare, as defaults; docs/reference/training.md has the figures."""

from .settings import TrainSettings

TARGET = TrainSettings(steps=1000, batch=16, length=128, rate=3e-3, warmup=40, every=100)
"""Transformer of 0.82 M parameters, BPE of 1,024 tokens."""

GRU = TrainSettings(steps=500, batch=16, length=128, rate=4e-3, warmup=40, every=50)
"""Recurrent proposer of 0.69 M parameters."""

LOW_RANK = TrainSettings(steps=30_000, rate=0.2, warmup=50, weight_decay=0.0, every=1000)
"""Low-rank bigram of characters, all rows at once."""

STARTS = {"gru": 1, "low-rank": 16}
"""Models that learn side by side, by the kind of proposer."""

HEAD = TrainSettings(steps=800, batch=8, rate=8e-4, warmup=30, every=80)
"""Head of 6.2 M parameters on SmolLM2-135M."""

KL_SHARE = {"gru": 0.6, "low-rank": 0.2, "head": 0.65}
"""Share of the steps that minimise KL in a schedule, by the kind of proposer."""
