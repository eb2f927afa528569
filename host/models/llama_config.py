# SPDX-License-Identifier: Apache-2.0
"""Sizes of a Llama model, as config.json of a Hugging Face folder gives them."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

from .errors import ModelError

SIZE_LIMIT = 1 << 20
"""Largest width, depth or length."""

UNSUPPORTED = {"attention_bias": False, "mlp_bias": False, "hidden_act": "silu"}
"""Fields that must have these values where they are given: the lean pass has no other kind."""


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """Sizes of a Llama model; checked at construction.

    Parameters
    ----------
    vocab_size : int
        V.
    width : int
        Length d of the vector of a position.
    inner : int
        Width of the gated layer.
    layers : int
    heads, kv_heads : int
        Query heads, and the keys and values that groups of heads / kv_heads of them share.
    head_dim : int
        Entries of a head; even.
    positions : int
        Longest text the model was made for, tokens.
    rope_theta : float
        Base of the rotary frequencies, above 0.
    norm_eps : float
        Added to the mean square in RMSNorm, above 0.
    tied : bool
        Whether the output weights are the embedding.

    Raises
    ------
    SpecError
        A field is outside its range.
    """

    vocab_size: int
    width: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    positions: int
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    tied: bool = False

    def __post_init__(self) -> None:
        check_int("vocab_size", self.vocab_size, 1, VOCAB_LIMIT)
        for name in ("width", "inner", "layers", "heads", "kv_heads", "head_dim", "positions"):
            check_int(name, getattr(self, name), 1, SIZE_LIMIT)
        if self.heads % self.kv_heads:
            raise SpecError("heads", self.heads, f"a multiple of kv_heads = {self.kv_heads}")
        if self.head_dim % 2:
            raise SpecError("head_dim", self.head_dim, "an even number: rotary embedding turns pairs")
        for name in ("rope_theta", "norm_eps"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise SpecError(name, value, "a finite number > 0")

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Self:
        """The sizes in the content of config.json.

        Raises
        ------
        ModelError
            It is no Llama, or one with a part that the lean pass does not have.
        SpecError
            A size is outside its range.
        """
        kind = content.get("model_type")
        if kind != "llama":
            raise ModelError(f"model_type = {kind!r} has no lean pass: expected 'llama'")
        for name, legal in UNSUPPORTED.items():
            if content.get(name, legal) != legal:
                raise ModelError(f"{name} = {content[name]!r} has no lean pass: expected {legal!r}")
        rope = content.get("rope_parameters") or content.get("rope_scaling") or {}
        rope_type = rope.get("rope_type", rope.get("type", "default"))
        if rope_type != "default" or rope.get("partial_rotary_factor", 1.0) != 1.0:
            raise ModelError(f"rope_type = {rope_type!r} has no lean pass: expected 'default', of whole heads")
        try:
            heads = content["num_attention_heads"]
            return cls(
                vocab_size=content["vocab_size"],
                width=content["hidden_size"],
                inner=content["intermediate_size"],
                layers=content["num_hidden_layers"],
                heads=heads,
                kv_heads=content.get("num_key_value_heads") or heads,
                head_dim=content.get("head_dim") or content["hidden_size"] // heads,
                positions=content["max_position_embeddings"],
                rope_theta=float(rope.get("rope_theta", content.get("rope_theta", 10_000.0))),
                norm_eps=float(content.get("rms_norm_eps", 1e-6)),
                tied=bool(content.get("tie_word_embeddings", False)),
            )
        except KeyError as error:
            raise ModelError(f"config.json has no field {error.args[0]!r}") from None


def read_config(folder: Path) -> dict[str, Any]:
    """The content of config.json in the folder of a model.

    Raises
    ------
    ModelError
        It is missing, unreadable, or no JSON object.
    """
    path = folder / "config.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"model = {str(folder)!r}: config.json cannot be read: {error.strerror or error}") from None
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ModelError(f"model = {str(folder)!r}: config.json is no JSON object")
    return content
