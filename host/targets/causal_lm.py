# SPDX-License-Identifier: Apache-2.0
"""Any causal language model of a local Hugging Face folder as a target, over the package transformers."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from host.models.errors import ModelError, require_packages
from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

from .base import Contexts, LogProbs, check_contexts
from .block import AskedRows, LogRowsOf, Rows, texts_of
from .log_rows import check_temperature, log_rows

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Number formats of the weights, by name."""


class CausalLmTarget:
    """softmax(logits / T) of a model that transformers can load.

    What contexts have in common with those of the last call is not computed again: the model's own cache is cut there.
    Models whose caches cannot be cut compute contexts that do not go on from the last ones from their start.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model; it is put into evaluation mode.
    temperature : float
        T > 0.

    Raises
    ------
    SpecError
        The temperature or the vocabulary is not legal.
    """

    order = None

    def __init__(self, *, model: Any, temperature: float = 1.0) -> None:
        config = model.config.get_text_config()
        self.vocab_size: int = check_int("vocab_size", config.vocab_size, 1, VOCAB_LIMIT)
        self.temperature = check_temperature(temperature)
        self.positions: int = getattr(config, "max_position_embeddings", None) or 1 << 40
        """Longest context, tokens."""
        self._model = model.eval()
        self.passes = 0
        """Passes so far."""
        self._cache: Any = None
        self._seen: Contexts | None = None  # what the cache holds
        self._rows: dict[int, LogProbs] = {}  # of the last pass, by length of context

    @classmethod
    def from_folder(cls, folder: Path | str, *, temperature: float = 1.0, dtype: str = "float32") -> "CausalLmTarget":
        """The model of a local folder. Nothing is fetched, and no code of the folder is run.

        Raises
        ------
        ModelError
            transformers is not installed, or cannot load the folder.
        SpecError
            `dtype` or `temperature` is not legal.
        """
        if dtype not in DTYPES:
            raise SpecError("dtype", dtype, "one of " + ", ".join(DTYPES))
        check_temperature(temperature)
        require_packages("a language model", "transformers")
        from transformers import AutoModelForCausalLM
        from transformers.utils import logging

        logging.disable_progress_bar()
        logging.set_verbosity_error()
        if not Path(folder).is_dir():
            raise ModelError(f"model = {str(folder)!r} is no folder")
        try:
            model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=DTYPES[dtype], local_files_only=True)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ModelError(f"model = {str(folder)!r} cannot be loaded by transformers: {reason[:200]}") from None
        return cls(model=model, temperature=temperature)

    @torch.inference_mode()
    def logprobs(self, contexts: Contexts) -> LogProbs:
        """ln p of the next token, read-only float64 of shape (batch, vocab_size); see `Target.logprobs`."""
        contexts = self._checked(contexts, 0)
        length = contexts.shape[1]
        if not len(contexts):
            return torch.empty((0, self.vocab_size), dtype=torch.float64).numpy()
        known = self._take_back(contexts)
        if known < length or length not in self._rows:
            self._pass(contexts, min(known, length - 1), 1)
        return self._rows[length]

    @torch.inference_mode()
    def rows(
        self, context: npt.NDArray[np.int64], tokens: npt.NDArray[np.int64], parents: npt.NDArray[np.intp]
    ) -> Rows:
        """See `BlockTarget`. A chain is one pass where the cache can be cut; other rows are computed when asked for."""
        context = self._checked(context[None], len(tokens))
        drafts = check_contexts(np.asarray(tokens)[None], self.vocab_size)
        chain = bool((parents == np.arange(len(parents))).all())
        if not chain or not (self._cache is None or self._cache.is_croppable):
            return AskedRows(self, texts_of(context[0], drafts[0], parents))
        length, whole = context.shape[1], np.concatenate([context, drafts], axis=1)
        self._pass(whole, min(self._take_back(whole), length - 1), len(tokens) + 1)
        return LogRowsOf([self._rows[length + node][0] for node in range(len(tokens) + 1)])

    def _checked(self, contexts: Contexts, more: int) -> Contexts:
        contexts = check_contexts(contexts, self.vocab_size)
        if not 1 <= contexts.shape[1] <= self.positions - more:
            raise SpecError("length of contexts", contexts.shape[1], f"1 to {self.positions - more} tokens")
        return contexts

    def _take_back(self, contexts: Contexts) -> int:
        """Tokens of the contexts that the cache holds; what it has beyond them is cut off, or all of it goes."""
        if self._seen is None or len(self._seen) != len(contexts):
            self._forget()
            return 0
        shortest = min(self._seen.shape[1], contexts.shape[1])
        same = (self._seen[:, :shortest] == contexts[:, :shortest]).all(axis=0)
        known = int(np.argmin([*same.tolist(), False]))
        self._cut(known)
        return 0 if self._seen is None else known

    def _cut(self, length: int) -> None:
        """Leave so many tokens in the cache. One that cannot be cut, or by whose models it cannot, is given up."""
        if self._seen is None or self._seen.shape[1] == length:
            return
        if length == 0 or not self._cache.is_croppable:
            self._forget()
            return
        self._cache.crop(length - self._seen.shape[1])
        self._seen = self._seen[:, :length]

    def _forget(self) -> None:
        self._cache, self._seen, self._rows = None, None, {}

    def _pass(self, texts: Contexts, known: int, rows: int) -> None:
        """Run the tokens behind the `known` first ones, which the cache has; rows behind the last `rows` of them."""
        self._cut(known)
        known = 0 if self._seen is None else known
        cache, length = self._cache, texts.shape[1]
        self._forget()  # should the pass fail, nothing is known
        done = self._model(input_ids=torch.from_numpy(texts[:, known:].copy()), cache=cache, use_cache=True)
        if done.logits.shape[-1] != self.vocab_size:
            found = done.logits.shape[-1]
            raise ModelError(f"the model gives {found} logits: its config says vocab_size = {self.vocab_size}")
        self.passes += 1
        for back in range(rows):
            self._rows[length - back] = log_rows(done.logits[:, -1 - back].float(), self.temperature)
        self._cache = getattr(done, "cache", None)
        self._seen = None if self._cache is None else texts.copy()
