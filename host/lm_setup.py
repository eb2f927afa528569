# SPDX-License-Identifier: Apache-2.0
"""What decoding with a language model is asked for, checked; model, proposer and prompt that follow from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from host.draft.drafting import Drafting
from host.draft.options import DraftOptions
from host.propose.base import Proposer
from host.propose.registry import NGRAM_DEFAULT, Request, check_proposer, make_proposer
from host.runs.options import RunOptions
from host.targets.categorical import check_alpha
from host.targets.language_model import DTYPE_NAMES, SMOLLM2, LanguageModel, find_model, load_model
from host.targets.ngram import N_MAX
from hw.spec.errors import SpecError, check_int

TOKENS_LIMIT = 1 << 20
"""Most tokens of one run."""

PROMPT_CHARACTERS = 1 << 20
"""Longest prompt."""


@dataclass(frozen=True, kw_only=True)
class LmOptions(RunOptions):
    """What `python -m host.run_lm` was asked for; checked at construction. `steps` is the number of tokens to emit.

    Parameters
    ----------
    target : str
        "smollm2", or a Hugging Face folder.
    prompt : str
        How the text begins; not empty.
    temperature : float
        T of softmax(logits / T), above 0.
    dtype : str
        Number format of the weights: "float32" or "bfloat16".
    proposer : str
        A key of `host.propose.registry.PROPOSERS`.
    corpus : Path or None
        Text that the proposer counts.
    ngram : int
        Longest n-gram it counts, in [1, 8].
    ignore_end : bool
        Whether to go on behind a token that ends a text.
    threads : int or None
        Threads of torch; None leaves them as they are.
    drafting : DraftOptions
        Drafts of a step, and how they are verified.

    Raises
    ------
    SpecError
        A field, here or in `RunOptions`, is outside its legal range.
    """

    weights: str = "exp2"
    steps: int = 100
    target: str = SMOLLM2
    prompt: str = "Once upon a time"
    temperature: float = 1.0
    dtype: str = "float32"
    proposer: str = "self"
    corpus: Path | None = None
    ngram: int = NGRAM_DEFAULT
    ignore_end: bool = False
    threads: int | None = None
    drafting: DraftOptions = field(default_factory=DraftOptions)

    def __post_init__(self) -> None:
        check_int("tokens", self.steps, 1, TOKENS_LIMIT)
        super().__post_init__()
        check_alpha("temperature", self.temperature)
        if self.dtype not in DTYPE_NAMES:
            raise SpecError("dtype", self.dtype, "one of " + ", ".join(DTYPE_NAMES))
        check_proposer(self.proposer, self.corpus)
        check_int("ngram", self.ngram, 1, N_MAX)
        check_int("length of prompt", len(self.prompt), 1, PROMPT_CHARACTERS)
        if self.threads is not None:
            check_int("threads", self.threads, 1, 1024)


@dataclass(frozen=True, kw_only=True)
class LmExperiment:
    """Model, proposer and prompt of a run; nothing in it depends on a backend.

    Parameters
    ----------
    model : LanguageModel
    proposer : Proposer
    drafting : Drafting
    prompt : int64 ndarray of shape (length,)
        Its tokens.
    facts : dict
        Target and proposer, for config.json.
    """

    model: LanguageModel
    proposer: Proposer
    drafting: Drafting
    prompt: npt.NDArray[np.int64]
    facts: dict[str, Any]


def prepare(options: LmOptions) -> LmExperiment:
    """Load the model and make its proposer.

    Raises
    ------
    SpecError, ModelError, TextError
        A field is outside its legal range, or model or corpus cannot be had.
    """
    found = find_model(options.target)
    prompt = found.tokenizer.encode(options.prompt)
    check_int("tokens of the prompt", len(prompt), 1, TOKENS_LIMIT)
    if options.threads is not None:
        import torch

        torch.set_num_threads(options.threads)
    model = load_model(
        found,
        positions=len(prompt) + options.steps + options.drafting.nodes,
        temperature=options.temperature,
        dtype=options.dtype,
    )
    if len(prompt) + options.steps > model.positions:
        legal = f"at most {model.positions - len(prompt)}: the prompt has {len(prompt)} of {model.positions} positions"
        raise SpecError("tokens", options.steps, legal)
    check_int("K", options.k, 1, model.target.vocab_size)
    request = Request(
        model=model, k=options.k, tau=options.tau, eps=options.eps, corpus=options.corpus, ngram=options.ngram
    )
    proposer, facts = make_proposer(options.proposer, request)
    drafting = options.drafting.drafting(proposer.horizon)
    return LmExperiment(
        model=model,
        proposer=proposer,
        drafting=drafting,
        prompt=prompt,
        facts={"target": model.facts, "proposer": facts},
    )
