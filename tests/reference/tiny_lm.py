# SPDX-License-Identifier: Apache-2.0
"""Random language models of a few thousand weights in Hugging Face folders, made here: nothing is fetched."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from host.text.bpe import BpeTokenizer

VOCAB = 300
"""257 to 299 are merges, but for the last: it ends a text."""

END = VOCAB - 1

TEXT = "In the beginning was the word, and the word was with the beginning: naïve, “quoted”, 日本語, 🙂. " * 30
"""Trains the tokenizer; characters of one to four bytes."""

SIZES: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "rope_theta": 1000.0,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "bos_token_id": None,
    "eos_token_id": END,
    "dtype": "float32",
}
"""config.json."""


def random_weights(config: dict[str, Any], seed: int = 0, spread: float = 0.35) -> dict[str, Tensor]:
    """Weights by their names in a checkpoint; `spread` decides how peaked the distributions are."""
    generator = torch.Generator().manual_seed(seed)
    d, inner = config["hidden_size"], config["intermediate_size"]
    query, shared = (config[name] * config["head_dim"] for name in ("num_attention_heads", "num_key_value_heads"))

    def matrix(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, generator=generator) * spread

    def scale() -> Tensor:
        return 1 + 0.2 * torch.randn(d, generator=generator)

    weights = {"model.embed_tokens.weight": matrix(config["vocab_size"], d), "model.norm.weight": scale()}
    if not config["tie_word_embeddings"]:
        weights["lm_head.weight"] = matrix(config["vocab_size"], d)
    for number in range(config["num_hidden_layers"]):
        name = f"model.layers.{number}"
        weights |= {
            f"{name}.self_attn.q_proj.weight": matrix(query, d),
            f"{name}.self_attn.k_proj.weight": matrix(shared, d),
            f"{name}.self_attn.v_proj.weight": matrix(shared, d),
            f"{name}.self_attn.o_proj.weight": matrix(d, query),
            f"{name}.mlp.gate_proj.weight": matrix(inner, d),
            f"{name}.mlp.up_proj.weight": matrix(inner, d),
            f"{name}.mlp.down_proj.weight": matrix(d, inner),
            f"{name}.input_layernorm.weight": scale(),
            f"{name}.post_attention_layernorm.weight": scale(),
        }
    return weights


def write_tokenizer(folder: Path) -> None:
    """tokenizer.json of a byte-level BPE trained on `TEXT`, with a token that ends a text."""
    trained = BpeTokenizer.train(TEXT, vocab_size=VOCAB - 1)
    assert trained.vocab_size == VOCAB - 1
    engine = trained._engine
    engine.add_special_tokens(["<end>"])
    engine.save(str(folder / "tokenizer.json"))


def write_llama(folder: Path, *, seed: int = 0, spread: float = 0.35, **changed: Any) -> Path:
    """The folder of a random Llama; `changed` are fields of config.json."""
    config = SIZES | changed
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(random_weights(config, seed, spread), folder / "model.safetensors")
    write_tokenizer(folder)
    return folder


def write_gpt2(folder: Path) -> Path:
    """The folder of a random model of another kind, which has no lean pass."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=VOCAB, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=END, eos_token_id=END,
        initializer_range=0.5,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder
