# SPDX-License-Identifier: Apache-2.0
"""A Llama model as a target, over the lean pass. What the last context and this one share is not computed again."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from host.models.head import token_table
from host.models.llama import LlamaModel, move_slots
from hw.spec.errors import SpecError, check_int

from .base import Contexts, LogProbs, check_contexts
from .block import Rows
from .drafted import DraftedNodes
from .log_rows import LogRows, check_temperature

CHUNK_TOKENS = 256
"""New tokens of one pass: bounds the memory of a long context's attention scores."""


class LlamaTarget:
    """softmax(logits / T) of a Llama model; a context has at least one token and at most `model.positions`.

    Contexts of a batch are worked off one after the other. Each reuses the keys and values of the tokens that it has in
    common with the one before, from the start on; so a text that grows costs a pass of one token a step, and drafts
    with which it goes on (`rows`) cost nothing more. Probabilities are those of the pass that computed them:
    one over several tokens rounds differently from several over one (about 1e-5 in a float32 logit).

    Parameters
    ----------
    model : LlamaModel
        Of one text; its cache belongs to this target from now on.
    temperature : float
        T > 0.

    Raises
    ------
    SpecError
        The temperature is not legal, or the model runs several texts.

    Attributes
    ----------
    width, layers : int
        Length of its states, and number of its layers.
    dtype : torch.dtype
        Number format of weights and states.
    passes, computed : int
        Passes so far, and the tokens that went through them.
    """

    order = None

    def __init__(self, *, model: LlamaModel, temperature: float = 1.0) -> None:
        self.vocab_size, self.width, self.layers = model.config.vocab_size, model.config.width, model.config.layers
        self.temperature = check_temperature(temperature)
        self.dtype = model.dtype
        check_int("texts of the model", model.texts, 1, 1)
        self.passes = self.computed = 0
        self._model = model
        self._hidden = torch.zeros(model.positions, model.config.width, dtype=model.dtype)
        self._middle: dict[int, torch.Tensor] = {}  # like _hidden, by number of layers
        self._cached = np.empty(0, dtype=np.int64)  # tokens whose keys and values the cache holds
        self._rows = LogRows(self.temperature)  # by length of context: a beginning of `_cached`
        self._drafts: DraftedNodes | None = None  # of the last block, in the slots behind `_cached`

    def logprobs(self, contexts: Contexts) -> LogProbs:
        """ln p of the next token, read-only float64 of shape (batch, vocab_size); see `Target.logprobs`."""
        contexts = self._checked(contexts, 0)
        rows = [self._row(context) for context in contexts]
        return rows[0] if len(rows) == 1 else np.concatenate([np.empty((0, self.vocab_size)), *rows])

    def rows(
        self, context: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64], parents: npt.NDArray[np.intp]
    ) -> Rows:
        """See `BlockTarget`: one pass, but for the beginning of a long context that is not known."""
        drafts = check_contexts(np.asarray(tokens)[None], self.vocab_size)[0]
        context = self._checked(context[None], len(drafts))[0]
        if parents.shape != drafts.shape or (parents < 0).any() or (parents > np.arange(len(parents))).any():
            raise SpecError("parents", parents.tolist(), f"{len(drafts)} nodes, each below the draft's own number")
        return self._block(context, drafts, parents)

    def states(self, context: npt.NDArray[np.int64], *, behind: Sequence[int] = ()) -> tuple[torch.Tensor, ...]:
        """What a pass over a context leaves behind each token; computed unless it is known.

        Parameters
        ----------
        context : int64 ndarray of shape (length,)
        behind : sequence of int
            Numbers of layers; `remember` was told each before.

        Returns
        -------
        tuple of Tensors of shape (length, width), of the model's dtype
            The hidden states, which the output weights are multiplied by, and the states behind so many layers each.
            Views: the next pass may overwrite them.

        Raises
        ------
        SpecError
            The length or a token is not legal, or states are asked for that are not remembered.
        """
        for layers in behind:
            if layers not in self._middle:
                raise SpecError("layers", layers, f"one of {sorted(self._middle)}, which are remembered")
        context = self._checked(context[None], 0)[0]
        self._adopt(context)
        if common_prefix(self._cached, context) < len(context):
            self._row(context)
        return tuple(found[: len(context)] for found in (self._hidden, *(self._middle[layers] for layers in behind)))

    def remember(self, layers: int) -> None:
        """Keep the states behind so many layers from now on; what was computed before is forgotten.

        Raises
        ------
        SpecError
            The model does not have so many layers.
        """
        check_int("layers", layers, 0, self.layers)
        self._middle[layers] = torch.zeros_like(self._hidden)
        self._cached, self._drafts = np.empty(0, dtype=np.int64), None
        self._rows.forget(0)

    def token_table(self, layers: int) -> torch.Tensor:
        """What a head looks at of the newest token; see `host.models.head.token_table`.

        Raises
        ------
        SpecError
            The model does not have so many layers.
        """
        return token_table(self._model, layers)

    @property
    def output_weights(self) -> torch.Tensor:
        """Output matrix (vocab_size, width): logits are its product with a hidden state, over T."""
        return self._model.output_weights

    def _checked(self, contexts: Contexts, more: int) -> Contexts:
        contexts = check_contexts(contexts, self.vocab_size)
        legal = self._model.positions - more
        if not 1 <= contexts.shape[1] <= legal:
            raise SpecError("length of contexts", contexts.shape[1], f"1 to {legal} tokens")
        return contexts

    def _row(self, context: npt.NDArray[np.int64]) -> LogProbs:
        """Row behind a context, shape (1, V)."""
        self._adopt(context)
        length = len(context)
        if length > common_prefix(self._cached, context) or length not in self._rows:
            self._block(context, np.empty(0, dtype=np.int64), np.empty(0, dtype=np.intp))
        return self._rows[length]

    def _block(
        self, context: npt.NDArray[np.int64], drafts: npt.NDArray[np.int64], parents: npt.NDArray[np.intp]
    ) -> LogRows:
        """Rows behind a context and its drafts."""
        self._adopt(context)
        length, shared = len(context), common_prefix(self._cached, context)
        known = self._rows.logits(length) if shared == length and length in self._rows else None
        start = length if known is not None else min(shared, length - 1)
        self._rows.forget(0)
        self._cached = context[:start].copy()  # should the pass fail, this is what is there
        rows = LogRows(self.temperature)
        while length - start > CHUNK_TOKENS:
            self._pass(context[start : start + CHUNK_TOKENS], start, None)
            start += CHUNK_TOKENS
        new = np.concatenate([context[start:], drafts])
        if len(new):
            behind = length - start - 1  # place of the context's last token among the new ones
            in_line = (parents == np.arange(len(parents))).all()
            places = None if in_line else [*range(-1, behind), *(parents + behind).tolist()]
            hidden = self._pass(new, start, places)
            logits = self._model.logits(hidden[:, max(behind, 0) :])[0]
            known = logits[0] if known is None else known
            for node, row in enumerate(logits[len(logits) - len(drafts) :], 1):
                rows.put(node, row)
        if known is not None:
            self._rows.put(length, known)
            rows.put(0, known)
        self._cached = context.copy()
        self._drafts = DraftedNodes(start=length, tokens=drafts, parents=parents, rows=rows)
        return rows

    def _pass(self, tokens: npt.NDArray[np.int64], start: int, parents: list[int] | None) -> torch.Tensor:
        """Hidden states (1, n, width) of new tokens, in the cache's slots from `start` on."""
        hidden, way = self._model.states(
            torch.from_numpy(tokens.copy())[None], start, behind=tuple(self._middle), parents=parents
        )
        self.passes += 1
        self.computed += len(tokens)
        for states, found in zip((self._hidden, *self._middle.values()), (hidden, *way), strict=True):
            states[start : start + len(tokens)] = found[0]
        return hidden

    def _adopt(self, context: npt.NDArray[np.int64]) -> None:
        """Drafts of the last block with which a context goes on become part of what is cached; the others go."""
        drafted, self._drafts = self._drafts, None
        if drafted is None or common_prefix(self._cached, context) < drafted.start:
            return
        nodes = drafted.follow(context[drafted.start :])
        slots = [drafted.start + node - 1 for node in nodes]
        self._model.keep(drafted.start, slots)
        move_slots((self._hidden, *self._middle.values()), drafted.start, slots, dim=0)
        self._cached = context[: drafted.start + len(nodes)].copy()
        for length, node in enumerate(nodes, drafted.start + 1):
            self._rows.put(length, drafted.rows.logits(node))


def common_prefix(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> int:
    """Number of tokens from the start on that two texts share."""
    shortest = min(len(a), len(b))
    different = np.flatnonzero(a[:shortest] != b[:shortest])
    return int(different[0]) if len(different) else shortest
