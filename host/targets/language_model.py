# SPDX-License-Identifier: Apache-2.0
"""Language models by name or folder: target, tokenizer, and what a run's configuration says of them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.models.config import DESCRIPTION
from host.models.errors import ModelError, require_packages
from host.models.llama_config import LlamaConfig, read_config
from host.text.hf import HfTokenizer
from host.text.tokenizer import Codec, load_tokenizer
from host.text.tokens import MODEL_TOKENIZER
from hw.spec.errors import SpecError, check_int

from .base import Target

SMOLLM2 = "smollm2"
"""Name of the model that comes in a package; any other is a folder."""

ENDLESS = 1 << 30
"""Longest context of a target that looks at its last tokens only."""

DTYPE_NAMES = ("float32", "bfloat16")
"""Number formats of weights, by name."""


@dataclass(frozen=True, kw_only=True)
class LanguageModel:
    """A target over tokens of a text.

    Parameters
    ----------
    target : Target
        Its contexts have at least one token.
    tokenizer : Codec
    end_ids : frozenset of int
        Tokens that end a text.
    positions : int
        Longest context, tokens.
    facts : dict
        Name, kind, size and origin, for config.json.
    """

    target: Target
    tokenizer: Codec
    end_ids: frozenset[int]
    positions: int
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """A language model that has not been loaded yet.

    Parameters
    ----------
    name : str
        For config.json.
    folder : Path
    config : dict
        Content of config.json.
    tokenizer : Codec
    """

    name: str
    folder: Path
    config: dict[str, Any]
    tokenizer: Codec


def find_model(name: str) -> ModelFolder:
    """The folder of a language model, and its tokenizer.

    Parameters
    ----------
    name : str
        "smollm2"; a Hugging Face folder with config.json, safetensors and tokenizer.json; or a folder of
        `python -m host.train target` whose tokens had their tokenizer beside them.

    Raises
    ------
    ModelError, TextError
        The model, its tokenizer, or a package cannot be had.
    """
    require_packages("a language model", "torch", "safetensors", "tokenizers")
    if name == SMOLLM2:
        from host.models.smollm2 import smollm2_folder

        folder = smollm2_folder()
    else:
        folder = Path(name)
        if not folder.is_dir():
            raise ModelError(f"target = {name!r} is neither {SMOLLM2} nor a folder")
    if (folder / DESCRIPTION).is_file():
        tokenizer: Codec = load_tokenizer(folder / MODEL_TOKENIZER)
        return ModelFolder(name=folder.resolve().name, folder=folder, config={}, tokenizer=tokenizer)
    tokenizer = HfTokenizer(path=folder / "tokenizer.json")
    shown = name if name == SMOLLM2 else folder.resolve().name
    return ModelFolder(name=shown, folder=folder, config=read_config(folder), tokenizer=tokenizer)


def load_model(
    found: ModelFolder, *, positions: int, temperature: float = 1.0, dtype: str = "float32"
) -> LanguageModel:
    """Load a language model: a Llama through the lean pass, any other through transformers.

    Parameters
    ----------
    found : ModelFolder
    positions : int
        Tokens that its cache has to hold; the model's own limit is kept where that is smaller.
    temperature : float
        T > 0.
    dtype : str
        One of `DTYPE_NAMES`.

    Raises
    ------
    SpecError
        An argument is outside its range, or the tokenizer has more ids than the model.
    ModelError
        The weights or a package cannot be had.
    """
    if dtype not in DTYPE_NAMES:
        raise SpecError("dtype", dtype, "one of " + ", ".join(DTYPE_NAMES))
    check_int("positions", positions, 1, 1 << 30)
    folder, tokenizer = found.folder, found.tokenizer
    trained = (folder / DESCRIPTION).is_file()
    lean = not trained and is_lean(found.config)
    if trained:
        target, limit = _trained(folder, temperature, dtype)
    else:
        target, limit = _lean(folder, positions, temperature, dtype) if lean else _generic(folder, temperature, dtype)
    if tokenizer.vocab_size > target.vocab_size:
        raise SpecError("vocab_size of the tokenizer", tokenizer.vocab_size, f"at most the model's {target.vocab_size}")
    facts = {
        "name": found.name,
        "model_type": "trained" if trained else found.config.get("model_type"),
        "pass": "trained" if trained else "lean" if lean else "transformers",
        "dtype": dtype,
        "temperature": temperature,
        "vocab_size": target.vocab_size,
        "tokenizer_sha256": tokenizer.digest,
        "origin": _json(folder / "origin.json") or None,
    }
    end_ids = _end_ids(found.config, _json(folder / "generation_config.json"), target.vocab_size)
    return LanguageModel(target=target, tokenizer=tokenizer, end_ids=end_ids, positions=limit, facts=facts)


def is_lean(config: dict[str, Any]) -> bool:
    """Whether the lean pass has all that config.json asks for."""
    try:
        LlamaConfig.from_dict(config)
    except ModelError:
        return False
    return True


def _trained(folder: Path, temperature: float, dtype: str) -> tuple[Target, int]:
    from .transformer import TransformerTarget

    if temperature != 1.0:
        raise SpecError("temperature", temperature, "1, for a target of host.train")
    if dtype != "float32":
        raise SpecError("dtype", dtype, "float32, for a target of host.train")
    return TransformerTarget.load(folder), ENDLESS


def _lean(folder: Path, positions: int, temperature: float, dtype: str) -> tuple[Target, int]:
    from host.models.llama_folder import load_llama

    from .llama import LlamaTarget

    model = load_llama(folder=folder, positions=positions, dtype=dtype)
    return LlamaTarget(model=model, temperature=temperature), model.positions


def _generic(folder: Path, temperature: float, dtype: str) -> tuple[Target, int]:
    from .causal_lm import CausalLmTarget

    target = CausalLmTarget.from_folder(folder, temperature=temperature, dtype=dtype)
    return target, target.positions


def _end_ids(config: dict[str, Any], generation: dict[str, Any], vocab_size: int) -> frozenset[int]:
    """Tokens that end a text, of both files; each may give one, a list, or none."""
    given = [content.get("eos_token_id") for content in (config, generation)]
    ids = {token for entry in given for token in (entry if isinstance(entry, list) else [entry])}
    return frozenset(token for token in ids if isinstance(token, int) and 0 <= token < vocab_size)


def _json(path: Path) -> dict[str, Any]:
    """A JSON object, empty where the file is missing or no such thing: nothing depends on it being there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
