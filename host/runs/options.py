# SPDX-License-Identifier: Apache-2.0
"""What every run is asked for, checked: the TSU, psi, how long, and what is written."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host.golden.exact import MODES
from host.psi.schema import round_binary32
from host.targets.categorical import SEED_LIMIT
from host.tsu.registry import BACKENDS, check_location
from hw.spec.config import K_LIMIT, TsuConfig
from hw.spec.errors import SpecError, check_int

STEPS_LIMIT = 1 << 40
"""Most steps of one run."""

TELEMETRY = ("off", "summary", "step")
"""off: no run folder. summary: config.json and summary.json. step: also a row for each step."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What the command line of a run was asked for; checked at construction.

    Parameters
    ----------
    backend, noise, lanes, groups, weights
        TSU: backend name, noise generator, parallel samplers of a group, groups, weight mode (table or exp2). With a
        backend that has a port, the board brings noise, lanes and groups, and one without gateware has none: they stay
        None. Elsewhere None takes xoshiro128pp, 1 and 1.
    port, baud : str or None, int or None
        Where the board is, for a backend with a port; see `open_tsu`.
    steps : int
        Verified steps, in [1, 2**40].
    k, tau, eps
        psi: most top-K ids, temperature, floor ("auto" or a number >= 0); see `craft_psi`.
    seed : int
        Starts target, noise of the TSU and verifier.
    telemetry : str
        One of `TELEMETRY`.
    out, plot : Path or None
        Run folder, and the picture to draw.

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
    k: int = 64
    tau: float = 1.0
    eps: float | str = "auto"
    seed: int = 0
    telemetry: str = "summary"
    out: Path | None = None
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
            if self.generator is not None and given is not None:
                raise SpecError(name, given, f"none with backend {self.backend}: it draws from {self.generator}")
        check_int("steps", self.steps, 1, STEPS_LIMIT)
        check_int("seed", self.seed, 0, SEED_LIMIT)
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

    @property
    def generator(self) -> str | None:
        """What a backend without gateware draws from."""
        return BACKENDS[self.backend].generator

    def tsu_config(self) -> TsuConfig:
        """The smallest TSU for K: k_max is the next power of two, at least 64."""
        given = {name: value for name, value in self._tsu_fields().items() if value is not None}
        return TsuConfig(k_max=max(64, 1 << (self.k - 1).bit_length())).with_fields(**given)

    def as_json(self) -> dict[str, Any]:
        """Every field, ready for config.json."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}
