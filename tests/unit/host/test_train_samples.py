# SPDX-License-Identifier: Apache-2.0
"""Texts of a target follow its law."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from host.models.config import TransformerConfig
from host.models.store import save_model
from host.models.transformer import Transformer
from host.targets.bigram import BigramTarget, dirichlet_bigram
from host.targets.transformer import TransformerTarget
from host.train.command import main
from host.train.data import load_tokens
from host.train.samples import sample_texts, sampled_tokens
from hw.spec.errors import SpecError

torch.set_num_threads(1)

ALPHA = 1e-6
"""Level of each of the tests below; N = 16,000 pairs over at most 36 cells."""


def generator(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def p_value(counts: np.ndarray, p: np.ndarray) -> float:
    """Pearson's test of each row of counts against its law, over all rows; cells expect at least 5."""
    expected = counts.sum(axis=1, keepdims=True) * p
    assert expected.min() >= 5
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(chi2.sf(statistic, counts.size - len(counts)))


def pairs(texts: np.ndarray, size: int) -> np.ndarray:
    return np.bincount((texts[:, :-1] * size + texts[:, 1:]).ravel(), minlength=size * size).reshape(size, size)


def test_bigram_texts_follow_the_table_and_a_shifted_table_is_caught():
    target = dirichlet_bigram(vocab_size=6, concentration=3.0, seed=2)
    counts = pairs(sample_texts(target, batch=100, length=161, rng=generator(1)), 6)
    assert p_value(counts, target.table) > ALPHA
    assert p_value(counts, np.roll(target.table, 1, axis=1)) < ALPHA


def test_zeros_are_never_drawn():
    table = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]])
    counts = pairs(sample_texts(BigramTarget(table=table), batch=50, length=100, rng=generator(0)), 3)
    assert np.all(counts[table == 0] == 0)


def small() -> TransformerTarget:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return TransformerTarget(model=Transformer(TransformerConfig(vocab_size=6, width=8, heads=2, layers=2, span=3)))


def test_a_transformers_texts_follow_its_laws():
    """Draws from kept keys against laws of whole passes: z of the log-likelihood, whose mean is minus the entropy."""
    target = small()
    texts = sample_texts(target, batch=64, length=40, rng=generator(5))
    assert np.array_equal(texts, sample_texts(target, batch=64, length=40, rng=generator(5)))
    logs = target.logprobs_along(texts)[:, :-1]
    p = np.exp(logs)
    seen = np.take_along_axis(logs, texts[..., None], axis=2)[..., 0]
    mean = (p * logs).sum(axis=2)
    variance = (p * logs**2).sum(axis=2) - mean**2
    assert abs((seen - mean).sum()) < 5 * np.sqrt(variance.sum())


def test_tokens_and_command(tmp_path, capsys):
    target = small()
    tokens = sampled_tokens(target, texts=10, length=20, heldout=0.2, seed=1)
    assert (len(tokens.train), len(tokens.heldout), tokens.vocab_size) == (160, 40, 6)
    save_model(tmp_path, target.model, target.model.config, {})
    out = tmp_path / "s.npz"
    options = ["--texts", "10", "--length", "20", "--heldout", "0.2", "--seed", "1", "--out", str(out)]
    assert main(["sample", "--target", str(tmp_path), *options]) == 0
    assert capsys.readouterr().out == f"tokens_path={out}\ntrain=160\nheldout=40\n"
    assert np.array_equal(load_tokens(out).train, tokens.train)
    assert main(["sample", "--target", str(tmp_path), "--out", str(out), "--texts", "1"]) == 2
    assert capsys.readouterr().err.startswith("error: texts = 1 ")


def test_refusals():
    class Endless:
        vocab_size, order = 5, None

    with pytest.raises(SpecError, match="order of the target"):
        sample_texts(Endless(), batch=1, length=1, rng=generator(0))
    with pytest.raises(SpecError, match="batch = 0"):
        sample_texts(small(), batch=0, length=1, rng=generator(0))
    with pytest.raises(SpecError, match="length = 0"):
        sample_texts(small(), batch=1, length=0, rng=generator(0))
