# SPDX-License-Identifier: Apache-2.0
"""Bigram targets: the next token depends on the last one. Synthetic, or counted in a text."""

import numpy as np
import numpy.typing as npt

from hw.spec.errors import SpecError, check_int

from .base import Contexts, LogProbs, check_contexts, check_tokens
from .categorical import check_alpha, generator

VOCAB_MAX = 8192
"""Largest vocabulary of a dense table: 512 MiB."""

SUM_TOLERANCE = 1e-9
"""Largest |sum - 1| of a row given to `BigramTarget`."""

SMOOTHINGS = ("witten-bell", "laplace")
"""How probabilities are made from counts, by name."""


class BigramTarget:
    """p(x | last token) from a table; the start of a text has a law of its own.

    Parameters
    ----------
    table : float64 array of shape (vocab_size, vocab_size)
        Row c holds p(. | c), and sums to 1; zeros allowed. Rows are normalised exactly as given, not again.
    start : float64 array of shape (vocab_size,) or None
        Law of the first token; None: uniform.

    Raises
    ------
    SpecError
        A shape is wrong, or a row is no distribution.
    """

    order = 1

    def __init__(self, *, table: npt.ArrayLike, start: npt.ArrayLike | None = None) -> None:
        rows = np.asarray(table, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[0] != rows.shape[1]:
            raise SpecError("table.shape", rows.shape, "(vocab_size, vocab_size)")
        self.vocab_size = check_int("vocab_size", rows.shape[0], 1, VOCAB_MAX)
        first = np.full(self.vocab_size, 1 / self.vocab_size) if start is None else np.asarray(start, dtype=np.float64)
        if first.shape != (self.vocab_size,):
            raise SpecError("start.shape", first.shape, f"({self.vocab_size},)")
        for name, values in (("table", rows), ("start", first[None])):
            if not np.all(np.isfinite(values)) or values.min() < 0:
                raise SpecError(name, float(values[~(values >= 0) | np.isinf(values)][0]), "finite numbers >= 0")
            sums = values.sum(axis=1)
            worst = int(np.argmax(np.abs(sums - 1)))
            if abs(sums[worst] - 1) > SUM_TOLERANCE:
                raise SpecError(f"sum of {name}[{worst}]", float(sums[worst]), f"1 within {SUM_TOLERANCE:g}")
        self.table: npt.NDArray[np.float64] = rows
        """p(x | c) at [c, x]."""
        self.start: npt.NDArray[np.float64] = first
        """Law of the first token."""

    def logprobs(self, contexts: Contexts) -> LogProbs:
        """ln p(. | last token), float64 of shape (batch, vocab_size); see `Target.logprobs`."""
        contexts = check_contexts(contexts, self.vocab_size)
        if contexts.shape[1] == 0:
            p = np.broadcast_to(self.start, (len(contexts), self.vocab_size))
        else:
            p = self.table[contexts[:, -1]]
        with np.errstate(divide="ignore"):
            logs: LogProbs = np.log(p)
        return logs


def dirichlet_bigram(*, vocab_size: int, concentration: float, seed: int) -> BigramTarget:
    """Rows drawn from a symmetric Dirichlet: `Generator(PCG64(seed)).dirichlet(c * ones(V), size=V)`.

    Raises
    ------
    SpecError
        An argument is out of range, or the concentration is so small that a row underflows to zeros.
    """
    size = check_int("vocab_size", vocab_size, 1, VOCAB_MAX)
    table = generator(seed).dirichlet(np.full(size, check_alpha("c", concentration)), size=size)
    if not np.all(np.isfinite(table)) or not table.any(axis=1).all():
        raise SpecError("c", concentration, f"large enough for a Dirichlet over {size} tokens in float64")
    return BigramTarget(table=table / table.sum(axis=1, keepdims=True))


def corpus_bigram(*, tokens: npt.ArrayLike, vocab_size: int, smoothing: str = "witten-bell") -> BigramTarget:
    """Bigram of a text.

    witten-bell: p(x | c) = (n(c, x) + t(c) p(x)) / (n(c) + t(c)) with t(c) the number of different tokens behind c,
    and p(x) interpolated with the uniform law in the same way (Witten and Bell, IEEE Trans. IT 37 (1991),
    method C, in the interpolated form of Chen and Goodman, TR-10-98, section 2.4).
    laplace: p(x | c) = (n(c, x) + 1) / (n(c) + V).

    Parameters
    ----------
    tokens : integer array of shape (length,), length >= 1
    vocab_size : int
        V; every token is below it.
    smoothing : str
        One of `SMOOTHINGS`.

    Raises
    ------
    SpecError
        A token, the vocabulary or the smoothing is not legal.
    """
    size = check_int("vocab_size", vocab_size, 1, VOCAB_MAX)
    text = check_tokens(tokens, size)
    check_int("len(tokens)", len(text), 1, 1 << 40)
    if smoothing not in SMOOTHINGS:
        raise SpecError("smoothing", smoothing, "one of " + ", ".join(SMOOTHINGS))
    pairs = np.bincount(text[:-1] * size + text[1:], minlength=size * size).reshape(size, size).astype(np.float64)
    single = np.bincount(text, minlength=size).astype(np.float64)
    if smoothing == "laplace":
        table = (pairs + 1) / (pairs.sum(axis=1, keepdims=True) + size)
        return BigramTarget(table=_normalised(table), start=_normalised((single + 1) / (single.sum() + size)))
    unigram = _witten_bell(single[None], np.full(size, 1 / size))[0]
    return BigramTarget(table=_witten_bell(pairs, unigram), start=unigram)


def _witten_bell(counts: npt.NDArray[np.float64], lower: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each row of counts interpolated with the law of the lower order; a row without counts is that law."""
    kinds = np.count_nonzero(counts, axis=1)[:, None].astype(np.float64)
    mass = counts.sum(axis=1, keepdims=True) + kinds
    table = np.where(mass > 0, (counts + kinds * lower) / np.maximum(mass, 1), lower)
    return _normalised(table)


def _normalised(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rows that sum to 1 but for rounding, divided by their sum."""
    normalised: npt.NDArray[np.float64] = rows / rows.sum(axis=-1, keepdims=True)
    return normalised
