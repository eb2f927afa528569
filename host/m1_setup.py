# SPDX-License-Identifier: Apache-2.0
"""What milestone 1 is asked for, checked, and the bigram target that follows from it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from host.draft.options import DraftOptions
from host.propose.table import TableProposer
from host.runs.options import RunOptions
from host.targets.bigram import SMOOTHINGS, BigramTarget, corpus_bigram, dirichlet_bigram
from host.targets.categorical import check_alpha
from host.telemetry.contexts import VOCAB_MAX
from host.text.choice import TOKENIZERS, make_tokenizer
from host.text.corpus import read_corpus
from host.text.tokenizer import Tokenizer
from hw.spec.errors import SpecError, check_int

DEFAULT_VOCAB = 256
"""Vocabulary of a synthetic bigram."""

DEFAULT_BPE_VOCAB = 1024
"""Vocabulary of a byte-pair encoding."""

STEPS_LIMIT = (1 << 32) - 1
"""Most steps of one run: counts of pairs are 32-bit."""

TEXTS_LIMIT = 1 << 20
"""Most texts that grow side by side."""

BEGIN_STREAM = 2
"""First tokens come from PCG64(SeedSequence([seed, 2]))."""


@dataclass(frozen=True, kw_only=True)
class M1Options(RunOptions):
    """What `python -m host.run_m1` was asked for; checked at construction.

    Parameters
    ----------
    texts : int
        Texts that grow side by side, in [1, 2**20]; at most `steps` are used.
    vocab : int or None
        V; None takes 256 (synthetic), 1024 (bpe), or the characters of the corpus (char, where it must be None).
    c : float
        Concentration of the Dirichlet rows of a synthetic bigram.
    corpus : Path or None
        Text file to count; None makes a synthetic bigram.
    tokenizer : str
        How a corpus becomes tokens: one of `TOKENIZERS`.
    smoothing : str
        How counts become probabilities: one of `SMOOTHINGS`.
    drafting : DraftOptions
        Drafts of a step, and how they are verified.

    Raises
    ------
    SpecError
        A field, here or in `RunOptions`, is outside its legal range.
    """

    weights: str = "exp2"
    steps: int = 1_000_000
    texts: int = 16_384
    vocab: int | None = None
    c: float = 1.0
    corpus: Path | None = None
    tokenizer: str = "char"
    smoothing: str = "witten-bell"
    drafting: DraftOptions = field(default_factory=DraftOptions)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("steps", self.steps, 1, STEPS_LIMIT)
        check_int("texts", self.texts, 1, TEXTS_LIMIT)
        check_alpha("c", self.c)
        for name, value, legal in (
            ("tokenizer", self.tokenizer, TOKENIZERS),
            ("smoothing", self.smoothing, SMOOTHINGS),
        ):
            if value not in legal:
                raise SpecError(name, value, "one of " + ", ".join(legal))
        if self.vocab is not None:
            check_int("vocab", self.vocab, 1, VOCAB_MAX)
            if self.corpus is not None and self.tokenizer == "char":
                raise SpecError("vocab", self.vocab, "none with tokenizer char: the corpus decides it")


@dataclass(frozen=True, kw_only=True)
class M1Experiment:
    """Target and proposer of a run; nothing in it depends on a backend.

    Parameters
    ----------
    target : BigramTarget
    proposer : TableProposer
    tokenizer : Tokenizer or None
        Of a corpus.
    facts : dict
        Where the target comes from, for config.json.
    """

    target: BigramTarget
    proposer: TableProposer
    tokenizer: Tokenizer | None
    facts: dict[str, Any]

    def begin(self, options: M1Options) -> npt.NDArray[np.int64]:
        """First tokens, int64 of shape (texts, 1): uniform over the vocabulary."""
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([options.seed, BEGIN_STREAM])))
        return rng.integers(0, self.target.vocab_size, (min(options.texts, options.steps), 1))


def prepare(options: M1Options) -> M1Experiment:
    """Make target and proposer.

    Raises
    ------
    SpecError, TargetError
        A field is outside its legal range, or the corpus is bad.
    """
    tokenizer = None
    facts: dict[str, Any] = {"kind": "dirichlet", "c": options.c}
    if options.corpus is None:
        vocab = DEFAULT_VOCAB if options.vocab is None else options.vocab
        target = dirichlet_bigram(vocab_size=vocab, concentration=options.c, seed=options.seed)
    else:
        corpus = read_corpus(options.corpus)
        vocab = DEFAULT_BPE_VOCAB if options.vocab is None else options.vocab
        tokenizer = make_tokenizer(
            options.tokenizer, text=corpus.text, vocab_size=None if options.tokenizer == "char" else vocab
        )
        check_int("vocab", tokenizer.vocab_size, 1, VOCAB_MAX)
        tokens = tokenizer.encode(corpus.text)
        target = corpus_bigram(tokens=tokens, vocab_size=tokenizer.vocab_size, smoothing=options.smoothing)
        facts = {
            "kind": "corpus",
            "corpus": corpus.facts(),
            "tokenizer": options.tokenizer,
            "tokenizer_digest": tokenizer.digest,
            "tokens": len(tokens),
            "smoothing": options.smoothing,
        }
    check_int("K", options.k, 1, target.vocab_size)
    proposer = TableProposer(model=target, k=options.k, tau=options.tau, eps=options.eps)
    return M1Experiment(target=target, proposer=proposer, tokenizer=tokenizer, facts=facts)
