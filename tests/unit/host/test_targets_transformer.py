# SPDX-License-Identifier: Apache-2.0
"""TransformerTarget: normalised, causal, decided by its window, one pass equal to many; files and refusals."""

import importlib.util
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from host.models.config import GruConfig, LowRankConfig, TransformerConfig, describe, parse
from host.models.store import build, load_model, save_model
from host.models.transformer import Transformer
from host.targets.transformer import TransformerTarget
from hw.spec.errors import SpecError

torch.set_num_threads(1)

CONFIG = TransformerConfig(vocab_size=11, width=16, layers=2, heads=2, span=4)
"""Looks at the last 7 tokens."""


def small(config: TransformerConfig = CONFIG) -> Transformer:
    """Weights large enough that every token in the window matters."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Transformer(config)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return model


def texts(batch: int, length: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(1)).integers(0, 11, size=(batch, length))


@pytest.fixture(scope="module")
def target() -> TransformerTarget:
    return TransformerTarget(model=small())


def test_default_size():
    model = build(TransformerConfig(vocab_size=1024))
    assert 0.8e6 <= sum(p.numel() for p in model.parameters()) <= 0.9e6
    assert TransformerConfig(vocab_size=1024).window == 125


@pytest.mark.parametrize("length", [0, 1, 6, 7, 30])
def test_rows_are_distributions_and_calls_repeat(target, length):
    logs = target.logprobs(texts(5, length))
    assert logs.shape == (5, 11)
    assert logs.dtype == np.float64
    assert [math.fsum(row) for row in np.exp(logs)] == pytest.approx([1] * 5, abs=1e-12)
    assert np.array_equal(logs, target.logprobs(texts(5, length)))


def test_start_of_a_text_is_one_law(target):
    logs = target.logprobs(np.empty((3, 0), dtype=np.int64))
    assert np.array_equal(logs[0], logs[2])
    assert target.logprobs(np.empty((0, 4), dtype=np.int64)).shape == (0, 11)


def test_the_last_tokens_of_the_order_decide_and_no_fewer(target):
    assert target.order == CONFIG.window == 7
    near = texts(4, 20)
    far, closer = near.copy(), near.copy()
    far[:, :13] = (far[:, :13] + 1) % 11
    closer[:, 13] = (closer[:, 13] + 1) % 11
    assert np.array_equal(target.logprobs(near), target.logprobs(far))
    assert np.abs(target.logprobs(near) - target.logprobs(closer)).max() > 1e-3


def test_one_pass_gives_what_each_window_gives(target):
    text = texts(3, 25)
    along = target.logprobs_along(text)
    assert along.shape == (3, 26, 11)
    for i in range(26):
        np.testing.assert_allclose(along[:, i], target.logprobs(text[:, :i]), atol=2e-5)
    np.testing.assert_allclose(target.laws(torch.from_numpy(text)).numpy(), np.exp(along), atol=1e-6)


def test_steps_with_kept_keys_give_what_one_pass_gives(target):
    text = torch.from_numpy(texts(3, 25))
    whole = target.model(text)
    logits, kept = target.model.start(3)
    for i in range(25):
        torch.testing.assert_close(logits, whole[:, i], atol=1e-4, rtol=1e-4)
        logits, kept = target.model.step(text[:, i], kept)
    torch.testing.assert_close(logits, whole[:, 25], atol=1e-4, rtol=1e-4)
    assert kept.position == 26
    assert kept.layers[0][0].shape == (3, 2, 4, 8)


def test_a_wider_span_is_caught():
    """Seeded bug: a mask one position too wide makes tokens outside the stated window matter."""
    model = small()
    target = TransformerTarget(model=model)
    text = texts(3, 25)
    before = target.logprobs_along(text)[:, -1]
    model.config = TransformerConfig(vocab_size=11, width=16, layers=2, heads=2, span=5)
    assert np.abs(target.logprobs_along(text)[:, -1] - before).max() > 1e-3


def test_passes_are_cut_to_bound_memory(target, monkeypatch):
    text = texts(9, 12)
    whole, along = target.logprobs(text), target.logprobs_along(text)
    monkeypatch.setattr("host.targets.transformer.ROW_ENTRIES", 300)
    np.testing.assert_allclose(target.logprobs(text), whole, atol=1e-5)
    np.testing.assert_allclose(target.logprobs_along(text), along, atol=1e-5)


def test_files_give_the_same_bits(target, tmp_path):
    save_model(tmp_path, small(), CONFIG, {"step": 3})
    assert np.array_equal(TransformerTarget.load(tmp_path).logprobs(texts(2, 9)), target.logprobs(texts(2, 9)))
    content = json.loads((tmp_path / "model.json").read_text())
    assert content["model"] == describe(CONFIG)
    assert content["spec_id"].startswith("0x")


@pytest.mark.parametrize(
    ("contexts", "message"),
    [
        ([[0, 11]], "contexts = 11"),
        ([0, 1], r"contexts.shape = \(2,\)"),
        ([[0.5]], "contexts.dtype"),
    ],
)
def test_bad_contexts(target, contexts, message):
    with pytest.raises(SpecError, match=message):
        target.logprobs(contexts)
    with pytest.raises(SpecError, match=message):
        target.logprobs_along(contexts)


def spoil(folder: Path, what: str) -> None:
    """A folder of a model, with one thing wrong."""
    save_model(folder, small(), CONFIG, {})
    path = folder / "model.json"
    content = json.loads(path.read_text())
    if what == "no JSON":
        path.write_text("{")
    elif what == "a list":
        path.write_text("[]")
    elif what == "no tensors":
        (folder / "model.safetensors").unlink()
    elif what == "cut tensors":
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:100])
    elif what == "NaN":
        model = small()
        model.bias.data[2] = math.nan
        save_model(folder, model, CONFIG, {})
    else:
        if what == "format":
            content["format"] = 99
        elif what == "kind":
            content["model"]["kind"] = "lstm"
        elif what == "size":
            content["model"]["width"] = 32
        elif what == "field":
            del content["model"]["heads"]
        elif what == "no model":
            content["model"] = 3
        path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("no JSON", "a readable JSON file"),
        ("a list", "one JSON object"),
        ("no tensors", r"a readable .safetensors file"),
        ("cut tensors", r"a readable .safetensors file"),
        ("NaN", "bias = 'NaN or infinity'"),
        ("format", "format = 99"),
        ("kind", "kind = 'lstm' .* transformer, gru, low-rank"),
        ("size", "shape of "),
        ("field", "sizes of transformer = .* heads"),
        ("no model", "model = 3"),
    ],
)
def test_a_spoilt_folder_is_one_clear_line(tmp_path, what, message):
    spoil(tmp_path, what)
    with pytest.raises(SpecError, match=message) as caught:
        TransformerTarget.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_folder_of_another_model(tmp_path):
    config = GruConfig(vocab_size=5, embed=4, hidden=4)
    save_model(tmp_path, build(config), config, {})
    with pytest.raises(SpecError, match="the folder of a transformer"):
        TransformerTarget.load(tmp_path)


def test_missing_extra_is_one_line_that_names_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpecError, match=r"torch and safetensors to be installed: pip install '.*\[train\]'"):
        TransformerTarget.load(Path("anywhere"))


def test_importing_targets_and_proposers_does_not_load_torch():
    import subprocess

    modules = "host.targets.transformer, host.propose.gru, host.propose.low_rank, host.train.command"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules or 'safetensors' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("config", [CONFIG, GruConfig(vocab_size=5), LowRankConfig(vocab_size=5, rank=2)])
def test_configurations_survive_json(config, tmp_path):
    assert parse(json.loads(json.dumps(describe(config)))) == config
    save_model(tmp_path, build(config), config, {})
    assert load_model(tmp_path)[1] == config


@pytest.mark.parametrize(
    ("kind", "sizes", "message"),
    [
        (TransformerConfig, {"width": 18, "heads": 4}, r"width = 18 .* multiple of 2 \* heads = 8"),
        (TransformerConfig, {"span": 0}, "span = 0"),
        (TransformerConfig, {"layers": 0}, "layers = 0"),
        (TransformerConfig, {"vocab_size": 0}, "vocab_size = 0"),
        (GruConfig, {"hidden": 0}, "hidden = 0"),
        (GruConfig, {"embed": True}, "embed = True"),
        (LowRankConfig, {"rank": 0}, "rank = 0"),
    ],
)
def test_bad_sizes(kind, sizes, message):
    with pytest.raises(SpecError, match=message):
        kind(**{"vocab_size": 5, **sizes})
