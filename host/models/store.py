# SPDX-License-Identifier: Apache-2.0
"""Trained models in a folder: model.json says what model.safetensors holds."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from host.telemetry.files import whole_file, write_json
from hw.spec.config import TsuConfig
from hw.spec.digest import spec_id
from hw.spec.errors import SpecError

from .config import DESCRIPTION, GruConfig, HeadConfig, LowRankConfig, ModelConfig, TransformerConfig, describe, parse
from .gru import Gru
from .head import Head
from .low_rank import LowRank
from .transformer import Transformer

WEIGHTS = "model.safetensors"
"""Tensors in a model's folder, beside `DESCRIPTION`."""

FORMAT = 1
"""Version of these files."""


def build(config: ModelConfig) -> nn.Module:
    """A model of these sizes, its numbers drawn from torch's generator."""
    if isinstance(config, TransformerConfig):
        return Transformer(config)
    if isinstance(config, GruConfig):
        return Gru(config)
    if isinstance(config, HeadConfig):
        return Head(config)
    assert isinstance(config, LowRankConfig)
    return LowRank(config)


def spec_id_text() -> str:
    """SPEC_ID of the default configuration, as it stands in JSON."""
    return f"{spec_id(TsuConfig()):#018x}"


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors by name, whole or not at all."""
    with whole_file(path) as file:
        file.write(save_tensors({name: tensor.detach().contiguous() for name, tensor in tensors.items()}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name.

    Raises
    ------
    SpecError
        The file cannot be read.
    """
    try:
        return load_tensors(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise SpecError("model", str(path), f"a readable .safetensors file: {error}") from None


def read_json(path: Path) -> dict[str, object]:
    """One JSON object.

    Raises
    ------
    SpecError
        The file cannot be read as that.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SpecError("model", str(path), f"a readable JSON file: {error}") from None
    if not isinstance(content, dict):
        raise SpecError("model", str(path), "one JSON object")
    return content


def save_model(folder: Path, model: nn.Module, config: ModelConfig, facts: Mapping[str, object]) -> None:
    """Write a model into an existing folder; `facts` (step, score, ...) go into the JSON beside its sizes."""
    write_tensors(folder / WEIGHTS, model.state_dict())
    write_json(
        folder / DESCRIPTION,
        {"format": FORMAT, "spec_id": spec_id_text(), "model": describe(config), **facts},
    )


def load_model(folder: Path) -> tuple[nn.Module, ModelConfig]:
    """The model of a folder, ready for use: no gradients.

    Raises
    ------
    SpecError
        The folder holds no model, or its tensors do not have the sizes that its JSON states.
    """
    content = read_json(folder / DESCRIPTION)
    if content.get("format") != FORMAT:
        raise SpecError("format", content.get("format"), f"{FORMAT}")
    description = content.get("model")
    if not isinstance(description, dict):
        raise SpecError("model", description, "an object: kind and sizes")
    config = parse(description)
    with torch.random.fork_rng(devices=[]):
        model = build(config)
    fill(model, read_tensors(folder / WEIGHTS))
    model.eval()
    model.requires_grad_(False)
    return model, config


def fill(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy tensors into a model.

    Raises
    ------
    SpecError
        A tensor is missing, superfluous, of another shape, or not finite.
    """
    own = model.state_dict()
    if set(own) != set(tensors):
        raise SpecError("tensors", sorted(set(own) ^ set(tensors)), "exactly the model's")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise SpecError(f"shape of {name}", tuple(tensor.shape), str(tuple(own[name].shape)))
        if not bool(torch.isfinite(tensor).all()):
            raise SpecError(name, "NaN or infinity", "finite numbers")
    model.load_state_dict(dict(tensors))
