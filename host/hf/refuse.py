# SPDX-License-Identifier: Apache-2.0
"""Calls of `generate` that cannot be decoded with candidates, or whose text would have another law: one line each."""

from typing import Any

import torch
from transformers import SynthIDTextWatermarkLogitsProcessor, UnbatchedClassifierFreeGuidanceLogitsProcessor

from hw.spec.errors import SpecError

REMEMBERING = (SynthIDTextWatermarkLogitsProcessor, UnbatchedClassifierFreeGuidanceLogitsProcessor)
"""Processors whose answer depends on what they were asked before: with candidates, on drafts that were rejected."""

OTHER_DRAFTERS = ("prompt_lookup_num_tokens", "assistant_early_exit", "use_mtp", "speculation_type")
"""Fields of a generation configuration that ask for other candidates."""


def check_call(
    model: Any, vocab_size: int, input_ids: torch.Tensor, config: Any, processors: Any, model_kwargs: dict[str, Any]
) -> None:
    """Raise `SpecError` unless candidates can be verified, and by the law that `generate` was asked for.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    vocab_size : int
        V of the proposer.
    input_ids : tensor of shape (batch, length)
    config : transformers.GenerationConfig
    processors : transformers.LogitsProcessorList
    model_kwargs : dict
        What else `generate` prepared.
    """
    _check_model(model, vocab_size)
    for name in ("num_return_sequences", "num_beams"):
        if (getattr(config, name, None) or 1) != 1:
            raise SpecError(name, getattr(config, name), "1: candidates are drawn for one text")
    if len(input_ids) != 1:
        raise SpecError("batch size", len(input_ids), "1: candidates are drawn for one text")
    if input_ids.shape[1] == 0 or model_kwargs.get("inputs_embeds") is not None:
        raise SpecError("inputs_embeds", "given", "none: the proposer reads the token ids of the prompt, input_ids")
    if model_kwargs.get("cache") is None:
        raise SpecError("use_cache", False, "True: rejected candidates are taken back from the cache")
    if config.assistant_ensemble_weight is not None:
        legal = "None: any weight gives the text another law than the model's"
        raise SpecError("assistant_ensemble_weight", config.assistant_ensemble_weight, legal)
    for name in OTHER_DRAFTERS:
        if getattr(config, name, None):
            raise SpecError(name, getattr(config, name), "None: the TSU drafts")
    for processor in processors:
        if isinstance(processor, REMEMBERING):
            legal = "processors that look at the text only, not at what they were asked before"
            raise SpecError("logits_processor", type(processor).__name__, legal)


def _check_model(model: Any, vocab_size: int) -> None:
    name = type(model).__name__
    if model.config.is_encoder_decoder:
        raise SpecError("model", name, "a decoder-only causal language model")
    if getattr(model, "_is_stateful", False):
        raise SpecError("model", name, "one whose cache can be taken back: no recurrent state")
    wanted = model.config.get_text_config().vocab_size
    if vocab_size != wanted:
        raise SpecError("vocab_size of the proposer", vocab_size, f"{wanted}, the model's")
