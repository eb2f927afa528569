# SPDX-License-Identifier: Apache-2.0
"""What milestone 0 is asked for, checked, and the target, psi and law that follow from it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.golden.exact import draft_law
from host.psi.craft import craft_psi
from host.psi.law import DraftLaw
from host.psi.schema import Psi
from host.runs.options import RunOptions
from host.targets.categorical import make_target
from hw.spec.config import VOCAB_LIMIT, TsuConfig
from hw.spec.errors import check_int

DEFAULT_VOCAB = 1000
"""Vocabulary where neither `vocab` nor a file gives one."""


@dataclass(frozen=True, kw_only=True)
class M0Options(RunOptions):
    """What `python -m host.run_m0` was asked for; checked at construction.

    Parameters
    ----------
    vocab : int or None
        V; None takes 1000, or the length of the target file.
    pgen, alpha, target
        Target; see `make_target`.
    save_draws, save_psi : Path or None
        Files to write.

    Raises
    ------
    SpecError
        A field, here or in `RunOptions`, is outside its legal range.
    """

    vocab: int | None = None
    pgen: str = "dirichlet"
    alpha: float = 1.0
    target: Path | None = None
    save_draws: Path | None = None
    save_psi: Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.vocab is not None:
            check_int("vocab", self.vocab, 1, VOCAB_LIMIT)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """Target, psi and law of a run; nothing in it depends on a backend."""

    config: TsuConfig
    p: npt.NDArray[np.float64]
    psi: Psi
    law: DraftLaw


def prepare(options: M0Options, *, config: TsuConfig | None = None) -> Experiment:
    """Make target, psi and law.

    Parameters
    ----------
    options : M0Options
    config : TsuConfig or None
        TSU of a board; None takes `options.tsu_config()`.

    Raises
    ------
    SpecError, TargetError
        A field is outside its legal range, or the target file is bad.
    """
    config = options.tsu_config() if config is None else config
    vocab = DEFAULT_VOCAB if options.vocab is None and options.pgen != "file" else options.vocab
    p = make_target(pgen=options.pgen, vocab_size=vocab, alpha=options.alpha, seed=options.seed, file=options.target)
    check_int("vocab", len(p), 1, config.vocab_max)
    check_int("K", options.k, 1, min(len(p), config.k_max))
    psi = craft_psi(p, options.k, options.tau, options.eps)
    return Experiment(config=config, p=p, psi=psi, law=draft_law(psi, config, options.weights))
