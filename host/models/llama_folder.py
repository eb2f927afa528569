# SPDX-License-Identifier: Apache-2.0
"""Llama models from a Hugging Face folder: config.json and safetensors, one file or several with an index."""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hw.spec.errors import check_int

from .errors import ModelError
from .llama import LlamaModel
from .llama_config import LlamaConfig, read_config

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
"""Names of a checkpoint in one file, and of the list of files of a larger one."""


def load_llama(*, folder: Path | str, positions: int, dtype: str = "float32", texts: int = 1) -> LlamaModel:
    """The model in a folder, its cache empty.

    Parameters
    ----------
    folder : Path or str
    positions : int
        Tokens of the KV cache; at most the model's own limit is used.
    dtype : str
        "float32" or "bfloat16".
    texts : int
        Texts that run side by side.

    Raises
    ------
    ModelError
        A file is missing or unreadable, or the model has a part that the lean pass does not have.
    SpecError
        A size or the dtype is not legal.
    """
    folder = Path(folder)
    check_int("positions", positions, 1, 1 << 40)
    config = LlamaConfig.from_dict(read_config(folder))
    weights = read_weights(folder)
    positions = min(positions, config.positions)
    return LlamaModel(config=config, weights=weights, positions=positions, dtype=dtype, texts=texts)


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the safetensors files of a folder, by name; mapped from the files where they have the dtype.

    Raises
    ------
    ModelError
        There are none, or one cannot be read.
    """
    names = [WEIGHTS]
    try:
        if (folder / INDEX).is_file():
            names = sorted(set(json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()))
        weights: dict[str, Tensor] = {}
        for name in names:
            weights |= load_file(folder / Path(name).name)
    except OSError as error:
        raise ModelError(f"model = {str(folder)!r}: weights cannot be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"model = {str(folder)!r}: weights are malformed: {error}") from None
    return weights
