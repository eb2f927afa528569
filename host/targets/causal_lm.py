# SPDX-License-Identifier: Apache-2.0
"""Any causal language model of a local Hugging Face folder as a target, over the package transformers."""

from pathlib import Path
from typing import Any

import torch

from host.models.errors import ModelError, require_packages
from hw.spec.config import VOCAB_LIMIT
from hw.spec.errors import SpecError, check_int

from .base import Contexts, LogProbs, check_contexts
from .log_rows import check_temperature, log_rows

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Number formats of the weights, by name."""


class CausalLmTarget:
    """softmax(logits / T) of a model that transformers can load.

    Contexts that continue those of the last call reuse the model's own cache; any others are computed from their start.
    Nothing is ever taken back from a cache, so that models whose caches cannot do it are right too.

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
        self._cache: Any = None
        self._seen: Contexts | None = None  # what the cache holds
        self._rows: LogProbs | None = None

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
        contexts = check_contexts(contexts, self.vocab_size)
        batch, length = contexts.shape
        if not 1 <= length <= self.positions:
            raise SpecError("length of contexts", length, f"1 to {self.positions} tokens")
        if not batch:
            return torch.empty((0, self.vocab_size), dtype=torch.float64).numpy()
        known = 0
        if self._seen is not None and len(self._seen) == batch and self._seen.shape[1] <= length:
            known = self._seen.shape[1] if (contexts[:, : self._seen.shape[1]] == self._seen).all() else 0
        if known == length and self._rows is not None:
            return self._rows
        cache = self._cache if known else None
        self._seen = self._rows = self._cache = None  # should the pass fail, nothing is known
        done = self._model(input_ids=torch.from_numpy(contexts[:, known:].copy()), cache=cache, use_cache=True)
        rows = log_rows(done.logits[:, -1].float(), self.temperature)
        if rows.shape[1] != self.vocab_size:
            raise ModelError(f"the model gives {rows.shape[1]} logits: its config says vocab_size = {self.vocab_size}")
        self._cache = getattr(done, "cache", None)
        if self._cache is not None:
            self._seen, self._rows = contexts.copy(), rows
        return rows
