# SPDX-License-Identifier: Apache-2.0
"""Texts that a language model writes itself, with the states that a head learns from.

Rounds of texts side by side, each kept in a file of its own: an interrupted run goes on with the next round. A text is
drawn at one temperature; the temperatures take turns. What follows a token that ends a text is part of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from host.models.llama import LlamaModel
from host.models.store import read_tensors, write_tensors
from hw.spec.errors import SpecError, check_int

NAMES = ("tokens", "hidden", "middle", "log_norms", "temperatures")
"""Tensors of a round's file."""


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnTexts:
    """Texts of one length, and the states behind their tokens.

    Parameters
    ----------
    tokens : int32 Tensor of shape (texts, length)
    hidden, middle : bfloat16 Tensors of shape (texts, length, width)
        Hidden state behind each token, and its state behind a middle layer.
    log_norms : float32 Tensor of shape (texts, length)
        ln of the sum of exp(logits / T) behind each token.
    temperatures : float32 Tensor of shape (texts,)
        T that each text was drawn at.
    """

    tokens: Tensor
    hidden: Tensor
    middle: Tensor
    log_norms: Tensor
    temperatures: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def rows(self, rows: Tensor | slice) -> Self:
        """Some of the texts."""
        return type(self)(**{name: getattr(self, name)[rows] for name in NAMES})


def write_texts(
    model: LlamaModel, *, begins: Sequence[Sequence[int]], temperatures: Sequence[float], length: int, middle: int,
    seed: int,
) -> OwnTexts:  # fmt: skip
    """Let the model write one text in each of its places.

    Text i begins with begins[i // len(temperatures) mod len(begins)] and is drawn at temperatures[i mod
    len(temperatures)].

    Parameters
    ----------
    model : LlamaModel
        For at least `length` positions.
    begins : sequence of token lists
        None of them empty.
    temperatures : sequence of float
        Each above 0.
    length : int
        Tokens of a text.
    middle : int
        Layers behind which the middle states are taken.
    seed : int

    Raises
    ------
    SpecError
        An argument is outside its range.
    """
    check_int("length", length, 2, model.positions)
    count = model.texts
    places = torch.arange(count)
    chosen = [list(begins[int(i)]) for i in places // len(temperatures) % len(begins)]
    heat = torch.tensor(temperatures)[places % len(temperatures)]
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.zeros(count, length, dtype=torch.int64)
    hidden = torch.empty(count, length, model.config.width, dtype=torch.bfloat16)
    middle_states = torch.empty_like(hidden)
    log_norms = torch.empty(count, length)
    tokens[:, 0] = torch.tensor([begin[0] for begin in chosen])
    for i in range(length):
        after, way = model.states(tokens[:, i : i + 1], i, behind=(middle,))
        hidden[:, i], middle_states[:, i] = after[:, 0], way[0][:, 0]
        logits = model.logits(after[:, 0]).float() / heat[:, None]
        log_norms[:, i] = logits.logsumexp(dim=-1)
        if i + 1 < length:
            tokens[:, i + 1] = drawn(logits, generator)
            for place, begin in enumerate(chosen):
                if i + 1 < len(begin):
                    tokens[place, i + 1] = begin[i + 1]
    return OwnTexts(tokens=tokens.int(), hidden=hidden, middle=middle_states, log_norms=log_norms, temperatures=heat)


def drawn(logits: Tensor, generator: torch.Generator) -> Tensor:
    """A token of each row of logits (n, V), int64 (n,), by inversion of the cumulated law."""
    cumulated = torch.softmax(logits, dim=-1).cumsum(dim=-1)
    u = torch.rand(len(logits), 1, generator=generator) * cumulated[:, -1:]
    return torch.searchsorted(cumulated, u, right=True)[:, 0].clamp_max(logits.shape[1] - 1)


def collect(
    folder: Path,
    *,
    rounds: int,
    write: Callable[[int], OwnTexts],
    progress: Callable[[int], None] | None = None,
) -> OwnTexts:
    """All rounds, each from its file in `folder` or written now.

    Parameters
    ----------
    folder : Path
        An existing folder.
    rounds : int
    write : callable
        Gives the texts of a round.
    progress : callable or None
        Told the rounds that are there.

    Raises
    ------
    SpecError
        A file is unreadable, or holds something else.
    OutputError
        A file cannot be written.
    """
    parts = []
    for number in range(check_int("rounds", rounds, 1, 1 << 20)):
        path = round_path(folder, number)
        if path.exists():
            tensors = read_tensors(path)
            if set(tensors) != set(NAMES):
                raise SpecError("texts", str(path), "a file of " + ", ".join(NAMES))
            parts.append(OwnTexts(**tensors))
        else:
            parts.append(write(number))
            write_tensors(path, {name: getattr(parts[-1], name) for name in NAMES})
        if progress is not None:
            progress(number + 1)
    return OwnTexts(**{name: torch.cat([getattr(part, name) for part in parts]) for name in NAMES})


def round_path(folder: Path, number: int) -> Path:
    """File of a round."""
    return folder / f"texts-{number:04d}.safetensors"


def drop_rounds(folder: Path) -> None:
    """Remove the files of all rounds."""
    for path in folder.glob("texts-*.safetensors"):
        path.unlink()
