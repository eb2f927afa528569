# SPDX-License-Identifier: Apache-2.0
"""What milestone 0 is asked for, checked, and the target, psi and law that follow from it."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from host.golden.exact import MODES, draft_law
from host.psi.craft import craft_psi
from host.psi.law import DraftLaw
from host.psi.schema import Psi, round_binary32
from host.targets.categorical import SEED_LIMIT, make_target
from host.tsu.registry import BACKENDS, check_location
from hw.spec.config import K_LIMIT, VOCAB_LIMIT, TsuConfig
from hw.spec.errors import SpecError, check_int

STEPS_LIMIT = 1 << 40
"""Most steps of one run."""

DEFAULT_VOCAB = 1000
"""Vocabulary where neither `vocab` nor a file gives one."""

TELEMETRY = ("off", "summary", "step")
"""off: no run folder. summary: config.json and summary.json. step: also steps.jsonl."""


@dataclass(frozen=True, kw_only=True)
class M0Options:
    """What `python -m host.run_m0` was asked for; checked at construction.

    Parameters
    ----------
    backend, noise, lanes, groups, weights
        TSU: backend name, noise generator, parallel samplers of a group, groups, weight mode (table or exp2). With a
        backend that has a port, the board brings noise, lanes and groups: they stay None. Elsewhere None takes
        xoshiro128pp, 1 and 1.
    port, baud : str or None, int or None
        Where the board is, for a backend with a port; see `open_tsu`.
    steps : int
        Verified steps, in [1, 2**40].
    vocab : int or None
        V; None takes 1000, or the length of the target file.
    k, tau, eps
        psi: most top-K ids, temperature, floor ("auto" or a number >= 0); see `craft_psi`.
    pgen, alpha, target, seed
        Target; see `make_target`. The seed also starts the TSU's noise and the verifier.
    telemetry : str
        One of `TELEMETRY`.
    out, save_draws, save_psi, plot : Path or None
        Run folder, and files to write.

    Raises
    ------
    SpecError
        A field is outside its legal range.
    """

    backend: str = "model"
    noise: str | None = None
    lanes: int | None = None
    groups: int | None = None
    weights: str = "table"
    port: str | None = None
    baud: int | None = None
    steps: int = 100_000
    vocab: int | None = None
    k: int = 64
    tau: float = 1.0
    eps: float | str = "auto"
    pgen: str = "dirichlet"
    alpha: float = 1.0
    seed: int = 0
    target: Path | None = None
    telemetry: str = "summary"
    out: Path | None = None
    save_draws: Path | None = None
    save_psi: Path | None = None
    plot: Path | None = None

    def __post_init__(self) -> None:
        for name, value, legal in (
            ("backend", self.backend, BACKENDS),
            ("weights", self.weights, MODES),
            ("telemetry", self.telemetry, TELEMETRY),
        ):
            if value not in legal:
                raise SpecError(name, value, "one of " + ", ".join(legal))
        check_location(self.backend, self.port, self.baud)
        for name, given in self._tsu_fields().items():
            if self.has_port and given is not None:
                raise SpecError(name, given, f"none with backend {self.backend}: the board has its own")
        check_int("steps", self.steps, 1, STEPS_LIMIT)
        check_int("seed", self.seed, 0, SEED_LIMIT)
        if self.vocab is not None:
            check_int("vocab", self.vocab, 1, VOCAB_LIMIT)
        check_int("K", self.k, 1, K_LIMIT)
        if not round_binary32("tau", self.tau, "a finite number > 0") > 0:
            raise SpecError("tau", self.tau, "a finite number > 0, in binary32")
        if self.eps != "auto" and (isinstance(self.eps, str) or not (math.isfinite(self.eps) and self.eps >= 0)):
            raise SpecError("eps", self.eps, "auto, or a finite number >= 0")
        if self.telemetry == "off" and self.out is not None:
            raise SpecError("out", str(self.out), "no folder with telemetry off, which writes none")

    def _tsu_fields(self) -> dict[str, str | int | None]:
        """Fields of the TSU that a board brings itself."""
        return {"noise": self.noise, "lanes": self.lanes, "groups": self.groups}

    @property
    def has_port(self) -> bool:
        """Whether the TSU is a board, which brings its own configuration."""
        return BACKENDS[self.backend].has_port

    def tsu_config(self) -> TsuConfig:
        """The smallest TSU for K: k_max is the next power of two, at least 64."""
        given = {name: value for name, value in self._tsu_fields().items() if value is not None}
        return TsuConfig(k_max=max(64, 1 << (self.k - 1).bit_length())).with_fields(**given)


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
