# SPDX-License-Identifier: Apache-2.0
"""`generate` of transformers with candidates of one's own: its assisted decoding, handed another candidate generator.

`generate(custom_generate=f)` prepares inputs, cache, processors and criteria, and calls f for the decoding loop. That
loop is the model's own `_assisted_decoding`, run on a stand-in for the model that answers
`_get_candidate_generator` and passes everything else on. Neither the model nor transformers is changed.

Two details of transformers' verifier (`_speculative_sampling`) are put right by the weight of its ensemble rule
(arXiv:2604.07622), which accepts where r <= (1 - w) + w p/q. At w = 1 + 2^-52 this is p/q to the last place, but

* below 0 where p = 0: without it r = 0 accepts a token that top-k has ruled out;
* the token behind a rejection is drawn from p where (p - q)+ is 0 in every place: without it that is 0/0, and an error.
  It happens where p = q but for rounding.
"""

import copy
from typing import TYPE_CHECKING, Any

import torch
from transformers import StoppingCriteriaList
from transformers.generation.stopping_criteria import StopStringCriteria

from hw.spec.errors import SpecError

from .refuse import check_call
from .stopping import FirstStop

if TYPE_CHECKING:
    from .candidates import TSDCandidateGenerator

STRICT_WEIGHT = 1 + 2.0**-52
"""w of the ensemble rule: p/q, and below 0 where p = 0."""


class _Assisted:
    """A model whose candidates come from elsewhere; everything else is the model's."""

    def __init__(self, model: Any, candidates: "TSDCandidateGenerator") -> None:
        self._model, self._candidates = model, candidates

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._model(*args, **kwargs)

    def _get_candidate_generator(self, **_: Any) -> "TSDCandidateGenerator":
        return self._candidates


def assisted(
    model: Any,
    candidates: "TSDCandidateGenerator",
    input_ids: torch.Tensor,
    *,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    streamer: Any = None,
    **model_kwargs: Any,
) -> Any:
    """The decoding loop of one call of `generate`; what it is given, `generate` has prepared.

    Returns
    -------
    int64 tensor of shape (1, length), or `GenerateDecoderOnlyOutput`
        As `generate` returns it.

    Raises
    ------
    SpecError
        The call cannot be decoded so, or its text would not have the law that was asked for; see `check_call`.
    TsuError, NoiseAlarm, LawMismatchError
        The TSU failed, or reported integers that are not the law's.
    """
    check_call(model, candidates.vocab_size, input_ids, generation_config, logits_processor, model_kwargs)
    config = copy.copy(generation_config)
    if config.do_sample:
        config.assistant_ensemble_weight = STRICT_WEIGHT
    stop = FirstStop(criteria=stopping_criteria, begin=input_ids.shape[1], streamer=streamer)
    before = candidates.do_sample, candidates.max_length
    candidates.do_sample, candidates.max_length = bool(config.do_sample), config.max_length
    try:
        done = type(model)._assisted_decoding(
            _Assisted(model, candidates),
            input_ids,
            logits_processor=logits_processor,
            stopping_criteria=StoppingCriteriaList([stop]),
            generation_config=config,
            streamer=None if streamer is None else stop,
            **model_kwargs,
        )
    finally:
        candidates.do_sample, candidates.max_length = before
    return stop.cut(done)


def generate_with(
    *, model: Any, candidates: "TSDCandidateGenerator", streamer: Any = None, tokenizer: Any = None, **arguments: Any
) -> Any:
    """`model.generate(**arguments, custom_generate=candidates)`, with a streamer and strings that end the text.

    `generate` of transformers 5.24 does not hand these two to the loop of `custom_generate`. All else needs no such
    function.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A causal language model, decoder only.
    candidates : TSDCandidateGenerator
    streamer : transformers.BaseStreamer or None
        Gets tokens when they are decided: the prompt first, then those of each round.
    tokenizer : transformers.PreTrainedTokenizerBase or None
        For `stop_strings`.
    arguments
        Of `generate`: inputs or input_ids, do_sample, max_new_tokens, and so on.

    Raises
    ------
    SpecError
        See `assisted`; or `stop_strings` come without a tokenizer, or another drafter is asked for.
    """
    for name in ("assistant_model", "custom_generate"):
        if arguments.get(name) is not None:
            raise SpecError(name, type(arguments[name]).__name__, "none: the TSU drafts")
    if arguments.get("stop_strings") is not None:
        if tokenizer is None:
            raise SpecError("tokenizer", None, "the model's tokenizer, for stop_strings")
        ends = StopStringCriteria(tokenizer=tokenizer, stop_strings=arguments.pop("stop_strings"))
        arguments["stopping_criteria"] = StoppingCriteriaList([*(arguments.get("stopping_criteria") or ()), ends])

    def decode(model: Any, input_ids: torch.Tensor, **prepared: Any) -> Any:
        return assisted(model, candidates, input_ids, streamer=streamer, **prepared)

    return model.generate(**arguments, streamer=streamer, custom_generate=decode)
