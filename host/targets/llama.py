# SPDX-License-Identifier: Apache-2.0
"""A Llama model as a target, over the lean pass. What the last context and this one share is not computed again."""

import math

import numpy as np
import numpy.typing as npt
import torch

from host.models.llama import LlamaModel
from hw.spec.errors import SpecError

from .base import Contexts, LogProbs, check_contexts

CHUNK_TOKENS = 256
"""New tokens of one pass: bounds the memory of a long context's attention scores."""


def check_temperature(temperature: float) -> float:
    """Return it as a float, or raise `SpecError` unless it is finite and above 0."""
    if not (math.isfinite(temperature) and temperature > 0):
        raise SpecError("temperature", temperature, "a finite number > 0")
    return float(temperature)


def log_rows(logits: torch.Tensor, temperature: float) -> LogProbs:
    """log softmax(logits / temperature) in float64 of logits (n, vocab_size); the result is read-only."""
    rows: LogProbs = torch.log_softmax(logits.double() / temperature, dim=-1).numpy()
    rows.setflags(write=False)
    return rows


class LlamaTarget:
    """softmax(logits / T) of a Llama model; a context has at least one token and at most `model.positions`.

    Contexts of a batch are worked off one after the other. Each reuses the keys and values of the tokens that it has in
    common with the one before, from the start on; so a text that grows costs a pass of one token a step, and one that
    goes back to an earlier position costs nothing more. Probabilities are those of the pass that computed them: a pass
    over several tokens rounds differently from passes of one (about 1e-5 in a float32 logit).

    Parameters
    ----------
    model : LlamaModel
        Its cache belongs to this target from now on.
    temperature : float
        T > 0.

    Raises
    ------
    SpecError
        The temperature is not legal.

    Attributes
    ----------
    passes, computed : int
        Passes so far, and the tokens that went through them.
    """

    order = None

    def __init__(self, *, model: LlamaModel, temperature: float = 1.0) -> None:
        self.vocab_size = model.config.vocab_size
        self.temperature = check_temperature(temperature)
        self.passes = self.computed = 0
        self._model = model
        self._cached = np.empty(0, dtype=np.int64)  # tokens whose keys and values the cache holds
        self._rows: dict[int, LogProbs] = {}  # by length of context: a beginning of `_cached`

    def logprobs(self, contexts: Contexts) -> LogProbs:
        """ln p of the next token, read-only float64 of shape (batch, vocab_size); see `Target.logprobs`."""
        contexts = self._checked(contexts, 0)
        rows = [self._row(context, context) for context in contexts]
        return rows[0] if len(rows) == 1 else np.concatenate([np.empty((0, self.vocab_size)), *rows])

    def logprobs_ahead(self, contexts: Contexts, drafts: npt.NDArray[np.int64]) -> LogProbs:
        """See `AheadTarget`. Only the last context of a batch is remembered with its draft."""
        contexts, drafts = self._checked(contexts, 1), check_contexts(np.asarray(drafts)[:, None], self.vocab_size)
        if len(drafts) != len(contexts):
            raise SpecError("drafts.shape", (len(drafts),), f"({len(contexts)},), one for each context")
        together = np.concatenate([contexts, drafts], axis=1)
        rows = [self._row(context, whole) for context, whole in zip(contexts, together, strict=True)]
        return rows[0] if len(rows) == 1 else np.concatenate([np.empty((0, self.vocab_size)), *rows])

    def _checked(self, contexts: Contexts, more: int) -> Contexts:
        contexts = check_contexts(contexts, self.vocab_size)
        legal = self._model.positions - more
        if not 1 <= contexts.shape[1] <= legal:
            raise SpecError("length of contexts", contexts.shape[1], f"1 to {legal} tokens")
        return contexts

    def _row(self, context: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> LogProbs:
        """Row behind `context`, shape (1, V); unless it is known, the rows from there to the end of `whole` as well."""
        length = len(context)
        shared = common_prefix(self._cached, whole)
        if length <= shared and length in self._rows:
            return self._rows[length]
        start = min(shared, length - 1)
        self._rows.clear()
        self._cached = whole[:start].copy()  # should the pass fail, this is what is there
        wanted = len(whole) - length + 1
        tokens = torch.from_numpy(whole[start:].copy())
        for first in range(0, len(tokens), CHUNK_TOKENS):
            part = tokens[first : first + CHUNK_TOKENS]
            missing = max(0, wanted - (len(tokens) - first - len(part)))
            logits, _ = self._model.forward(part, start + first, last=min(missing, len(part)))
            self.passes += 1
            rows = log_rows(logits, self.temperature)
            end = start + first + len(part)
            self._rows |= {end - len(rows) + 1 + i: rows[i : i + 1] for i in range(len(rows))}
        self.computed += len(tokens)
        self._cached = whole.copy()
        return self._rows[length]


def common_prefix(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> int:
    """Number of tokens from the start on that two texts share."""
    shortest = min(len(a), len(b))
    different = np.flatnonzero(a[:shortest] != b[:shortest])
    return int(different[0]) if len(different) else shortest
