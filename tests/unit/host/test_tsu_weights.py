# SPDX-License-Identifier: Apache-2.0
"""Integer weights in NumPy: those of the golden law, in both modes, at every width; illegal totals are refused."""

import numpy as np
import pytest

from host.golden.exact import draft_law
from host.psi.schema import Psi
from host.tsu.base import TsuError
from host.tsu.lowering import check_mode, lower
from host.tsu.model import ModelTsu
from host.tsu.weights import integer_weights
from hw.spec.config import TsuConfig

CONFIGS = {
    "48 bits": TsuConfig(k_max=512),
    "32 bits": TsuConfig(weight_bits=32, guard_bits=4),
    "8 bits": TsuConfig(k_max=16, vocab_max=500, weight_bits=8, headroom_bits=6),
}


def random_psi(rng: np.random.Generator, config: TsuConfig) -> Psi:
    k = int(rng.integers(1, config.k_max + 1))
    vocab = int(rng.integers(k, config.vocab_max + 1))
    return Psi(
        ids=np.sort(rng.choice(vocab, k, replace=False)),
        scores_q=rng.integers(-128, 128, k),
        scale=float(rng.choice([0.0, 0.003, 0.06, 0.7, 50.0]) * rng.random()),
        zero_point=0,
        tau=float(rng.random() + 0.1),
        tail=float(np.exp(2 * rng.normal())) if vocab > k else 0.0,
        vocab_size=vocab,
    )


@pytest.mark.parametrize("mode", ["table", "exp2"])
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_weights_are_those_of_the_golden_law(config: TsuConfig, mode: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        psi = random_psi(rng, config)
        law = draft_law(psi, config, mode)
        weights, total = integer_weights(lower(psi, config, check_mode(config, mode)), config)
        assert weights.dtype == np.uint64
        assert weights.tolist() == law.weights.tolist()
        assert total == law.total


def test_an_illegal_total_is_refused_as_the_model_refuses_it() -> None:
    """W = B = 5, T_full = 32000: 32080 has 15 bits, h = 10, T = 31, and four weights are raised to 1: Z = 35 > 31."""
    config = TsuConfig(k_max=4, vocab_max=16, weight_bits=5, headroom_bits=0)
    psi = Psi(
        ids=[1, 4, 7, 9], scores_q=[9, 3, -4, 5], scale=0.25, zero_point=0, tau=1.0, tail=2000.0, vocab_size=16
    )  # fmt: skip
    with pytest.raises(TsuError, match="BAD_TOTAL") as caught:
        integer_weights(lower(psi, config, check_mode(config, "table")), config)
    with ModelTsu(config=config, mode="table") as model, pytest.raises(TsuError) as expected:
        model.sample(psi, 1)
    assert str(caught.value) == str(expected.value)
