# SPDX-License-Identifier: Apache-2.0
"""Sizes of the trained models, without torch: what a checkpoint's JSON says about its tensors."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

WIDTH_LIMIT = 1 << 14
"""Largest width of a layer."""


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Sizes of a causal transformer whose attention looks back `span` positions in each of `layers` layers.

    With the defaults and V = 1024 it has 0.83 M parameters and looks at the last 125 tokens.

    Parameters
    ----------
    vocab_size : int
        V.
    width : int
        Length of the vector of a position; a multiple of 2 * heads.
    layers : int
    heads : int
        Attention heads of width / heads entries.
    span : int
        Positions that a head sees, its own included.

    Raises
    ------
    SpecError
        A size is outside its range.
    """

    vocab_size: int
    width: int = 120
    layers: int = 4
    heads: int = 4
    span: int = 32

    def __post_init__(self) -> None:
        check_int("vocab_size", self.vocab_size, 1, VOCAB_LIMIT)
        check_int("width", self.width, 2, WIDTH_LIMIT)
        check_int("layers", self.layers, 1, 1024)
        check_int("heads", self.heads, 1, self.width)
        check_int("span", self.span, 1, 1 << 16)
        if self.width % (2 * self.heads):
            raise SpecError("width", self.width, f"a multiple of 2 * heads = {2 * self.heads}")

    @property
    def window(self) -> int:
        """Last tokens that decide the distribution: each layer reaches span - 1 positions further back."""
        return self.layers * (self.span - 1) + 1


@dataclass(frozen=True, kw_only=True)
class GruConfig:
    """Sizes of a recurrent proposer.

    Parameters
    ----------
    vocab_size : int
        V.
    embed : int
        Length of a token's vector.
    hidden : int
        Length of the state.

    Raises
    ------
    SpecError
        A size is outside its range.
    """

    vocab_size: int
    embed: int = 128
    hidden: int = 256

    def __post_init__(self) -> None:
        check_int("vocab_size", self.vocab_size, 1, VOCAB_LIMIT)
        check_int("embed", self.embed, 1, WIDTH_LIMIT)
        check_int("hidden", self.hidden, 1, WIDTH_LIMIT)


@dataclass(frozen=True, kw_only=True)
class LowRankConfig:
    """Sizes of a low-rank bigram.

    Parameters
    ----------
    vocab_size : int
        V.
    rank : int
        r: numbers that describe a context.

    Raises
    ------
    SpecError
        A size is outside its range.
    """

    vocab_size: int
    rank: int = 4

    def __post_init__(self) -> None:
        check_int("vocab_size", self.vocab_size, 1, VOCAB_LIMIT)
        check_int("rank", self.rank, 1, WIDTH_LIMIT)


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """Sizes of a head on a language model's states.

    Parameters
    ----------
    vocab_size : int
        V of the language model.
    width : int
        Length of its states.
    alone : int
        First layers of it behind which the head looks at the newest token, as if that stood alone.
    middle : int
        Layers behind which the head looks at the token before the newest one.
    inner : int
        Width of the head's gated layer.
    kept : int
        Tokens that the head can propose, in [1, V].
    rank : int
        Numbers by which they are shortlisted, in [1, width].

    Raises
    ------
    SpecError
        A size is outside its range.
    """

    vocab_size: int
    width: int
    alone: int = 1
    middle: int = 20
    inner: int = 768
    kept: int = 16384
    rank: int = 128

    def __post_init__(self) -> None:
        check_int("vocab_size", self.vocab_size, 1, VOCAB_LIMIT)
        check_int("width", self.width, 1, WIDTH_LIMIT)
        check_int("alone", self.alone, 0, 1024)
        check_int("middle", self.middle, 0, 1024)
        check_int("inner", self.inner, 1, WIDTH_LIMIT)
        check_int("kept", self.kept, 1, self.vocab_size)
        check_int("rank", self.rank, 1, self.width)


DESCRIPTION = "model.json"
"""In the folder of a trained model: its kind and sizes; marks such a folder."""

ModelConfig = TransformerConfig | GruConfig | LowRankConfig | HeadConfig
"""Any of them."""

KINDS: dict[str, type[TransformerConfig] | type[GruConfig] | type[LowRankConfig] | type[HeadConfig]] = {
    "transformer": TransformerConfig,
    "gru": GruConfig,
    "low-rank": LowRankConfig,
    "head": HeadConfig,
}
"""Configurations by the name that files and command lines use."""


def kind_of(config: ModelConfig) -> str:
    """Name of a configuration's kind, a key of `KINDS`."""
    return next(name for name, known in KINDS.items() if isinstance(config, known))


def describe(config: ModelConfig) -> dict[str, object]:
    """The configuration as JSON: its kind and its sizes."""
    return {"kind": kind_of(config), **asdict(config)}


def parse(description: Mapping[str, object]) -> ModelConfig:
    """The configuration that `describe` wrote.

    Raises
    ------
    SpecError
        The kind is unknown, or a size is missing, superfluous or outside its range.
    """
    kind = description.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise SpecError("kind", kind, "one of " + ", ".join(KINDS))
    sizes = {name: value for name, value in description.items() if name != "kind"}
    names = {field.name for field in fields(KINDS[kind])}
    if set(sizes) != names:
        raise SpecError(f"sizes of {kind}", sorted(sizes), "exactly " + ", ".join(sorted(names)))
    whole = {name: check_int(name, value, 0, VOCAB_LIMIT) for name, value in sizes.items()}
    return KINDS[kind](**whole)
