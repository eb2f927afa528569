# SPDX-License-Identifier: Apache-2.0
"""Proposers for language models by name: what `--proposer` accepts.

A new one is an entry of `PROPOSERS`: a function from `Request` to the proposer and its facts for config.json.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.models.config import DESCRIPTION, kind_of
from host.models.extra import check_train_extra
from host.targets.language_model import LanguageModel
from host.targets.ngram import NgramTarget
from host.text.corpus import read_corpus
from host.text.tokenizer import load_tokenizer
from host.text.tokens import MODEL_TOKENIZER
from hw.spec.errors import SpecError

from .base import Proposer
from .gru import GruProposer
from .head import HeadProposer
from .low_rank import LowRankProposer
from .own import OwnProposer
from .table import TableProposer

NGRAM_DEFAULT = 3
"""Longest n-gram of the proposer `ngram`."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a proposer is made of.

    Parameters
    ----------
    model : LanguageModel
        The target, and the tokenizer whose ids psi carries.
    k : int
        Most top-K ids of a psi.
    tau : float
        Temperature of psi's law.
    eps : float or "auto"
        Floor of a tail token.
    corpus : Path or None
        Text to count, for a proposer that counts one.
    ngram : int
        Longest n-gram.
    """

    model: LanguageModel
    k: int
    tau: float = 1.0
    eps: float | str = "auto"
    corpus: Path | None = None
    ngram: int = NGRAM_DEFAULT


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A proposer by name.

    Parameters
    ----------
    summary : str
        A few words for --help.
    needs_corpus : bool
        Whether it counts a text; no other is given one.
    make : callable
        From a request to the proposer and its facts for config.json.
    """

    summary: str
    needs_corpus: bool
    make: Callable[[Request], tuple[Proposer, dict[str, Any]]]


def _own(request: Request) -> tuple[Proposer, dict[str, Any]]:
    return OwnProposer(target=request.model.target, k=request.k, tau=request.tau, eps=request.eps), {}


def _ngram(request: Request) -> tuple[Proposer, dict[str, Any]]:
    if request.corpus is None:
        raise SpecError("corpus", None, "a text file, for proposer ngram")
    corpus = read_corpus(request.corpus)
    tokens = request.model.tokenizer.encode(corpus.text)
    counted = NgramTarget(tokens=tokens, vocab_size=request.model.target.vocab_size, n=request.ngram)
    proposer = TableProposer(model=counted, k=request.k, tau=request.tau, eps=request.eps)
    return proposer, {"n": request.ngram, "tokens": len(tokens), "corpus": corpus.facts()}


PROPOSERS: dict[str, Entry] = {
    "self": Entry(summary="the target itself, an upper bound", needs_corpus=False, make=_own),
    "ngram": Entry(summary="n-grams of --corpus", needs_corpus=True, make=_ngram),
}
"""Every proposer, by name."""

TRAINED_KINDS: dict[str, type[GruProposer] | type[LowRankProposer]] = {"gru": GruProposer, "low-rank": LowRankProposer}
"""Proposers by the kind of model that they are made of, where that is all they need."""

HEAD = "head"
"""Kind of the proposer that looks at the target's states."""


def is_trained(name: str) -> bool:
    """Whether `name` is the folder of a proposer that `python -m host.train proposer` left."""
    return name not in PROPOSERS and (Path(name) / DESCRIPTION).is_file()


def _trained(folder: Path, request: Request) -> tuple[Proposer, dict[str, Any]]:
    """The proposer of a folder."""
    from host.models.store import load_model  # torch: only where it is used

    _, config = load_model(folder)
    kind = kind_of(config)
    if kind not in (HEAD, *TRAINED_KINDS):
        raise SpecError("proposer", str(folder), "the folder of a proposer: " + ", ".join((*TRAINED_KINDS, HEAD)))
    proposer: Proposer
    if kind == HEAD:
        proposer = HeadProposer.load(folder, target=request.model.target, k=request.k, tau=request.tau, eps=request.eps)
    else:
        proposer = TRAINED_KINDS[kind].load(folder, k=request.k, tau=request.tau, eps=request.eps)
    if proposer.vocab_size != request.model.target.vocab_size:
        legal = f"{request.model.target.vocab_size}, the target's"
        raise SpecError("vocab_size of the proposer", proposer.vocab_size, legal)
    beside = folder / MODEL_TOKENIZER
    if beside.is_file() and load_tokenizer(beside).digest != request.model.tokenizer.digest:
        raise SpecError("proposer", str(folder), "one that was trained on tokens of the target's tokenizer")
    return proposer, {"kind": kind, "folder": folder.resolve().name}


def check_proposer(name: str, corpus: object) -> None:
    """Raise `SpecError` for an unknown proposer, one without the corpus that it needs, or a corpus without use."""
    if is_trained(name):
        if corpus is not None:
            raise SpecError("corpus", str(corpus), "none with a trained proposer, which counts no text")
        check_train_extra("proposer", name)
        return
    if name not in PROPOSERS:
        raise SpecError("proposer", name, "one of " + ", ".join(PROPOSERS) + ", or the folder of a trained proposer")
    if PROPOSERS[name].needs_corpus and corpus is None:
        raise SpecError("corpus", None, f"a text file, for proposer {name}")
    if not PROPOSERS[name].needs_corpus and corpus is not None:
        raise SpecError("corpus", str(corpus), f"none with proposer {name}, which counts no text")


def make_proposer(name: str, request: Request) -> tuple[Proposer, dict[str, Any]]:
    """The proposer of that name, and its facts for config.json.

    Raises
    ------
    SpecError, TextError
        The name, the request or the corpus is not legal.
    """
    check_proposer(name, request.corpus)
    if is_trained(name):
        proposer, facts = _trained(Path(name), request)
        return proposer, {"name": "trained", **facts}
    proposer, facts = PROPOSERS[name].make(request)
    return proposer, {"name": name, **facts}
